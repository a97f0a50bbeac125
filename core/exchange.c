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
#include "core/mem.h"
#include "core/name.h"
#include "core/peer.h"
#include "core/rng.h"
#include "core/wire.h"

#define POLL_MS 55000u
#define PUSH_TIMEOUT_MS 5000u
#define BACKOFF_MIN_MS 250u
#define BACKOFF_MAX_MS 10000u
#define BATCH_BYTES_MAX (640u * 1024u)
#define CHUNK_BYTES_MAX (512u * 1024u) /* Bodies sent unasked. */
#define WANT_BYTES_MAX (1024u * 1024u) /* Bodies sent because asked. */
#define BYTES_MAX (1200u * 1024u)      /* All that; the rest is small. */
#define FRAMES_MAX 96

struct builder {
	struct ch_engine *e;
	struct peer *p;
	struct ch_frame *v;
	size_t n;
	size_t chunk_bytes, item_bytes;
};

static int builder_init(struct builder *b, struct ch_engine *e, struct peer *p)
{
	*b = (struct builder){.e = e, .p = p};
	b->v = arena_alloc(e->u->arena, FRAMES_MAX * sizeof(*b->v));
	return b->v ? 0 : -ENOMEM;
}

static struct ch_frame *add(struct builder *b, enum ch_frame_type type)
{
	CHECK(b->n < FRAMES_MAX);
	b->v[b->n].type = type;
	return &b->v[b->n++];
}

static struct ch_message message(const struct builder *b)
{
	return (struct ch_message){b->v, b->n};
}

static void add_hello(struct builder *b, uint32_t poll_ms)
{
	struct ch_engine *e = b->e;
	struct ch_frame *f = add(b, FRAME_HELLO);
	struct arena *a = e->u->arena;

	f->u.hello.proto_min = MSG_PROTO;
	f->u.hello.proto_max = MSG_PROTO;
	f->u.hello.federation = e->cfg.federation;
	f->u.hello.site = e->cfg.self;
	f->u.hello.store = e->cfg.store_id;
	f->u.hello.epoch = e->me.epoch;
	f->u.hello.nonce = e->me.nonce;
	f->u.hello.incarnation = e->me.epoch;
	f->u.hello.name = e->cfg.name;
	f->u.hello.address = e->cfg.address;
	f->u.hello.version = e->cfg.version;
	f->u.hello.labels = arena_str(a, ch_str(e->cfg.labels));
	f->u.hello.wall_ms = e->wall_ms;
	f->u.hello.heartbeat_ms = e->cfg.heartbeat_ms;
	f->u.hello.poll_ms = poll_ms;
	if (b->p) {
		f->u.hello.got_epoch = b->p->got_epoch;
		f->u.hello.got_nonce = b->p->got_nonce;
		f->u.hello.got_no = b->p->got_no;
	}
}

static int add_beat(struct builder *b)
{
	struct ch_engine *e = b->e;
	struct ch_member_news *v;
	struct ch_frame *f;
	size_t n = 0;

	v = arena_alloc(e->u->arena, (e->n_peers + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < e->n_peers && n < MSG_MEMBERS_MAX; i++) {
		const struct peer *q = e->peers[i];

		if (q == b->p || id_is_zero(&q->id))
			continue;
		v[n].site = q->id;
		v[n].name = arena_str(e->u->arena, ch_str(q->name));
		v[n].address = arena_str(e->u->arena, ch_str(q->address));
		v[n].epoch = q->epoch;
		v[n].incarnation = q->incarnation;
		v[n].heartbeat = (uint8_t)q->heartbeat;
		v[n].heard_ago_ms =
			q->heard_ms ? e->now_ms - q->heard_ms : UINT64_MAX;
		n++;
	}
	f = add(b, FRAME_BEAT);
	f->u.beat.v = v;
	f->u.beat.n = n;
	return 0;
}

static void add_ack(struct builder *b, uint32_t epoch, uint32_t nonce,
		    uint64_t no, uint8_t status)
{
	struct ch_frame *f = add(b, FRAME_ACK);

	f->u.ack.epoch = epoch;
	f->u.ack.nonce = nonce;
	f->u.ack.no = no;
	f->u.ack.status = status;
}

static int add_wants(struct builder *b, const struct ch_want *wants, size_t n)
{
	struct ch_want *v;
	struct ch_frame *f;

	if (!n)
		return 0;
	v = arena_alloc(b->e->u->arena, n * sizeof(*v));
	if (!v)
		return -ENOMEM;
	memcpy(v, wants, n * sizeof(*v));
	f = add(b, FRAME_WANT);
	f->u.want.v = v;
	f->u.want.n = n;
	return 0;
}

/* 1: added; 0: that chunk is not here; below. */
static int add_chunk(struct builder *b, const struct ch_hash *hash, uint32_t no,
		     uint64_t len)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	struct ch_frame *f;
	int rc;

	key_body(&key, hash, no);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_get(b->e, COL_BODY, strbuf_bytes(&key), &value);
	if (rc == 0) {
		f = add(b, FRAME_CHUNK);
		f->u.chunk.body = *hash;
		f->u.chunk.no = no;
		f->u.chunk.len = len;
		f->u.chunk.bytes =
			arena_bytes(b->e->u->arena, strbuf_bytes(&value));
		b->chunk_bytes += value.len;
		rc = 1;
	}
	strbuf_release(&value);
	strbuf_release(&key);
	return rc == -ENOENT ? 0 : rc;
}

static bool was_sent(const struct peer *p, const struct ch_hash *hash)
{
	size_t n = p->n_sent < PEER_SENT_MAX ? p->n_sent : PEER_SENT_MAX;

	for (size_t i = 0; i < n; i++)
		if (hash_cmp(&p->sent[i], hash) == 0)
			return true;
	return false;
}

/* A small body that it may not have yet goes with the record. */
static int offer_body(void *arg, const struct body_ref *body)
{
	struct builder *b = arg;
	int rc;

	if (body->len > CHUNK_LEN || b->n + 8 > FRAMES_MAX ||
	    b->chunk_bytes + body->len > CHUNK_BYTES_MAX ||
	    b->chunk_bytes + b->item_bytes + body->len > BYTES_MAX ||
	    was_sent(b->p, &body->hash))
		return 0;
	rc = add_chunk(b, &body->hash, 0, body->len);
	if (rc > 0)
		b->p->sent[b->p->n_sent++ % PEER_SENT_MAX] = body->hash;
	return rc < 0 ? rc : 0;
}

/* The bytes of a queue entry: 1; 0 when it is no longer current; 2 when
 * there is no room for them. */
static int item_bytes(struct builder *b, const struct out_item *item,
		      struct ch_item *ret_item)
{
	struct ch_bytes name = {item->name, item->name_len};
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	struct ch_engine *e = b->e;
	bool is_record = item->kind == OUT_RECORD, full;
	struct record r;
	struct wire w;
	int rc;

	record_init(&r);
	if (is_record)
		strbuf_add(&key, name.p, name.len);
	else
		key_report(&key, name, &e->cfg.self);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_get(e, is_record ? COL_RECORD : COL_REPORT,
			    strbuf_bytes(&key), &value);
	full = b->chunk_bytes + b->item_bytes &&
	       b->chunk_bytes + b->item_bytes + value.len > BYTES_MAX;
	if (rc == 0) {
		w = wire_of(strbuf_bytes(&value));
		if (wire_u64(&w) != item->seq) {
			rc = -ENOENT;
		} else if (full) {
			rc = 1;
		} else {
			b->item_bytes += value.len;
			if (!is_record)
				(void)wire_u64(&w);
			ret_item->kind = is_record ? ITEM_RECORD : ITEM_REPORT;
			ret_item->bytes = arena_bytes(
				e->u->arena, (struct ch_bytes){w.p, w.len});
			rc = arena_error(e->u->arena);
		}
	}
	if (rc == 0 && is_record) {
		rc = record_decode(ret_item->bytes, &r, NULL);
		if (rc == -EPROTO)
			rc = -EIO;
		if (rc == 0)
			rc = resource_bodies(&r, offer_body, b);
	}
	record_release(&r);
	strbuf_release(&value);
	strbuf_release(&key);
	return rc == -ENOENT ? 0 : rc < 0 ? rc : 1 + rc;
}

static void back_off(struct ch_engine *e, struct peer *p, uint32_t at_least_ms)
{
	uint32_t ms = p->backoff_ms ? 2 * p->backoff_ms : BACKOFF_MIN_MS;

	if (ms > BACKOFF_MAX_MS)
		ms = BACKOFF_MAX_MS;
	p->backoff_ms = ms;
	ms = ms / 2 + (uint32_t)rng_below(&e->rng, ms);
	p->next_push_ms = e->now_ms + (ms > at_least_ms ? ms : at_least_ms);
}

/* Bodies that it asked for. 1: some are left for the next message. */
static int add_wanted(struct builder *b)
{
	struct peer *p = b->p;

	while (p->n_wants) {
		struct ch_want *w = &p->wants[0];
		struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
		uint64_t len = 0;
		int rc = 1;

		/* How long is it? Its last chunk tells; we look for it. */
		for (uint32_t no = 0; rc > 0; no++) {
			strbuf_reset(&key);
			key_body(&key, &w->body, no);
			rc = strbuf_error(&key);
			if (rc == 0)
				rc = db_get(b->e, COL_BODY, strbuf_bytes(&key),
					    &value);
			if (rc == 0) {
				len += value.len;
				rc = value.len == CHUNK_LEN;
			}
		}
		strbuf_release(&value);
		strbuf_release(&key);
		if (rc < 0 && rc != -ENOENT)
			return rc;
		if (!len) /* It will ask again; not at once. */
			back_off(b->e, p, 1000);
		while ((uint64_t)w->chunk * CHUNK_LEN < len) {
			if (b->chunk_bytes + CHUNK_LEN > WANT_BYTES_MAX ||
			    b->n + 8 > FRAMES_MAX)
				return 1;
			rc = add_chunk(b, &w->body, w->chunk, len);
			if (rc < 0)
				return rc;
			w->chunk++;
		}
		p->n_wants--;
		memmove(p->wants, p->wants + 1, p->n_wants * sizeof(*w));
	}
	return 0;
}

/* 1: a batch was added; 0: there is nothing to send now. */
static int add_batch(struct builder *b)
{
	struct ch_engine *e = b->e;
	struct peer *p = b->p;
	struct ch_item *v;
	struct ch_frame *f;
	bool gone = false;
	size_t n = 0;

	v = arena_alloc(e->u->arena, MSG_ITEMS_MAX * sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_queue && n < MSG_ITEMS_MAX &&
			   b->item_bytes < BATCH_BYTES_MAX &&
			   b->n + 8 < FRAMES_MAX;
	     i++) {
		struct out_item *item = &p->queue[i];
		int rc;

		if (plan_is_fresh(e, (struct ch_bytes){item->name,
						       item->name_len}))
			continue;
		rc = item_bytes(b, item, &v[n]);
		if (rc == 2)
			break;
		if (rc == 0) /* Whatever wants it told has an entry. */
			rc = outbox_del(e, &p->id, item->seq);
		else if (rc > 0)
			n++;
		if (rc < 0)
			return rc;
		item->flying = true;
		gone |= rc == 0;
	}
	if (n == 0) {
		if (gone)
			outbox_landed(p);
		return 0;
	}
	p->flying = ++p->batch_no;
	p->flying_ms = e->now_ms;
	f = add(b, FRAME_BATCH);
	f->u.batch.epoch = e->me.epoch;
	f->u.batch.nonce = e->me.nonce;
	f->u.batch.no = p->flying;
	f->u.batch.v = v;
	f->u.batch.n = n;
	return 1;
}

/* All that @p should hear from us now: chunks, a batch, an answer to its last
 * batch. 1 when there was something. */
static int add_news(struct builder *b)
{
	struct peer *p = b->p;
	bool any = false;
	int rc;

	if (p->owe_ack) {
		add_ack(b, p->ack_epoch, p->ack_nonce, p->ack_no,
			p->ack_status);
		rc = add_wants(b, p->missing, p->n_missing);
		if (rc < 0)
			return rc;
		p->owe_ack = false;
		p->n_missing = 0;
		any = true;
	}
	rc = add_wanted(b);
	if (rc < 0)
		return rc;
	any |= b->chunk_bytes > 0;
	if (rc == 0 && !p->flying) {
		rc = add_batch(b);
		if (rc < 0)
			return rc;
		any |= rc > 0;
	}
	return any;
}

static struct ch_send *send_to(struct ch_engine *e, const struct peer *p,
			       enum ch_channel channel, uint32_t timeout_ms,
			       const struct builder *b)
{
	struct ch_send *s = update_send(e);

	if (!s)
		return NULL;
	s->id = engine_id(e);
	s->name = arena_str(e->u->arena, ch_str(p->name));
	s->address = arena_str(e->u->arena, ch_str(p->address));
	s->channel = channel;
	s->timeout_ms = timeout_ms;
	s->msg = message(b);
	return s;
}

static int push(struct ch_engine *e, struct peer *p)
{
	struct builder b;
	struct ch_send *s;
	int rc = builder_init(&b, e, p);

	if (rc < 0)
		return rc;
	add_hello(&b, 0);
	rc = add_news(&b);
	if (rc <= 0)
		return rc;
	s = send_to(e, p, CH_PUSH,
		    PUSH_TIMEOUT_MS + (uint32_t)(b.chunk_bytes / 32), &b);
	if (!s)
		return -ENOMEM;
	p->push_id = s->id;
	return 0;
}

static int beat(struct ch_engine *e, struct peer *p)
{
	uint32_t timeout = 2 * e->cfg.heartbeat_ms;
	struct builder b;
	struct ch_send *s;
	int rc = builder_init(&b, e, p);

	if (rc < 0)
		return rc;
	add_hello(&b, 0);
	rc = add_beat(&b);
	if (rc < 0)
		return rc;
	s = send_to(e, p, CH_BEAT, timeout < 2000 ? 2000 : timeout, &b);
	if (!s)
		return -ENOMEM;
	p->beat_id = s->id;
	return 0;
}

static int poll_for_more(struct ch_engine *e, struct peer *p)
{
	struct builder b;
	struct ch_send *s;
	int rc = builder_init(&b, e, p);

	if (rc < 0)
		return rc;
	add_hello(&b, POLL_MS);
	if (p->owe_ack) {
		add_ack(&b, p->ack_epoch, p->ack_nonce, p->ack_no,
			p->ack_status);
		rc = add_wants(&b, p->missing, p->n_missing);
		p->owe_ack = false;
		p->n_missing = 0;
	}
	if (rc < 0)
		return rc;
	s = send_to(e, p, CH_POLL, POLL_MS + 10000, &b);
	if (!s)
		return -ENOMEM;
	p->poll_id = s->id;
	return 0;
}

/* The answer to a request that was held: what there is, or nothing. */
static int let_go(struct ch_engine *e, struct peer *p, bool even_if_empty)
{
	struct ch_reply *reply;
	struct builder b;
	int rc = builder_init(&b, e, p);

	if (rc < 0)
		return rc;
	add_hello(&b, 0);
	rc = add_news(&b);
	if (rc < 0 || (rc == 0 && !even_if_empty))
		return rc;
	reply = update_reply(e, p->held_token, 200);
	if (!reply)
		return -ENOMEM;
	reply->msg = message(&b);
	p->held_token = 0;
	return 0;
}

static bool has_something(const struct peer *p)
{
	return p->n_wants || (p->n_queue && !p->flying);
}

static int pump_one(struct ch_engine *e, struct peer *p)
{
	bool dial = p->address[0] != '\0', met = !id_is_zero(&p->id);
	uint64_t now = e->now_ms;
	int rc = 0;

	if (p->more && !p->n_queue)
		update_by(e, now); /* The next round begins with more. */

	if (dial && !p->beat_id) {
		if (now >= p->next_beat_ms) {
			p->next_beat_ms = now + e->cfg.heartbeat_ms;
			if (member_is_watched(e, p))
				rc = beat(e, p);
		}
		update_by(e, p->next_beat_ms);
	}
	if (rc == 0 && dial && met && !e->cfg.address[0] && !p->poll_id) {
		if (now >= p->next_poll_ms)
			rc = poll_for_more(e, p);
		else
			update_by(e, p->next_poll_ms);
	}
	if (rc == 0 && dial && met && !p->push_id &&
	    (has_something(p) || p->owe_ack)) {
		if (now >= p->next_push_ms)
			rc = push(e, p);
		else
			update_by(e, p->next_push_ms);
	}
	if (rc == 0 && p->held_token) {
		if (now >= p->held_until_ms)
			rc = let_go(e, p, true);
		else if (!dial && has_something(p))
			rc = let_go(e, p, false);
		if (p->held_token)
			update_by(e, p->held_until_ms);
	}
	return rc;
}

int exchange_pump(struct ch_engine *e)
{
	for (size_t i = 0; i < e->n_peers; i++) {
		int rc = pump_one(e, e->peers[i]);

		if (rc < 0)
			return rc;
	}
	return 0;
}

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
	if (!p->flying || f->u.ack.epoch != e->me.epoch ||
	    f->u.ack.nonce != e->me.nonce || f->u.ack.no != p->flying)
		return 0;
	switch (f->u.ack.status) {
	case ACK_OK:
		return landed(e, p);
	case ACK_BODIES:
		outbox_crashed(p);
		return 0;
	case ACK_STALE:
	case ACK_BUSY:
	case ACK_FULL:
	default:
		outbox_crashed(p);
		back_off(e, p, f->u.ack.retry_ms);
		return 0;
	}
}

static void on_want(struct peer *p, const struct ch_frame *f)
{
	for (size_t i = 0; i < f->u.want.n; i++) {
		bool have = false;

		for (size_t k = 0; k < p->n_wants; k++)
			if (hash_cmp(&p->wants[k].body,
				     &f->u.want.v[i].body) == 0) {
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
	if (rc == -EPROTO || (rc == 0 && name_check_resource(theirs.name, &err))) {
		refuse(e, t->p, err.text);
		rc = 0;
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
		goto out;
	}
	if (have && record_equal(&merged, &ours)) {
		/* Nothing new; but do they know what we know? */
		if (!record_equal(&ours, &theirs) &&
		    outbox_has(e, &t->p->id, seq) == 0)
			rc = outbox_put(e, &t->p->id, OUT_RECORD, theirs.name,
					0, seq);
		goto out;
	}
	rc = keep_save(e, &merged, have ? &ours : NULL, seq, &t->p->id,
		       &theirs);
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

	if (report_decode(bytes, &r) < 0 ||
	    id_cmp(&r.site, &t->p->id) != 0) {
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

static int store_cursor(struct ch_engine *e, struct peer *p,
			const struct ch_frame *f)
{
	struct strbuf value = STRBUF_INIT;
	int rc;

	p->got_epoch = f->u.batch.epoch;
	p->got_nonce = f->u.batch.nonce;
	p->got_no = f->u.batch.no;
	wire_put_u32(&value, p->got_epoch);
	wire_put_u32(&value, p->got_nonce);
	wire_put_u64(&value, p->got_no);
	rc = strbuf_error(&value);
	if (rc == 0)
		rc = db_put(e, COL_PEER, (struct ch_bytes){p->id.b, 16},
			    strbuf_bytes(&value));
	strbuf_release(&value);
	return rc;
}

static bool is_stale(const struct peer *p, const struct ch_frame *f)
{
	if (f->u.batch.epoch != p->got_epoch)
		return f->u.batch.epoch < p->got_epoch;
	return f->u.batch.nonce == p->got_nonce && f->u.batch.no <= p->got_no;
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
	for (size_t i = 0; rc == 0 && i < f->u.batch.n; i++) {
		const struct ch_item *item = &f->u.batch.v[i];

		if (item->kind == ITEM_RECORD)
			rc = take_record(t, item->bytes);
		else if (item->kind == ITEM_REPORT)
			rc = take_report(t, item->bytes);
	}
	if (rc == 0)
		rc = store_cursor(t->e, t->p, f);
	*ret_status = t->n_missing ? ACK_BODIES : ACK_OK;
	return rc;
}

/*
 * A site that we cannot dial asks how we are, and has no question of another
 * kind open here: its last one, or our answer, got lost, and it will not know
 * before that has timed out. It gets what there is with this answer. 1 when
 * there was something.
 */
static int add_late_news(struct builder *b)
{
	struct ch_engine *e = b->e;
	struct peer *p = b->p;

	if (p->address[0] || p->held_token ||
	    (p->flying &&
	     e->now_ms - p->flying_ms < 2 * (uint64_t)e->cfg.heartbeat_ms))
		return 0;
	outbox_crashed(p);
	return add_news(b);
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
		if (p && !id_is_zero(&p->id)) {
			*ret_status = 409;
			update_notice(e, "refused", ch_str(""), from->name,
				      NULL, ch_str(""),
				      "a second site of this name: the key is "
				      "not the one that is known");
			return 0;
		}
		if (p)
			p->id = from->site;
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
			rc = member_news(t->e, f->u.beat.v, f->u.beat.n);
			break;
		case FRAME_WANT:
			on_want(t->p, f);
			break;
		case FRAME_CHUNK:
			rc = body_chunk(t->e, &f->u.chunk.body, f->u.chunk.no,
					f->u.chunk.len, f->u.chunk.bytes);
			break;
		}
	}
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
	struct builder b;
	uint8_t ack = ACK_OK;
	bool beat;
	int rc;

	rc = identify(e, &ev->u.recv.from, msg, &t.p, &status);
	if (rc < 0)
		return rc;
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
			rc = let_go(e, t.p, true);
		t.p->held_token = ev->u.recv.token;
		t.p->held_until_ms =
			e->now_ms + (poll_ms < POLL_MS ? poll_ms : POLL_MS);
		return rc;
	}
	rc = builder_init(&b, e, t.p);
	if (rc < 0)
		return rc;
	add_hello(&b, 0);
	if (batch) {
		add_ack(&b, batch->u.batch.epoch, batch->u.batch.nonce,
			batch->u.batch.no, ack);
		rc = add_wants(&b, missing, t.n_missing);
	}
	if (rc == 0 && beat) {
		rc = add_late_news(&b);
		if (rc == 0)
			rc = add_beat(&b);
	}
	reply = update_reply(e, ev->u.recv.token, 200);
	if (!reply || rc < 0)
		return rc < 0 ? rc : -ENOMEM;
	reply->msg = message(&b);
	return 0;
}

static struct peer *find_send(struct ch_engine *e, uint64_t id,
			      enum ch_channel *ret_channel)
{
	for (size_t i = 0; i < e->n_peers; i++) {
		struct peer *p = e->peers[i];

		*ret_channel = p->push_id == id	  ? CH_PUSH
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
	if (t.p != asked) {
		if (channel == CH_PUSH)
			outbox_crashed(asked);
		back_off(e, asked, 1000);
		asked->next_poll_ms = e->now_ms + 1000;
		return 0;
	}
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
		asked->n_missing = t.n_missing;
	}
	if (channel == CH_PUSH && asked->flying && !asked->held_token) {
		/* An answer without a word about the batch. */
		outbox_crashed(asked);
		back_off(e, asked, 0);
	}
	return 0;
}

int exchange_unsent(struct ch_engine *e, const struct ch_event *ev)
{
	enum ch_channel channel;
	struct peer *p = find_send(e, ev->u.unsent.id, &channel);

	if (!p)
		return 0;
	ended(e, p, channel);
	if (channel == CH_PUSH) {
		outbox_crashed(p);
		p->n_sent = 0;
		p->n_wants = 0; /* It asks again for what it needs. */
		back_off(e, p, 0);
	} else if (channel == CH_POLL) {
		p->next_poll_ms = e->now_ms + e->cfg.heartbeat_ms;
	}
	return 0;
}
