/* release.c -- users who see to what the mass-removal guard holds: most they
 * let go, some they keep. Without them nothing would ever become quiet. */
#include "core/check.h"
#include "tests/sim/world.h"

#define LOOK_MS 3000u
#define KEEP_EACH 5u /* One of so many is kept, */
#define KEEP_MS 60000u /* while the world is young. */

struct releaser {
	struct world *w;
	struct site *s;
};

static int release_one(void *arg, struct ch_bytes name,
		       const struct view_resource *info)
{
	struct releaser *x = arg;
	bool keep = x->w->last_token % KEEP_EACH == 0 && x->w->now < KEEP_MS;
	struct ch_submit c = {
		.op = keep ? CH_KEEP : CH_LET_GO,
		.name = name,
		.user = ch_str("ann"),
	};

	(void)info;
	world_submit(x->w, x->s->no, &c);
	return 0;
}

void release_held(struct world *w, void *arg)
{
	(void)arg;
	for (size_t i = 0; i < w->o.n_sites; i++) {
		struct releaser x = {w, &w->site[i]};
		struct view v;

		if (!x.s->engine)
			continue;
		v = site_view(x.s);
		CHECK(view_helds(&v, release_one, &x) >= 0);
	}
	world_at(w, w->now + LOOK_MS, release_held, NULL);
}
