/*
 * kind.h -- the kinds of file and directory that the tree has, as one table.
 */
#ifndef CHEOPS_FS_KIND_H
#define CHEOPS_FS_KIND_H

#include <stdbool.h>

#include "core/cheops.h"
#include "core/view.h"

enum node_kind {
	NODE_ROOT,
	NODE_RESOURCE,  /* NAME */
	NODE_SITE,      /* NAME/SITE */
	NODE_CONFLICTS, /* NAME/conflicts */
	NODE_MEMBERS,   /* .sites */
	NODE_MEMBER,    /* .sites/SITE */
	NODE_DRIVERS,   /* .drivers */
	NODE_DRIVER,    /* .drivers/NAME */
	NODE_TRASHES,   /* .trash */
	NODE_TRASH,     /* .trash/NAME@SITE-N */
	NODE_HELDS,     /* .held */

	NODE_EVENTS,
	NODE_VERSION,
	NODE_README,

	NODE_SPEC,
	NODE_SPEC_JSON,
	NODE_DRIVER_WORD,
	NODE_SITES,
	NODE_POLICY,
	NODE_HOLD,
	NODE_STATUS,
	NODE_STATE,
	NODE_ERROR,
	NODE_WAIT,
	NODE_CONFLICT, /* NAME/conflicts/FILE */

	NODE_SITE_STATUS,
	NODE_SITE_STATE,
	NODE_SITE_SPEC,
	NODE_SITE_PATCH,
	NODE_SITE_OBSERVED,
	NODE_SITE_WAIT,

	NODE_MEMBER_STATUS,
	NODE_MEMBER_HEARTBEAT,
	NODE_MEMBER_ADDRESS,
	NODE_MEMBER_LABELS,
	NODE_MEMBERS_ERROR, /* .sites/error */

	NODE_DRIVER_STATUS,
	NODE_DRIVER_ORPHANED,

	NODE_HELD, /* .held/NAME */

	NODE_TRASH_SPEC,
	NODE_TRASH_SITES,
	NODE_TRASH_DRIVER,
	NODE_TRASH_STATUS,

	NODE_SCRATCH,
	NODE_SCRATCH_DIR,
	NODE_SCRATCH_LINK,
	NODE_SINK, /* Takes what the maker of a directory drops. */

	NODE_KIND_N
};

/* Where the bytes of a file come from. */
enum kind_source {
	SOURCE_NONE, /* A directory, .wait, or a node of its own. */
	SOURCE_VIEW, /* view_content() */
	SOURCE_ERROR,
	SOURCE_EVENTS,
	SOURCE_DRIVER,
	SOURCE_VERSION,
	SOURCE_README,
	SOURCE_SCRATCH,
};

/* .sites has a file error too. No resource can have this name. */
#define MEMBERS_ERROR ".sites"

struct kind {
	const char *name; /* Of a file that always has the same one. */
	enum node_kind parent;
	bool dir;
	bool write;   /* Takes a user's bytes, and commits them. */
	bool dynamic; /* May change without a word: not cached. */
	bool poll;    /* poll() wakes when it changes. */
	bool hidden;  /* No listing shows it. */
	bool loose;   /* Not found by its identity. */
	bool derived; /* Costs work to make: a listing leaves it out. */
	bool secret;  /* Holds what a secret spec holds. */
	enum kind_source source;
	enum view_file view;
	enum ch_file file; /* Of those that commit by CH_WRITE. */
	bool by_write;
};

const struct kind *kind_of(enum node_kind k);

/* The kind of the file @name that stands in each directory of kind @parent;
 * NODE_KIND_N: there is none of that name. */
enum node_kind kind_fixed(enum node_kind parent, const char *name);

/* May users make scratch files in it. */
bool kind_takes_scratch(enum node_kind k);
bool kind_is_scratch(enum node_kind k);

#endif
