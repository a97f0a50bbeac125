/*
 * exchange.c -- what sites say to each other.
 *
 * A message is a request of ours and its answer, or one of theirs and ours.
 * Both begin with a hello. Three kinds of request go to each site, each at
 * most once at a time:
 *
 *	push   a batch from the outbox, with the bodies it needs
 *	beat   nothing but hello and whom we have heard
 *	poll   where we do not listen: held by the other side until it has
 *	       something for us
 *
 * A batch has a number that only grows within a life of its sender; the
 * receiver stores the last one with the data, and ignores any that is not
 * above it. So what the network repeats or reorders does no harm. A record is
 * taken only once all its bodies are here: what is missing is asked for in the
 * answer, and the sender sends it, and then the batch again.
 */
#include <errno.h>
#include <string.h>

#include "core/check.h"
#include "core/compose.h"
#include "core/gone.h"
#include "core/mem.h"
#include "core/name.h"
#include "core/wire.h"

#define SHUT_OUT_MS 600000u /* Between two events of being refused. */

static int landed(struct ch_engine *e, struct peer *p)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < p->n_queue; i++) {
		const struct out_item *item = &p->queue[i];

		if (!item->flying)
			continue;
		rc = outbox_del(e, &p->id, item->seq);
		if (rc == 0 && item->kind == OUT_RECORD)
			rc = keep_settle(e, (struct ch_bytes){item->name,
							      item->name_len});
	}
	outbox_landed(p);
	p->backoff_ms = 0;
	p->next_push_ms = e->now_ms;
	return rc;
}

static int on_ack(struct ch_engine *e, struct peer *p, const struct ch_frame *f)
{
	int rc;

	if (!p->flying || f->u.ack.epoch != e->me.epoch ||
	    f->u.ack.nonce != e->me.nonce || f->u.ack.no != p->flying)
		return 0;
	switch (f->u.ack.status) {
	case ACK_OK:
		rc = member_acked(e, p, p->flying);
		return rc < 0 ? rc : landed(e, p);
	case ACK_BODIES:
		outbox_crashed(p);
		return 0;
	case ACK_STALE:
	case ACK_BUSY:
	case ACK_FULL:
	default:
		outbox_crashed(p);
		compose_back_off(e, p, f->u.ack.retry_ms);
		return 0;
	}
}

/* Whoever asks for the same again did not get it, or had no use for it. */
static void mark_wants(struct ch_engine *e, struct peer *p,
		       const struct ch_frame *f)
{
	uint64_t mark = 0xcbf29ce484222325u;

	for (size_t i = 0; i < f->u.want.n; i++) {
		const struct ch_want *w = &f->u.want.v[i];

		for (size_t k = 0; k < sizeof(w->body.b); k++)
			mark = (mark ^ w->body.b[k]) * 0x100000001b3u;
		mark = (mark ^ w->chunk) * 0x100000001b3u;
	}
	if (mark == p->wants_mark)
		compose_back_off(e, p, 0);
	else
		p->backoff_ms = 0;
	p->wants_mark = mark;
}

static void on_want(struct ch_engine *e, struct peer *p,
		    const struct ch_frame *f)
{
	mark_wants(e, p, f);
	for (size_t i = 0; i < f->u.want.n; i++) {
		bool have = false;

		for (size_t k = 0; k < p->n_wants; k++)
			if (hash_cmp(&p->wants[k].body, &f->u.want.v[i].body) ==
			    0) {
				p->wants[k] = f->u.want.v[i];
				have = true;
			}
		if (!have && p->n_wants < MSG_WANTS_MAX)
			p->wants[p->n_wants++] = f->u.want.v[i];
	}
}

/* What one batch still lacks. */
struct taker {
	struct ch_engine *e;
	struct peer *p;
	struct ch_want *missing;
	size_t n_missing;
	bool incomplete; /* Of the record at hand. */
	bool full;       /* Some record did not fit. */
	bool crowded;    /* Some body did not. */
	uint32_t retry_ms;
	/* Bodies that the records of the message name, once that was asked. */
	const struct ch_message *msg;
	struct map named;
	bool has_named;
};

static int look_for_body(void *arg, const struct body_ref *body)
{
	struct taker *t = arg;
	uint32_t chunk;
	int rc;

	if (body_has(t->e, body, &rc) || rc < 0)
		return rc;
	t->incomplete = true;
	for (size_t i = 0; i < t->n_missing; i++)
		if (hash_cmp(&t->missing[i].body, &body->hash) == 0)
			return 0;
	if (t->n_missing == MSG_WANTS_MAX)
		return 0;
	rc = body_missing(t->e, body, &chunk);
	t->missing[t->n_missing++] = (struct ch_want){body->hash, chunk};
	return rc;
}

static void refuse(struct ch_engine *e, const struct peer *p, const char *what)
{
	update_notice(e, "refused", ch_str(""), ch_str(p->name), NULL,
		      ch_str(""), "%s", what);
}

#define REFUSED_SAY_MS 60000u /* The same is said so often at most. */

/* What @p is refused with each message is not worth a line each. */
static bool may_say(struct ch_engine *e, struct peer *p)
{
	if (p->refused_ms && e->now_ms - p->refused_ms < REFUSED_SAY_MS)
		return false;
	p->refused_ms = e->now_ms;
	return true;
}

/* Writes of ours that we have not made: nobody can have seen them. Taken, they
 * would cover, and so undo, what we write next. */
static bool foretells(const struct ch_engine *e, const struct record *r)
{
	for (size_t i = 0; i < r->clock.n; i++) {
		const struct actor *a = &r->clock.v[i].actor;

		/* The nonces of one life grow by one: see engine_dot(). */
		if (id_cmp(&a->site, &e->cfg.self) == 0 &&
		    a->epoch == e->me.epoch &&
		    a->nonce - e->me.nonce <= UINT16_MAX &&
		    r->clock.v[i].seq > e->seq)
			return true;
	}
	return false;
}

/*
 * May @p be told what we know of a resource of which it sent @theirs? Who holds
 * it, and who held it once and was not told that it does so no more: it knows
 * the lineage, which nobody can guess. That all is gone is no secret.
 */
static bool may_know(const struct peer *p, const struct record *ours,
		     const struct record *theirs)
{
	if (!ours->n || resource_is_holder(ours, &p->id))
		return true;
	for (size_t i = 0; i < theirs->n; i++)
		for (size_t k = 0; k < ours->n; k++)
			if (!id_is_zero(&theirs->v[i].lineage) &&
			    id_cmp(&theirs->v[i].lineage,
				   &ours->v[k].lineage) == 0)
				return true;
	return false;
}

/* So much of its own writes we have from @p. */
static void see_dots(struct peer *p, const struct record *theirs)
{
	for (size_t i = 0; i < theirs->clock.n; i++) {
		const struct actor *a = &theirs->clock.v[i].actor;

		if (a->epoch == p->epoch && id_cmp(&a->site, &p->id) == 0 &&
		    theirs->clock.v[i].seq > p->seen_seq)
			p->seen_seq = theirs->clock.v[i].seq;
	}
}

/* @p has that record, perhaps since just now: what we said of it may have come
 * there before, when it was of no use. */
static int say_again(struct ch_engine *e, const struct peer *p,
		     const struct record *r)
{
	uint64_t seq;
	int rc;

	if (!resource_is_holder(r, &p->id))
		return 0;
	rc = report_seq(e, r->name, &seq);
	if (rc < 0 || !seq)
		return rc;
	rc = outbox_has(e, &p->id, seq);
	return rc ? (rc < 0 ? rc : 0)
		  : outbox_put(e, &p->id, OUT_REPORT, r->name, 0, seq);
}

static int take_record(struct taker *t, struct ch_bytes bytes)
{
	struct ch_engine *e = t->e;
	struct record theirs, ours, merged;
	struct err err = ERR_INIT;
	uint64_t seq = 0;
	bool have;
	int rc;

	record_init(&theirs);
	record_init(&ours);
	record_init(&merged);
	rc = record_decode(bytes, &theirs, &err);
	if (rc == -EPROTO ||
	    (rc == 0 && name_check_resource(theirs.name, &err))) {
		refuse(e, t->p, err.text);
		rc = 0;
		goto out;
	}
	if (rc == 0 && foretells(e, &theirs)) {
		refuse(e, t->p, "a record with writes that were never made");
		goto out;
	}
	if (rc == 0)
		rc = keep_load(e, theirs.name, &ours, &seq);
	have = rc == 0;
	if (rc == -ENOENT)
		rc = keep_fresh(e, theirs.name, &ours);
	if (rc < 0)
		goto out;
	if (!have && !resource_is_holder(&theirs, &e->cfg.self))
		goto out; /* It does not concern us (any more). */
	t->incomplete = false;
	rc = resource_bodies(&theirs, look_for_body, t);
	if (rc < 0 || t->incomplete)
		goto out;
	engine_see_hlc(e, resource_hlc(&theirs));
	rc = record_merge(&ours, &theirs, &merged);
	if (rc == 0)
		rc = keep_hold(e, &merged, false);
	if (rc < 0)
		goto out;
	if (!keep_fits(&merged, 4)) {
		refuse(e, t->p, "a record that would grow too large here");
		t->full = true;
		goto out;
	}
	see_dots(t->p, &theirs);
	if (have && record_equal(&merged, &ours)) {
		/* Nothing new; but do they know what we know? */
		if (!rejoin_is_unconfirmed(e, theirs.name, seq, &rc) &&
		    rc == 0 && !record_equal(&ours, &theirs) &&
		    may_know(t->p, &ours, &theirs) &&
		    outbox_has(e, &t->p->id, seq) == 0)
			rc = outbox_put(e, &t->p->id, OUT_RECORD, theirs.name,
					0, seq);
	} else {
		rc = keep_save(e, &merged, have ? &ours : NULL, seq, &t->p->id,
			       &theirs);
	}
	if (rc == 0)
		rc = say_again(e, t->p, &merged);
	if (rc == 0)
		rc = rejoin_taken(e, t->p, &theirs);
out:
	record_release(&merged);
	record_release(&ours);
	record_release(&theirs);
	return rc;
}

static int take_report(struct taker *t, struct ch_bytes bytes)
{
	struct strbuf old_buf = STRBUF_INIT, key = STRBUF_INIT;
	struct strbuf value = STRBUF_INIT;
	struct ch_engine *e = t->e;
	struct report r, old;
	struct record record;
	uint64_t seq;
	bool said;
	int rc;

	if (report_decode(bytes, &r) < 0 || id_cmp(&r.site, &t->p->id) != 0) {
		refuse(e, t->p, "a report that is not its own");
		return 0;
	}
	record_init(&record);
	rc = keep_load(e, r.name, &record, &seq);
	said = rc == 0 && (resource_site_in(&record, &r.site) ||
			   resource_site_out(&record, &r.site));
	record_release(&record);
	if (!said) /* We do not hold that resource, or it does not. */
		goto out;
	rc = report_load(e, r.name, &r.site, &old_buf, &old, &seq);
	if (rc == 0 && !report_is_newer(&r, &old))
		goto out;
	if (rc < 0 && rc != -ENOENT)
		goto out;
	wire_put_u64(&value, 0);
	wire_put_u64(&value, e->wall_ms);
	wire_put_raw(&value, bytes.p, bytes.len);
	key_report(&key, r.name, &r.site);
	rc = key.bad || value.bad ? -ENOMEM : 0;
	if (rc == 0)
		rc = db_put(e, COL_REPORT, strbuf_bytes(&key),
			    strbuf_bytes(&value));
	if (rc == 0) {
		update_stale(e, CH_STALE_CONTENT, r.name, ch_str(t->p->name),
			     false);
		rc = wait_check(e, r.name);
	}
out:
	strbuf_release(&value);
	strbuf_release(&key);
	strbuf_release(&old_buf);
	return rc == -ENOENT ? 0 : rc;
}

static int move_cursor(struct ch_engine *e, struct peer *p, uint32_t epoch,
		       uint32_t nonce, uint64_t no)
{
	p->got_epoch = epoch;
	p->got_nonce = nonce;
	p->got_no = no;
	return member_cursor(e, p);
}

#define ASK_MIN_MS 250u
#define ASK_MAX_MS 10000u
#define ASK_SAY 6 /* So often in vain is worth a line. */

/*
 * Ask @t->p for what its batch lacks. What was asked for twice, and brought
 * nothing, is asked for later and later: any piece that comes makes it as it
 * was, but after a body that was another than it should be only a whole one
 * does.
 */
static void ask(struct taker *t, uint8_t *status)
{
	struct ch_engine *e = t->e;
	struct peer *p = t->p;
	uint64_t pause_ms = 0;

	if (!t->n_missing) {
		p->fruitless = 0;
		p->n_asked = 0;
		return;
	}
	if (t->crowded || !parcel_fits(p, CHUNK_LEN)) {
		if (may_say(e, p))
			refuse(e, p,
			       "more bodies than may come before what "
			       "needs them");
		t->n_missing = 0;
		t->retry_ms = ASK_MAX_MS;
		*status = ACK_FULL;
		return;
	}
	for (uint32_t i = 2; i <= p->fruitless && pause_ms < ASK_MAX_MS; i++)
		pause_ms = pause_ms ? 2 * pause_ms : ASK_MIN_MS;
	if (e->now_ms < p->asked_ms + pause_ms) {
		t->n_missing = 0;
		t->retry_ms = (uint32_t)(p->asked_ms + pause_ms - e->now_ms);
		*status = ACK_BUSY;
		return;
	}
	if (++p->fruitless == ASK_SAY)
		refuse(e, p, "a record whose bodies do not come");
	p->asked_ms = e->now_ms;
	for (size_t i = 0; i < t->n_missing; i++)
		p->asked[i] = t->missing[i].body;
	p->n_asked = t->n_missing;
}

/*
 * Is it for an earlier life of ours, or a later one, that we know nothing of?
 * What we had then may be lost: its sender hears first how much we have. (One
 * that does not know of lives says nothing.)
 */
static bool is_for_another(const struct ch_engine *e,
			   const struct ch_message *msg)
{
	const struct ch_frame *hello = &msg->v[0];

	return hello->u.hello.your_epoch &&
	       (hello->u.hello.your_epoch != e->me.epoch ||
		hello->u.hello.your_nonce != e->me.nonce);
}

static bool is_stale(const struct peer *p, const struct ch_frame *f)
{
	if (p->is_behind) /* It must take a later life first. */
		return true;
	if (f->u.batch.epoch != p->got_epoch)
		return f->u.batch.epoch < p->got_epoch;
	return f->u.batch.nonce != p->got_nonce || f->u.batch.no <= p->got_no;
}

/* Take what a batch brings; @ret_status is the word for its sender. */
static int take_batch(struct taker *t, const struct ch_frame *f,
		      uint8_t *ret_status)
{
	int rc = 0;

	if (is_stale(t->p, f)) {
		*ret_status = ACK_STALE;
		return 0;
	}
	if (is_for_another(t->e, t->msg)) {
		*ret_status = ACK_BUSY;
		return 0;
	}
	for (size_t i = 0; rc == 0 && i < f->u.batch.n; i++) {
		const struct ch_item *item = &f->u.batch.v[i];

		if (item->kind == ITEM_RECORD)
			rc = take_record(t, item->bytes);
		else if (item->kind == ITEM_REPORT)
			rc = take_report(t, item->bytes);
		else if (item->kind == ITEM_MARK && !t->n_missing && !t->full)
			rc = rejoin_mark(t->e, t->p, item->bytes);
	}
	if (rc == 0)
		rc = move_cursor(t->e, t->p, f->u.batch.epoch, f->u.batch.nonce,
				 f->u.batch.no);
	*ret_status = t->n_missing ? ACK_BODIES : t->full ? ACK_FULL : ACK_OK;
	ask(t, ret_status);
	return rc;
}

/*
 * Batches that sites made before they knew what they know now may still come:
 * from here on they are stale. So a request that was very long under way does
 * not bring back what we are about to forget. Whoever still wants one of them
 * taken is told, and sends it anew, as things are by then.
 */
int exchange_fence(struct ch_engine *e)
{
	for (size_t i = 0; i < e->n_peers; i++) {
		struct peer *p = e->peers[i];
		int rc;

		if (!p->sent_no || p->sent_epoch < p->got_epoch ||
		    (p->sent_epoch == p->got_epoch &&
		     (p->sent_nonce != p->got_nonce ||
		      p->sent_no <= p->got_no)))
			continue;
		rc = move_cursor(e, p, p->sent_epoch, p->sent_nonce,
				 p->sent_no);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int add_named(void *arg, const struct body_ref *body)
{
	struct taker *t = arg;

	return map_put(&t->named,
		       (struct ch_bytes){body->hash.b, sizeof(body->hash.b)},
		       t);
}

/* The bodies of a record that will be looked at, when it is its turn. */
static int name_bodies(struct taker *t, struct ch_bytes bytes)
{
	struct strbuf ours = STRBUF_INIT;
	struct ch_engine *e = t->e;
	struct record r;
	int rc;

	record_init(&r);
	rc = record_decode(bytes, &r, NULL);
	if (rc == 0 && !resource_is_holder(&r, &e->cfg.self))
		rc = db_get(e, COL_RECORD, r.name, &ours);
	if (rc == 0)
		rc = resource_bodies(&r, add_named, t);
	strbuf_release(&ours);
	record_release(&r);
	return rc == -EPROTO || rc == -ENOENT ? 0 : rc;
}

/* 1 when a record of this very message needs that body; 0; below. */
static int is_named(struct taker *t, const struct ch_hash *hash)
{
	int rc = 0;

	for (size_t i = 0; !t->has_named && rc == 0 && i < t->msg->n; i++) {
		const struct ch_frame *f = &t->msg->v[i];

		if (f->type != FRAME_BATCH)
			continue;
		t->has_named = true;
		if (is_stale(t->p, f))
			break;
		for (size_t k = 0; rc == 0 && k < f->u.batch.n; k++)
			if (f->u.batch.v[k].kind == ITEM_RECORD)
				rc = name_bodies(t, f->u.batch.v[k].bytes);
	}
	if (rc < 0)
		return rc;
	return map_get(&t->named,
		       (struct ch_bytes){hash->b, sizeof(hash->b)}) != NULL;
}

static bool was_asked(const struct peer *p, const struct ch_hash *hash)
{
	for (size_t i = 0; i < p->n_asked; i++)
		if (hash_cmp(&p->asked[i], hash) == 0)
			return true;
	return false;
}

/* What nobody asked for, and no record needs, is not stored. */
static int take_chunk(struct taker *t, const struct ch_frame *f)
{
	const struct ch_hash *hash = &f->u.chunk.body;
	struct ch_engine *e = t->e;
	struct peer *p = t->p;
	uint64_t end =
		(uint64_t)f->u.chunk.no * CHUNK_LEN + f->u.chunk.bytes.len;
	int rc = was_asked(p, hash) ? 1 : is_named(t, hash);

	if (rc < 0)
		return rc;
	if (!rc) {
		p->n_unasked++;
		if (may_say(e, p))
			update_notice(e, "refused", ch_str(""), ch_str(p->name),
				      NULL, ch_str(""),
				      "pieces of bodies that nobody asked for; "
				      "%llu so far",
				      (unsigned long long)p->n_unasked);
		return 0;
	}
	if (!parcel_fits(p, f->u.chunk.bytes.len)) {
		t->crowded = true;
		return 0;
	}
	rc = body_chunk(e, hash, f->u.chunk.no, f->u.chunk.len,
			f->u.chunk.bytes);
	if (rc < 0)
		return rc;
	switch ((enum body_came)rc) {
	case BODY_NOT:
		return 0;
	case BODY_SPOILED:
		p->spoiled = true;
		return 0;
	case BODY_WHOLE:
		p->spoiled = false;
		p->fruitless = 0;
		break;
	case BODY_PART:
		if (!p->spoiled)
			p->fruitless = 0;
		break;
	}
	return parcel_set(e, hash, p, end);
}

/*
 * A site that we cannot dial asks how we are, and has no question of another
 * kind open here: its last one, or our answer, got lost, and it will not know
 * before that has timed out. It gets what there is with this answer. 1 when
 * there was something.
 */
static int add_late_news(struct compose *b)
{
	struct ch_engine *e = b->e;
	struct peer *p = b->p;

	if (p->address[0] || p->held_token ||
	    (p->flying &&
	     e->now_ms - p->flying_ms < 2 * (uint64_t)e->cfg.heartbeat_ms))
		return 0;
	outbox_crashed(p);
	return compose_news(b);
}

/* Who speaks: the peer, or NULL with the HTTP status to refuse it with. */
static int identify(struct ch_engine *e, const struct ch_from *from,
		    const struct ch_message *msg, struct peer **ret_peer,
		    unsigned int *ret_status)
{
	const struct ch_frame *hello = msg->n ? &msg->v[0] : NULL;
	struct peer *p;
	int rc = 0;

	*ret_peer = NULL;
	*ret_status = 403;
	if (!hello || hello->type != FRAME_HELLO) {
		*ret_status = 400;
		return 0;
	}
	if (id_cmp(&from->federation, &e->cfg.federation) != 0 ||
	    id_cmp(&hello->u.hello.federation, &e->cfg.federation) != 0 ||
	    id_cmp(&from->site, &hello->u.hello.site) != 0 ||
	    !ch_bytes_equal(from->name, ch_str(hello->u.hello.name)) ||
	    id_cmp(&from->site, &e->cfg.self) == 0 ||
	    ch_bytes_equal(from->name, engine_name(e))) {
		update_notice(e, "refused", ch_str(""), from->name, NULL,
			      ch_str(""),
			      "a site that says it is '%.*s' of this "
			      "federation, and is not",
			      63, hello->u.hello.name);
		return 0;
	}
	if (gone_has(e, &from->site)) {
		*ret_status = 410;
		gone_refuse(e, from);
		return 0;
	}
	if (hello->u.hello.proto_min > MSG_PROTO + 1 ||
	    hello->u.hello.proto_max + 1 < MSG_PROTO) {
		*ret_status = 426;
		update_notice(e, "refused", ch_str(""), from->name, NULL,
			      ch_str(""),
			      "it speaks versions %u to %u of the protocol, "
			      "this site %u",
			      (unsigned)hello->u.hello.proto_min,
			      (unsigned)hello->u.hello.proto_max,
			      (unsigned)MSG_PROTO);
		return 0;
	}
	p = member_find(e, &from->site);
	if (!p) {
		p = member_named(e, from->name);
		if (p && !id_is_zero(&p->id) && !p->epoch) {
			/* That id was hearsay; this one has a certificate. */
			rc = db_del(e, COL_SITE,
				    (struct ch_bytes){p->id.b, 16});
			if (rc < 0)
				return rc;
			p->id = (struct ch_id){{0}};
		}
		if (p && !id_is_zero(&p->id)) {
			*ret_status = 409;
			update_notice(e, "refused", ch_str(""), from->name,
				      NULL, ch_str(""),
				      "a second site of this name: the key is "
				      "not the one that is known");
			return 0;
		}
		if (p)
			rc = member_met(e, p, &from->site);
		else if (e->n_peers >= PEERS_MAX)
			return 0;
		else
			rc = member_add(e, &from->site, from->name,
					ch_str(hello->u.hello.address), &p);
		if (rc == 0)
			rc = outbox_count(e, p);
		if (rc < 0)
			return rc;
		p->more = true;
		update_stale(e, CH_STALE_MEMBER, ch_str(""), from->name, true);
		update_notice(e, "joined", ch_str(""), from->name, NULL,
			      ch_str(""), "%s", "");
		rc = member_store(e, p);
		if (rc == 0)
			rc = rejoin_met(e);
	}
	if (rc == 0)
		rc = member_heard(e, p);
	if (rc == 0)
		rc = member_hello(e, p, hello, from);
	*ret_peer = p;
	return rc;
}

/* Frames that may stand in a request or in an answer. */
static int take_frames(struct taker *t, const struct ch_message *msg,
		       const struct ch_frame **ret_batch, uint8_t *ret_status,
		       bool *ret_beat)
{
	int rc = 0;

	*ret_batch = NULL;
	*ret_beat = false;
	t->msg = msg;
	map_init(&t->named);
	for (size_t i = 0; rc >= 0 && i < msg->n; i++) {
		const struct ch_frame *f = &msg->v[i];

		switch (f->type) {
		case FRAME_HELLO:
			break;
		case FRAME_BATCH:
			if (*ret_batch)
				break;
			*ret_batch = f;
			rc = take_batch(t, f, ret_status);
			break;
		case FRAME_ACK:
			rc = on_ack(t->e, t->p, f);
			break;
		case FRAME_BEAT:
			*ret_beat = true;
			rc = member_news(t->e, t->p, f->u.beat.v, f->u.beat.n);
			break;
		case FRAME_WANT:
			on_want(t->e, t->p, f);
			break;
		case FRAME_CHUNK:
			rc = take_chunk(t, f);
			break;
		case FRAME_ASK:
			rc = rejoin_asked(t->e, t->p, f->u.ask.epoch,
					  f->u.ask.nonce, f->u.ask.round);
			break;
		}
	}
	map_release(&t->named, NULL);
	return rc < 0 ? rc : 0;
}

int exchange_recv(struct ch_engine *e, const struct ch_event *ev)
{
	const struct ch_message *msg = ev->u.recv.msg;
	struct ch_want missing[MSG_WANTS_MAX];
	struct taker t = {.e = e, .missing = missing};
	const struct ch_frame *batch;
	struct ch_reply *reply;
	unsigned int status;
	uint32_t poll_ms;
	struct compose b;
	uint8_t ack = ACK_OK;
	bool beat;
	int rc;

	rc = identify(e, &ev->u.recv.from, msg, &t.p, &status);
	if (rc < 0)
		return rc;
	if (t.p && e->reborn) {
		status = 503; /* The next life answers. */
		t.p = NULL;
	}
	if (!t.p)
		return update_reply(e, ev->u.recv.token, status) ? 0 : -ENOMEM;
	rc = take_frames(&t, msg, &batch, &ack, &beat);
	if (rc < 0)
		return rc;
	poll_ms = msg->v[0].u.hello.poll_ms;
	if (poll_ms && !batch) {
		/* A poll: hold it. What flew to it in the last answer and was
		 * not acknowledged in this one is lost. */
		if (t.p->flying && !t.p->push_id)
			outbox_crashed(t.p);
		if (t.p->held_token)
			rc = compose_held(e, t.p, true);
		t.p->held_token = ev->u.recv.token;
		t.p->held_until_ms =
			e->now_ms +
			(poll_ms < COMPOSE_POLL_MS ? poll_ms : COMPOSE_POLL_MS);
		return rc;
	}
	rc = compose_init(&b, e, t.p);
	if (rc < 0)
		return rc;
	compose_hello(&b, 0);
	compose_ask(&b);
	if (batch) {
		compose_ack(&b, batch->u.batch.epoch, batch->u.batch.nonce,
			    batch->u.batch.no, ack, t.retry_ms);
		rc = compose_wants(&b, missing, t.n_missing);
	}
	if (rc == 0 && beat) {
		rc = add_late_news(&b);
		if (rc == 0)
			rc = compose_beat(&b);
	}
	reply = update_reply(e, ev->u.recv.token, 200);
	if (!reply || rc < 0)
		return rc < 0 ? rc : -ENOMEM;
	reply->msg = compose_message(&b);
	return 0;
}

static struct peer *find_send(struct ch_engine *e, uint64_t id,
			      enum ch_channel *ret_channel)
{
	for (size_t i = 0; i < e->n_peers; i++) {
		struct peer *p = e->peers[i];

		*ret_channel = p->push_id == id   ? CH_PUSH
			       : p->beat_id == id ? CH_BEAT
						  : CH_POLL;
		if (p->push_id == id || p->beat_id == id || p->poll_id == id)
			return p;
	}
	return NULL;
}

/* The exchange is over, however it went. */
static void ended(struct ch_engine *e, struct peer *p, enum ch_channel channel)
{
	switch (channel) {
	case CH_PUSH:
		p->push_id = 0;
		break;
	case CH_BEAT:
		p->beat_id = 0;
		break;
	case CH_POLL:
		p->poll_id = 0;
		p->next_poll_ms = e->now_ms;
		break;
	}
}

int exchange_answer(struct ch_engine *e, const struct ch_event *ev)
{
	struct taker t = {.e = e};
	const struct ch_frame *batch;
	enum ch_channel channel;
	unsigned int status;
	struct peer *asked;
	uint8_t ack = ACK_OK;
	bool beat;
	int rc;

	asked = find_send(e, ev->u.answer.id, &channel);
	if (!asked)
		return 0;
	ended(e, asked, channel);
	rc = identify(e, &ev->u.answer.from, ev->u.answer.msg, &t.p, &status);
	if (rc < 0)
		return rc;
	if (e->reborn)
		return 0;
	if (t.p != asked) {
		rc = member_dialled(e, asked, -EACCES,
				    "another site answers in its place");
		if (channel == CH_PUSH)
			outbox_crashed(asked);
		compose_back_off(e, asked, 1000);
		asked->next_poll_ms = e->now_ms + 1000;
		return rc;
	}
	rc = member_dialled(e, asked, 0, NULL);
	if (rc < 0)
		return rc;
	if (channel == CH_BEAT) {
		asked->rtt_known = true;
		asked->rtt_ms = ev->u.answer.rtt_ms;
	}
	t.missing = asked->missing;
	rc = take_frames(&t, ev->u.answer.msg, &batch, &ack, &beat);
	if (rc < 0)
		return rc;
	if (batch) {
		asked->owe_ack = true;
		asked->ack_epoch = batch->u.batch.epoch;
		asked->ack_nonce = batch->u.batch.nonce;
		asked->ack_no = batch->u.batch.no;
		asked->ack_status = ack;
		asked->ack_retry_ms = t.retry_ms;
		asked->n_missing = t.n_missing;
	}
	if (channel == CH_PUSH && asked->flying && !asked->held_token) {
		/* An answer without a word about the batch. */
		outbox_crashed(asked);
		compose_back_off(e, asked, 0);
	}
	return 0;
}

static int dialled_in_vain(struct ch_engine *e, struct peer *p,
			   const struct ch_event *ev)
{
	struct strbuf why = STRBUF_INIT;
	int rc;

	strbuf_add(&why, ev->u.unsent.why.p, ev->u.unsent.why.len);
	if (!why.len)
		strbuf_add_str(&why, "no answer");
	rc = strbuf_error(&why);
	if (rc == 0)
		rc = member_dialled(e, p, ev->u.unsent.err, why.buf);
	strbuf_release(&why);
	return rc;
}

int exchange_unsent(struct ch_engine *e, const struct ch_event *ev)
{
	enum ch_channel channel;
	struct peer *p = find_send(e, ev->u.unsent.id, &channel);
	int rc;

	if (!p)
		return 0;
	ended(e, p, channel);
	p->is_unreachable = true;
	rc = dialled_in_vain(e, p, ev);
	if (ev->u.unsent.err == -ESTALE &&
	    (!p->shut_out_ms || e->now_ms - p->shut_out_ms >= SHUT_OUT_MS)) {
		p->shut_out_ms = e->now_ms;
		update_notice(e, "refused", ch_str(""), ch_str(p->name), NULL,
			      ch_str(""), "%.*s", (int)ev->u.unsent.why.len,
			      (const char *)ev->u.unsent.why.p);
	}
	if (channel == CH_PUSH) {
		outbox_crashed(p);
		p->n_sent = 0;
		p->n_wants = 0; /* It asks again for what it needs. */
		compose_back_off(e, p, 0);
	} else if (channel == CH_POLL) {
		p->next_poll_ms = e->now_ms + e->cfg.heartbeat_ms;
	}
	return rc;
}
