/*
 * hold.c -- how long a resource is held: nothing is applied or withdrawn here
 * until then.
 *
 * A hold is a duration. Each site counts it down by its own running time from
 * when it learned of it, so no two clocks are compared, and time in which an
 * agent was down does not count. What it began with is stored beside the
 * record; the end by the wall clock, which people read, follows it. A rename
 * takes it along.
 */
#include <errno.h>

#include "core/engine.h"

#define HOLD_WALL_MS 2000u /* So far off, the stored end is written anew. */

static int store(struct ch_engine *e, struct ch_bytes name,
		 const struct stored_hold *h)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	int rc;

	key_hold(&key, name);
	stored_hold_encode(h, &value);
	rc = key.bad || value.bad ? -ENOMEM : 0;
	if (rc == 0)
		rc = db_put(e, COL_SYS, strbuf_bytes(&key),
			    strbuf_bytes(&value));
	strbuf_release(&value);
	strbuf_release(&key);
	return rc;
}

/* 0, -ENOENT, below. */
static int load(struct ch_engine *e, struct ch_bytes name,
		struct stored_hold *ret)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	int rc;

	key_hold(&key, name);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_get(e, COL_SYS, strbuf_bytes(&key), &value);
	if (rc == 0 && stored_hold_decode(strbuf_bytes(&value), ret) < 0)
		rc = -EIO;
	strbuf_release(&value);
	strbuf_release(&key);
	return rc;
}

/* What it began with under a former name; else -ENOENT. */
static int load_from(struct ch_engine *e, const struct record *r,
		     const struct entry *entry, struct stored_hold *ret)
{
	const struct ch_id lineage = resource_lineage(r);
	const struct entry *made = resource_made(r, &lineage);
	struct stored_hold h;
	struct ch_bytes name;
	int rc = -ENOENT;

	for (size_t i = 0; made && rc == -ENOENT &&
			   entry_from(made, i, &name) == 0;
	     i++) {
		rc = load(e, name, &h);
		if (rc == 0 && dot_cmp(&h.dot, entry_origin(entry)) != 0)
			rc = -ENOENT;
	}
	if (rc == 0)
		*ret = h;
	return rc;
}

int hold_left(struct ch_engine *e, const struct record *r, uint64_t *ret_left,
	      uint64_t *ret_end)
{
	uint64_t ms, run = engine_run(e), end;
	const struct entry *entry = resource_hold(r, &ms);
	struct stored_hold h;
	bool changed;
	int rc;

	*ret_left = *ret_end = 0;
	if (!entry)
		return 0;
	rc = load(e, r->name, &h);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	changed = rc == -ENOENT || dot_cmp(&h.dot, entry_origin(entry)) != 0;
	if (changed) {
		rc = load_from(e, r, entry, &h);
		if (rc == -ENOENT)
			h = (struct stored_hold){.dot = *entry_origin(entry),
						 .end_run_ms = run + ms};
		else if (rc < 0)
			return rc;
	}
	if (h.end_run_ms <= run)
		return 0;
	*ret_left = h.end_run_ms - run;
	engine_save_run_until(e, e->now_ms + *ret_left);
	end = e->wall_ms + *ret_left;
	if (changed || end > h.end_ms + HOLD_WALL_MS ||
	    end + HOLD_WALL_MS < h.end_ms) {
		h.end_ms = end;
		rc = store(e, r->name, &h);
	} else {
		rc = 0;
	}
	*ret_end = h.end_ms;
	return rc;
}

int hold_forget(struct ch_engine *e, struct ch_bytes name)
{
	struct strbuf key = STRBUF_INIT;

	key_hold(&key, name);
	return db_del_key(e, COL_SYS, &key);
}
