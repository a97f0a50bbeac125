/*
 * scrub.c -- records that no act speaks for are looked at in passing, a few at
 * a time.
 */

#include "core/act.h"
#include "core/peer.h"
#include "core/sight.h"

#define FIRST_WORD_MS 5000u /* For a site to answer, at the start. */
#define SCRUB_FIRST 512     /* Records a round, in the first pass. */
#define SCRUB_LATER 64      /* Each SCRUB_STEP_MS, in later ones. */
#define SCRUB_STEP_MS 640u
#define SCRUB_REST_MS 60000u /* Between two passes. */

struct scrub {
	struct ch_engine *e;
	size_t left;
	int rc;
};

static int scrub_one(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct scrub *s = arg;
	struct act *a;

	(void)value;
	if (!s->left)
		return 1;
	s->left--;
	s->rc = act_get(s->e, key, &a);
	if (s->rc < 0)
		return s->rc;
	a->observe = true;
	act_look(s->e, a);
	strbuf_reset(&s->e->scrub);
	strbuf_add(&s->e->scrub, key.p, key.len);
	strbuf_add_char(&s->e->scrub, '\0'); /* The next key after it. */
	return strbuf_error(&s->e->scrub);
}

/*
 * What is stored may be older than others know: at the start each site that
 * is there has a moment to say so, before anything is put in force by it. One
 * that cannot be reached is not waited for, one that dials us has 3 beats.
 */
static bool awaits_peers(const struct ch_engine *e)
{
	uint64_t ms = e->now_ms - e->start_ms;

	for (size_t i = 0; i < e->n_peers; i++) {
		const struct peer *p = e->peers[i];

		if (!p->is_vetted && !p->is_unreachable &&
		    ms < (p->address[0] ? FIRST_WORD_MS
					: 3u * e->cfg.heartbeat_ms))
			return true;
	}
	return false;
}

int scrub_run(struct ch_engine *e)
{
	struct scrub s = {e, e->scrubbed ? SCRUB_LATER : SCRUB_FIRST, 0};
	int rc;

	if (!e->scrubbed && awaits_peers(e)) {
		update_by(e, e->now_ms + e->cfg.heartbeat_ms / 4 + 1);
		return 0;
	}
	if (e->now_ms < e->scrub_ms) {
		update_by(e, e->scrub_ms);
		return 0;
	}
	if ((e->look_first || e->slot_first) && !e->scrubbed) {
		/* The first pass goes no faster than its jobs do. */
		e->scrub_ms = e->now_ms + 10;
		update_by(e, e->scrub_ms);
		return 0;
	}
	rc = db_scan(e, COL_RECORD, ch_str(""), strbuf_bytes(&e->scrub),
		     scrub_one, &s);
	if (rc < 0)
		return rc;
	if (rc == 1) {
		e->scrub_ms = e->now_ms + (e->scrubbed ? SCRUB_STEP_MS : 1);
	} else {
		strbuf_reset(&e->scrub);
		e->scrubbed = true;
		e->scrub_ms = e->now_ms + SCRUB_REST_MS;
	}
	update_by(e, e->scrub_ms);
	return 0;
}
