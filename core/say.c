/* say.c -- what this site says of its resources: reports of our own. */
#include <errno.h>

#include "core/peer.h"
#include "core/wire.h"

#define MESSAGE_MAX 2000 /* For people; longer ones are cut. */

int report_load(struct ch_engine *e, struct ch_bytes name,
		const struct ch_id *site, struct strbuf *buf,
		struct report *ret_report, uint64_t *ret_seq)
{
	struct strbuf key = STRBUF_INIT;
	struct wire w;
	int rc;

	key_report(&key, name, site);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_get(e, COL_REPORT, strbuf_bytes(&key), buf);
	strbuf_release(&key);
	if (rc < 0)
		return rc;
	w = wire_of(strbuf_bytes(buf));
	*ret_seq = wire_u64(&w);
	(void)wire_u64(&w);
	rc = report_decode((struct ch_bytes){w.p, w.len}, ret_report);
	return rc < 0 ? -EIO : 0;
}

struct teller {
	struct ch_engine *e;
	struct ch_bytes name;
	uint64_t old_seq, seq;
};

static int tell(void *arg, const struct resource_site *s)
{
	struct teller *t = arg;

	if (id_cmp(&s->id, &t->e->cfg.self) == 0)
		return 0;
	return outbox_put(t->e, &s->id, OUT_REPORT, t->name, t->old_seq,
			  t->seq);
}

static bool same(const struct report *a, const struct report *b)
{
	return a->state == b->state &&
	       version_equal(&a->desired, &b->desired) &&
	       version_equal(&a->applied, &b->applied) &&
	       version_equal(&a->healthy, &b->healthy) &&
	       a->tries == b->tries && a->next_try_ms == b->next_try_ms &&
	       ch_bytes_equal(a->message, b->message) &&
	       ch_bytes_equal(a->observed, b->observed) &&
	       ch_bytes_equal(a->extra, b->extra);
}

static void notice(struct ch_engine *e, const struct report *r,
		   const struct report *old)
{
	const char *event = NULL;

	if (r->state == STATE_READY &&
	    (!old || old->state != STATE_READY ||
	     !version_equal(&old->healthy, &r->healthy)))
		event = "ready";
	else if (r->state == STATE_FAILED &&
		 (!old || old->state != STATE_FAILED ||
		  !version_equal(&old->desired, &r->desired)))
		event = "failed";
	if (!version_is_zero(&r->applied) &&
	    (!old || !version_equal(&old->applied, &r->applied)))
		update_notice(e, "applied", r->name, engine_name(e),
			      &r->applied, ch_str(""), "%s", "");
	if (event)
		update_notice(e, event, r->name, engine_name(e), &r->desired,
			      ch_str(""), "%.*s", (int)r->message.len,
			      (const char *)r->message.p);
}

static int tell_all(struct ch_engine *e, const struct record *r,
		    struct report *say, bool news)
{
	struct strbuf buf = STRBUF_INIT, key = STRBUF_INIT;
	struct strbuf value = STRBUF_INIT;
	struct teller t = {.e = e, .name = r->name};
	struct report old;
	bool had;
	int rc;

	rc = report_load(e, r->name, &e->cfg.self, &buf, &old, &t.old_seq);
	had = rc == 0;
	if (rc < 0 && rc != -ENOENT)
		goto out;
	rc = 0;
	if (say->message.len > MESSAGE_MAX) {
		const unsigned char *p = say->message.p;

		say->message.len = MESSAGE_MAX;
		while (say->message.len && (p[say->message.len] & 0xc0) == 0x80)
			say->message.len--;
	}
	say->name = r->name;
	say->site = e->cfg.self;
	say->epoch = e->me.epoch;
	say->nonce = e->me.nonce;
	say->changed_ms =
		had && old.state == say->state ? old.changed_ms : e->wall_ms;
	if (!say->observed.p && had)
		say->observed = old.observed;
	if (had && same(say, &old))
		goto out;
	say->number = engine_id(e);
	t.seq = outbox_next(e);
	wire_put_u64(&value, t.seq);
	wire_put_u64(&value, e->wall_ms);
	report_encode(say, &value);
	key_report(&key, r->name, &e->cfg.self);
	rc = key.bad || value.bad ? -ENOMEM : 0;
	if (rc == 0)
		rc = db_put(e, COL_REPORT, strbuf_bytes(&key),
			    strbuf_bytes(&value));
	if (rc == 0)
		rc = resource_sites(r, tell, &t);
	if (rc == 0) {
		update_stale(e, CH_STALE_CONTENT, r->name, engine_name(e),
			     false);
		if (news)
			notice(e, say, had ? &old : NULL);
		rc = wait_check(e, r->name);
	}
out:
	strbuf_release(&value);
	strbuf_release(&key);
	strbuf_release(&buf);
	return rc;
}

int say(struct ch_engine *e, const struct record *r, struct report *say)
{
	return tell_all(e, r, say, true);
}

int say_moved(struct ch_engine *e, const struct record *r, struct ch_bytes from,
	      struct ch_bytes object)
{
	struct strbuf buf = STRBUF_INIT, extra = STRBUF_INIT;
	struct report was;
	uint64_t seq;
	int rc = report_load(e, from, &e->cfg.self, &buf, &was, &seq);

	if (rc == 0) {
		report_put_object(&extra, object);
		was.extra = strbuf_bytes(&extra);
		rc = strbuf_error(&extra);
	}
	if (rc == 0)
		rc = tell_all(e, r, &was, false);
	if (rc == 0)
		rc = say_nothing(e, from);
	strbuf_release(&extra);
	strbuf_release(&buf);
	return rc == -ENOENT ? 0 : rc;
}

int say_nothing(struct ch_engine *e, struct ch_bytes name)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	uint64_t seq = 0;
	int rc;

	key_report(&key, name, &e->cfg.self);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_get(e, COL_REPORT, strbuf_bytes(&key), &value);
	if (rc == 0)
		rc = db_del(e, COL_REPORT, strbuf_bytes(&key));
	if (rc == 0) {
		struct wire w = wire_of(strbuf_bytes(&value));

		/* Nor is anyone owed it: the next one would not find these. */
		seq = wire_u64(&w);
	}
	for (size_t i = 0; rc == 0 && i < e->n_peers; i++)
		rc = outbox_del(e, &e->peers[i]->id, seq);
	strbuf_release(&value);
	strbuf_release(&key);
	return rc == -ENOENT ? 0 : rc;
}

int report_seq(struct ch_engine *e, struct ch_bytes name, uint64_t *ret_seq)
{
	struct strbuf buf = STRBUF_INIT;
	struct report r;
	int rc;

	*ret_seq = 0;
	rc = report_load(e, name, &e->cfg.self, &buf, &r, ret_seq);
	strbuf_release(&buf);
	return rc == -ENOENT ? 0 : rc;
}

int report_move(struct ch_engine *e, struct ch_bytes name, uint64_t seq)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	struct strbuf fresh = STRBUF_INIT;
	int rc;

	key_report(&key, name, &e->cfg.self);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_get(e, COL_REPORT, strbuf_bytes(&key), &value);
	if (rc == 0) {
		wire_put_u64(&fresh, seq);
		wire_put_raw(&fresh, value.buf + 8, value.len - 8);
		rc = strbuf_error(&fresh);
	}
	if (rc == 0)
		rc = db_put(e, COL_REPORT, strbuf_bytes(&key),
			    strbuf_bytes(&fresh));
	strbuf_release(&fresh);
	strbuf_release(&value);
	strbuf_release(&key);
	return rc;
}
