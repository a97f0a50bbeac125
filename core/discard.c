/*
 * discard.c -- versions in conflicts/ that a user here does not want.
 *
 * A discard is a mark of this site alone until grace is over. So it is void
 * when the resource is deleted meanwhile, as rm -r does after it has removed
 * each file in conflicts/: what comes back from .trash has other dots. When
 * grace is over the version is dropped from the record, while the clock still
 * covers it: that replicates as any change does.
 *
 * Only what is not shown can be discarded, and the greatest of all versions is
 * shown wherever it is known. So that one stays, whoever discards what at the
 * same time: a discard never leaves a register with nothing.
 */
#include <errno.h>
#include <string.h>

#include "core/act.h"
#include "core/mem.h"
#include "core/wire.h"

#define KEY_PREFIX "discard/"
#define DOT_LEN 32

static int mark_put(struct ch_engine *e, struct ch_bytes name,
		    const struct dot *dot, bool there)
{
	struct strbuf key = STRBUF_INIT;
	int rc;

	key_discard(&key, name, dot);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = there ? db_put(e, COL_SYS, strbuf_bytes(&key), ch_str(""))
			   : db_del(e, COL_SYS, strbuf_bytes(&key));
	strbuf_release(&key);
	return rc;
}

static int remember(struct ch_engine *e, struct ch_bytes name,
		    const struct dot *dot)
{
	struct discard *d;
	struct act *a;
	int rc = act_get(e, name, &a);

	if (rc < 0)
		return rc;
	for (d = a->discards; d; d = d->next)
		if (dot_cmp(&d->dot, dot) == 0)
			return 0;
	d = mem_alloc(sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->dot = *dot;
	d->until_ms = e->now_ms + e->cfg.grace_ms;
	d->next = a->discards;
	a->discards = d;
	return act_due(e, a, d->until_ms);
}

/* Or not of what is here: then it is not for a discard. */
static bool is_shown(const struct record *r, const struct entry *e)
{
	const struct entry *shown = e->type == ENTRY_SPEC
					    ? resource_spec(r)
					    : record_get(r, e->type, e->sub);

	return entry_is_left(r, e) || (shown && resource_says_same(e, shown));
}

/* The version that is to go; NULL when there is none of that dot, or nothing
 * else is shown in its place. */
static const struct entry *doomed(const struct record *r, const struct dot *dot)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct entry *e = &r->v[i];

		if (dot_cmp(&e->dot, dot) == 0)
			return is_shown(r, e) ? NULL : e;
	}
	return NULL;
}

int discard_submit(struct ch_engine *e, const struct ch_submit *s)
{
	struct wire w = wire_of(s->context);
	struct record r;
	uint64_t seq;
	int rc;

	record_init(&r);
	rc = keep_load(e, s->name, &r, &seq);
	if (rc == 0 && !resource_is_there(&r))
		rc = -ENOENT;
	while (rc == 0 && w.len) {
		struct dot dot = dot_decode(&w);

		if (w.bad || !doomed(&r, &dot))
			continue; /* It was resolved meanwhile. */
		rc = mark_put(e, s->name, &dot, true);
		if (rc == 0)
			rc = remember(e, s->name, &dot);
	}
	record_release(&r);
	if (rc == -ENOENT) {
		update_done(e, s->token, rc, "there is no such resource");
		return 0;
	}
	if (rc < 0)
		return rc;
	update_stale(e, CH_STALE_CONTENT, s->name, ch_str(""), false);
	update_done(e, s->token, 0, "%s", "");
	return 0;
}

/* Drop from @r what is due in @a. */
static int carry_out(struct ch_engine *e, struct act *a, struct record *r)
{
	struct discard **at = &a->discards;
	int rc = 0;

	while (rc == 0 && *at) {
		struct discard *d = *at;

		if (d->until_ms > e->now_ms) {
			rc = act_due(e, a, d->until_ms);
			at = &d->next;
			continue;
		}
		if (doomed(r, &d->dot))
			record_drop_dot(r, d->dot);
		rc = mark_put(e, a->name, &d->dot, false);
		*at = d->next;
		mem_free(d);
	}
	return rc;
}

int discard_run(struct ch_engine *e, struct act *a)
{
	struct record r, old;
	uint64_t seq = 0;
	int rc;

	if (!a->discards)
		return 0;
	record_init(&r);
	record_init(&old);
	rc = keep_load(e, a->name, &old, &seq);
	if (rc == 0)
		rc = record_copy(&r, &old);
	if (rc == 0 || rc == -ENOENT)
		rc = carry_out(e, a, &r);
	if (rc == 0 && r.n != old.n)
		rc = keep_save(e, &r, &old, seq, NULL, NULL);
	record_release(&old);
	record_release(&r);
	return rc;
}

static int see_mark(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	const size_t head = sizeof(KEY_PREFIX) - 1;
	struct ch_bytes name;
	struct wire w;
	struct dot dot;

	(void)value;
	if (key.len < head + 1 + DOT_LEN)
		return 0;
	name = (struct ch_bytes){(const char *)key.p + head,
				 key.len - head - 1 - DOT_LEN};
	w = wire_of((struct ch_bytes){(const char *)key.p + key.len - DOT_LEN,
				      DOT_LEN});
	dot = dot_decode(&w);
	return remember(arg, name, &dot);
}

int discard_start(struct ch_engine *e)
{
	return db_scan(e, COL_SYS, ch_str(KEY_PREFIX), ch_str(""), see_mark, e);
}
