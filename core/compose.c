/*
 * compose.c -- what goes out: pushes, beats and polls, and what is in them.
 * exchange.c says what they are for.
 */
#include "core/compose.h"

#include <errno.h>
#include <string.h>

#include "core/check.h"
#include "core/gone.h"
#include "core/mem.h"
#include "core/rng.h"
#include "core/wire.h"

#define PUSH_TIMEOUT_MS 5000u
#define BACKOFF_MIN_MS 250u
#define BACKOFF_MAX_MS 10000u
#define BATCH_BYTES_MAX (640u * 1024u)
#define CHUNK_BYTES_MAX (512u * 1024u) /* Bodies sent unasked. */
#define WANT_BYTES_MAX (1024u * 1024u) /* Bodies sent because asked. */
#define BYTES_MAX (1200u * 1024u)      /* All that; the rest is small. */
#define FRAMES_MAX 96

int compose_init(struct compose *b, struct ch_engine *e, struct peer *p)
{
	*b = (struct compose){.e = e, .p = p};
	b->v = arena_alloc(e->u->arena, FRAMES_MAX * sizeof(*b->v));
	return b->v ? 0 : -ENOMEM;
}

static struct ch_frame *add(struct compose *b, enum ch_frame_type type)
{
	CHECK(b->n < FRAMES_MAX);
	b->v[b->n].type = type;
	return &b->v[b->n++];
}

struct ch_message compose_message(const struct compose *b)
{
	return (struct ch_message){b->v, b->n};
}

void compose_hello(struct compose *b, uint32_t poll_ms)
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
	f->u.hello.knows_lives = true;
	if (b->p) {
		f->u.hello.got_epoch = b->p->got_epoch;
		f->u.hello.got_nonce = b->p->got_nonce;
		f->u.hello.got_no = b->p->got_no;
		f->u.hello.sent_no = b->p->batch_no;
		f->u.hello.your_epoch = b->p->epoch;
		f->u.hello.your_nonce = b->p->nonce;
		f->u.hello.known = b->p->prev;
		if (b->p->is_lower) /* More than it can remember. */
			f->u.hello.known =
				(struct ch_life){b->p->acker_epoch,
						 b->p->acker_nonce, INT64_MAX};
		if (b->p->is_behind)
			f->u.hello.known = (struct ch_life){
				b->p->epoch, b->p->nonce, b->p->seen_seq};
	}
}

void compose_ask(struct compose *b)
{
	uint8_t round = rejoin_asks(b->e, b->p);
	struct ch_frame *f;

	if (!round)
		return;
	f = add(b, FRAME_ASK);
	f->u.ask.epoch = b->e->me.epoch;
	f->u.ask.nonce = b->e->me.nonce;
	f->u.ask.round = round;
}

int compose_beat(struct compose *b)
{
	struct ch_engine *e = b->e;
	struct ch_member_news *v;
	struct ch_frame *f;
	size_t n = 0;

	v = arena_alloc(e->u->arena, (e->n_peers + e->n_gone + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	n = gone_spread(e, v, MSG_MEMBERS_MAX / 2);
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

void compose_ack(struct compose *b, uint32_t epoch, uint32_t nonce, uint64_t no,
		 uint8_t status, uint32_t retry_ms)
{
	struct ch_frame *f = add(b, FRAME_ACK);

	f->u.ack.epoch = epoch;
	f->u.ack.nonce = nonce;
	f->u.ack.no = no;
	f->u.ack.status = status;
	f->u.ack.retry_ms = retry_ms;
}

int compose_wants(struct compose *b, const struct ch_want *wants, size_t n)
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
static int add_chunk(struct compose *b, const struct ch_hash *hash, uint32_t no,
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
	struct compose *b = arg;
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
static int item_bytes(struct compose *b, const struct out_item *item,
		      struct ch_item *ret_item)
{
	struct ch_bytes name = {item->name, item->name_len};
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	struct ch_engine *e = b->e;
	bool is_record = item->kind == OUT_RECORD, full;
	struct record r;
	struct wire w;
	int rc;

	if (item->kind == OUT_MARK) {
		ret_item->kind = ITEM_MARK;
		ret_item->bytes = arena_bytes(e->u->arena, name);
		return arena_error(e->u->arena) < 0 ? -ENOMEM : 1;
	}
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
		if (wire_u64(&w) != item->seq || item->seq < e->rejoin_floor) {
			rc = -ENOENT; /* Or it is unconfirmed by now. */
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

void compose_back_off(struct ch_engine *e, struct peer *p, uint32_t at_least_ms)
{
	uint32_t ms = p->backoff_ms ? 2 * p->backoff_ms : BACKOFF_MIN_MS;

	if (ms > BACKOFF_MAX_MS)
		ms = BACKOFF_MAX_MS;
	p->backoff_ms = ms;
	ms = ms / 2 + (uint32_t)rng_below(&e->rng, ms);
	p->next_push_ms = e->now_ms + (ms > at_least_ms ? ms : at_least_ms);
}

/* Bodies that it asked for. 1: some are left for the next message. */
static int add_wanted(struct compose *b)
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
			compose_back_off(b->e, p, 1000);
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
static int add_batch(struct compose *b)
{
	struct ch_engine *e = b->e;
	struct peer *p = b->p;
	struct ch_item *v;
	struct ch_frame *f;
	struct out_item *mark = NULL;
	bool gone = false, fresh = false;
	size_t n = 0, i;

	v = arena_alloc(e->u->arena, MSG_ITEMS_MAX * sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (i = 0; i < p->n_queue && n < MSG_ITEMS_MAX &&
		    b->item_bytes < BATCH_BYTES_MAX && b->n + 8 < FRAMES_MAX;
	     i++) {
		struct out_item *item = &p->queue[i];
		int rc;

		if (item->kind == OUT_MARK) {
			mark = item;
			continue;
		}
		if (plan_is_fresh(
			    e, (struct ch_bytes){item->name, item->name_len})) {
			fresh = true;
			continue;
		}
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
	/* What changed since a mark was put there stands behind it: all that
	 * comes first. */
	if (mark && i == p->n_queue && !p->more && !fresh &&
	    n < MSG_ITEMS_MAX) {
		int rc = item_bytes(b, mark, &v[n]);

		if (rc < 0)
			return rc;
		n++;
		mark->flying = true;
	} else if (mark && p->more && n == 0) {
		/* It is all that is left in the window: it goes behind what
		 * the window has not. */
		int rc = outbox_put(
			e, &p->id, OUT_MARK,
			(struct ch_bytes){mark->name, mark->name_len},
			mark->seq, outbox_next(e));

		if (rc < 0)
			return rc;
		mark->flying = true;
		gone = true;
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
int compose_news(struct compose *b)
{
	struct peer *p = b->p;
	bool any = false;
	int rc;

	if (p->owe_ack) {
		compose_ack(b, p->ack_epoch, p->ack_nonce, p->ack_no,
			    p->ack_status, p->ack_retry_ms);
		rc = compose_wants(b, p->missing, p->n_missing);
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
	/* It may know better what we are about to tell: see rejoin.c. */
	if (rc == 0 && !p->flying && p->is_vetted) {
		rc = add_batch(b);
		if (rc < 0)
			return rc;
		any |= rc > 0;
	}
	return any;
}

static struct ch_send *send_to(struct ch_engine *e, const struct peer *p,
			       enum ch_channel channel, uint32_t timeout_ms,
			       const struct compose *b)
{
	struct ch_send *s = update_send(e);

	if (!s)
		return NULL;
	s->id = engine_id(e);
	s->name = arena_str(e->u->arena, ch_str(p->name));
	s->address = arena_str(e->u->arena, ch_str(p->address));
	s->channel = channel;
	s->timeout_ms = timeout_ms;
	s->msg = compose_message(b);
	return s;
}

static int push(struct ch_engine *e, struct peer *p)
{
	struct compose b;
	struct ch_send *s;
	int rc = compose_init(&b, e, p);

	if (rc < 0)
		return rc;
	compose_hello(&b, 0);
	rc = compose_news(&b);
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
	struct compose b;
	struct ch_send *s;
	int rc = compose_init(&b, e, p);

	if (rc < 0)
		return rc;
	compose_hello(&b, 0);
	if (!id_is_zero(&p->id))
		compose_ask(&b);
	rc = compose_beat(&b);
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
	struct compose b;
	struct ch_send *s;
	int rc = compose_init(&b, e, p);

	if (rc < 0)
		return rc;
	compose_hello(&b, COMPOSE_POLL_MS);
	if (p->owe_ack) {
		compose_ack(&b, p->ack_epoch, p->ack_nonce, p->ack_no,
			    p->ack_status, p->ack_retry_ms);
		rc = compose_wants(&b, p->missing, p->n_missing);
		p->owe_ack = false;
		p->n_missing = 0;
	}
	if (rc < 0)
		return rc;
	s = send_to(e, p, CH_POLL, COMPOSE_POLL_MS + 10000, &b);
	if (!s)
		return -ENOMEM;
	p->poll_id = s->id;
	return 0;
}

/* The answer to a request that was held: what there is, or nothing. */
int compose_held(struct ch_engine *e, struct peer *p, bool even_if_empty)
{
	struct ch_reply *reply;
	struct compose b;
	int rc = compose_init(&b, e, p);

	if (rc < 0)
		return rc;
	compose_hello(&b, 0);
	compose_ask(&b);
	rc = compose_news(&b);
	if (rc < 0 || (rc == 0 && !even_if_empty))
		return rc;
	reply = update_reply(e, p->held_token, 200);
	if (!reply)
		return -ENOMEM;
	reply->msg = compose_message(&b);
	p->held_token = 0;
	return 0;
}

static bool has_something(const struct peer *p)
{
	return p->n_wants || (p->n_queue && !p->flying && p->is_vetted);
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
	if (rc == 0 && dial && met && p->is_vetted && !p->push_id &&
	    (has_something(p) || p->owe_ack)) {
		if (now >= p->next_push_ms)
			rc = push(e, p);
		else
			update_by(e, p->next_push_ms);
	}
	if (rc == 0 && p->held_token) {
		if (now >= p->held_until_ms) {
			rc = compose_held(e, p, true);
		} else if (!dial && has_something(p)) {
			if (now >= p->next_push_ms)
				rc = compose_held(e, p, false);
			else
				update_by(e, p->next_push_ms);
		}
		if (p->held_token)
			update_by(e, p->held_until_ms);
	}
	return rc;
}

int exchange_pump(struct ch_engine *e)
{
	if (e->reborn) /* The next life speaks. */
		return 0;
	for (size_t i = 0; i < e->n_peers; i++) {
		int rc = pump_one(e, e->peers[i]);

		if (rc < 0)
			return rc;
	}
	return 0;
}
