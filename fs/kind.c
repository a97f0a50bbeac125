/* kind.c -- see kind.h. */
#include "fs/kind.h"

#include <string.h>

#include "core/check.h"

/* clang-format off */
#define DIR_IN(p, n) .dir = true, .parent = (p), .name = (n)
#define VIEW_IN(p, n, v) \
	.parent = (p), .name = (n), .source = SOURCE_VIEW, .view = (v)
#define COMMITS(f) .write = true, .by_write = true, .file = (f)

static const struct kind kinds[NODE_KIND_N] = {
	[NODE_ROOT] = {DIR_IN(NODE_KIND_N, NULL)},
	[NODE_RESOURCE] = {DIR_IN(NODE_ROOT, NULL)},
	[NODE_SITE] = {DIR_IN(NODE_RESOURCE, NULL)},
	[NODE_CONFLICTS] = {DIR_IN(NODE_RESOURCE, "conflicts")},
	[NODE_MEMBERS] = {DIR_IN(NODE_ROOT, ".sites")},
	[NODE_MEMBER] = {DIR_IN(NODE_MEMBERS, NULL)},
	[NODE_DRIVERS] = {DIR_IN(NODE_ROOT, ".drivers")},
	[NODE_DRIVER] = {DIR_IN(NODE_DRIVERS, NULL)},
	[NODE_TRASHES] = {DIR_IN(NODE_ROOT, ".trash")},
	[NODE_TRASH] = {DIR_IN(NODE_TRASHES, NULL)},
	[NODE_HELDS] = {DIR_IN(NODE_ROOT, ".held")},

	[NODE_EVENTS] = {.parent = NODE_ROOT, .name = ".events",
		.source = SOURCE_EVENTS, .dynamic = true, .poll = true},
	[NODE_VERSION] = {.parent = NODE_ROOT, .name = ".version",
		.source = SOURCE_VERSION},
	[NODE_README] = {.parent = NODE_ROOT, .name = ".README",
		.source = SOURCE_README},

	[NODE_SPEC] = {VIEW_IN(NODE_RESOURCE, "spec", VIEW_SPEC),
		COMMITS(CH_FILE_SPEC), .secret = true},
	[NODE_SPEC_JSON] = {VIEW_IN(NODE_RESOURCE, "spec.json",
		VIEW_SPEC_JSON), .dynamic = true, .derived = true,
		.secret = true},
	[NODE_DRIVER_WORD] = {VIEW_IN(NODE_RESOURCE, "driver", VIEW_DRIVER),
		COMMITS(CH_FILE_DRIVER)},
	[NODE_SITES] = {VIEW_IN(NODE_RESOURCE, "sites", VIEW_SITES),
		COMMITS(CH_FILE_SITES)},
	[NODE_POLICY] = {VIEW_IN(NODE_RESOURCE, "policy", VIEW_POLICY),
		COMMITS(CH_FILE_POLICY)},
	[NODE_HOLD] = {VIEW_IN(NODE_RESOURCE, "hold", VIEW_HOLD),
		COMMITS(CH_FILE_HOLD), .dynamic = true},
	[NODE_STATUS] = {VIEW_IN(NODE_RESOURCE, "status", VIEW_STATUS),
		.dynamic = true, .poll = true},
	[NODE_STATE] = {VIEW_IN(NODE_RESOURCE, "state", VIEW_STATE),
		.dynamic = true, .poll = true},
	[NODE_ERROR] = {.parent = NODE_RESOURCE, .name = "error",
		.source = SOURCE_ERROR, .dynamic = true},
	[NODE_WAIT] = {.parent = NODE_RESOURCE, .name = ".wait",
		.hidden = true, .loose = true, .dynamic = true},
	[NODE_CONFLICT] = {VIEW_IN(NODE_CONFLICTS, NULL, VIEW_CONFLICT),
		.derived = true, .secret = true},

	[NODE_SITE_STATUS] = {VIEW_IN(NODE_SITE, "status", VIEW_SITE_STATUS),
		.dynamic = true, .poll = true},
	[NODE_SITE_STATE] = {VIEW_IN(NODE_SITE, "state", VIEW_SITE_STATE),
		.dynamic = true, .poll = true},
	[NODE_SITE_SPEC] = {VIEW_IN(NODE_SITE, "spec", VIEW_SITE_SPEC),
		.dynamic = true, .derived = true, .secret = true},
	[NODE_SITE_PATCH] = {VIEW_IN(NODE_SITE, "patch", VIEW_SITE_PATCH),
		COMMITS(CH_FILE_PATCH), .secret = true},
	[NODE_SITE_OBSERVED] = {VIEW_IN(NODE_SITE, "observed",
		VIEW_SITE_OBSERVED), .secret = true},
	[NODE_SITE_WAIT] = {.parent = NODE_SITE, .name = ".wait",
		.hidden = true, .loose = true, .dynamic = true},

	[NODE_MEMBER_STATUS] = {VIEW_IN(NODE_MEMBER, "status",
		VIEW_MEMBER_STATUS), .dynamic = true, .poll = true},
	[NODE_MEMBER_HEARTBEAT] = {VIEW_IN(NODE_MEMBER, "heartbeat",
		VIEW_MEMBER_HEARTBEAT), .dynamic = true, .poll = true},
	[NODE_MEMBER_ADDRESS] = {VIEW_IN(NODE_MEMBER, "address",
		VIEW_MEMBER_ADDRESS), .write = true},
	[NODE_MEMBER_LABELS] = {VIEW_IN(NODE_MEMBER, "labels",
		VIEW_MEMBER_LABELS), .write = true},
	[NODE_MEMBERS_ERROR] = {.parent = NODE_MEMBERS, .name = "error",
		.source = SOURCE_ERROR, .dynamic = true},

	[NODE_DRIVER_STATUS] = {.parent = NODE_DRIVER, .name = "status",
		.source = SOURCE_DRIVER, .dynamic = true},
	[NODE_DRIVER_ORPHANED] = {VIEW_IN(NODE_DRIVER, "orphaned",
		VIEW_DRIVER_ORPHANED), .dynamic = true},

	[NODE_HELD] = {VIEW_IN(NODE_HELDS, NULL, VIEW_HELD_TEXT),
		.dynamic = true},

	[NODE_TRASH_SPEC] = {VIEW_IN(NODE_TRASH, "spec", VIEW_TRASH_SPEC),
		.secret = true},
	[NODE_TRASH_SITES] = {VIEW_IN(NODE_TRASH, "sites", VIEW_TRASH_SITES)},
	[NODE_TRASH_DRIVER] = {VIEW_IN(NODE_TRASH, "driver",
		VIEW_TRASH_DRIVER)},
	[NODE_TRASH_STATUS] = {VIEW_IN(NODE_TRASH, "status",
		VIEW_TRASH_STATUS), .dynamic = true},

	[NODE_SCRATCH] = {.parent = NODE_KIND_N, .source = SOURCE_SCRATCH,
		.loose = true},
	[NODE_SCRATCH_DIR] = {.parent = NODE_KIND_N, .dir = true,
		.loose = true},
	[NODE_SCRATCH_LINK] = {.parent = NODE_KIND_N, .loose = true},
	[NODE_SINK] = {.parent = NODE_KIND_N, .loose = true},
};
/* clang-format on */

const struct kind *kind_of(enum node_kind k)
{
	CHECK(k < NODE_KIND_N);
	return &kinds[k];
}

enum node_kind kind_fixed(enum node_kind parent, const char *name)
{
	enum node_kind k;

	for (k = NODE_ROOT; k < NODE_KIND_N; k++)
		if (kinds[k].name && kinds[k].parent == parent &&
		    strcmp(kinds[k].name, name) == 0)
			break;
	return k;
}

bool kind_takes_scratch(enum node_kind k)
{
	return k == NODE_RESOURCE || k == NODE_SITE || k == NODE_SCRATCH_DIR;
}

bool kind_is_scratch(enum node_kind k)
{
	return k == NODE_SCRATCH || k == NODE_SCRATCH_DIR ||
	       k == NODE_SCRATCH_LINK;
}
