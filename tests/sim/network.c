/*
 * network.c -- requests and answers between the sites of a world.
 *
 * An exchange is what a site began; a delivery is one copy of its request at
 * the other end. Each copy is answered, or its connection breaks; the first
 * answer that arrives in time counts, as with HTTP.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/rng.h"
#include "core/wire.h"
#include "tests/sim/world.h"

#define OLD_MAX (sizeof(((struct world *)0)->old) / sizeof(struct strbuf))

struct exchange {
	struct exchange *next;
	struct world *w;
	uint64_t id, life, sent_ms;
	size_t from, to;
	char text[100]; /* For the diagram. */
	bool over;      /* Its sender has heard how it went. */
	size_t n_refs;  /* Deliveries, and its time-out. */
	struct strbuf request;
};

struct delivery {
	struct delivery *next;
	struct exchange *x;
	uint64_t token, life; /* Of the receiver; 0: not there yet. */
	bool waits;           /* For the receiver's answer. */
	char text[100];       /* The answer's, for the diagram. */
	struct strbuf answer;
};

static void exchange_unref(struct exchange *x)
{
	struct exchange **at = &x->w->exchanges;

	if (--x->n_refs)
		return;
	while (*at != x)
		at = &(*at)->next;
	*at = x->next;
	strbuf_release(&x->request);
	free(x);
}

static void delivery_free(struct delivery *d)
{
	struct delivery **at = &d->x->w->deliveries;

	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	strbuf_release(&d->answer);
	exchange_unref(d->x);
	free(d);
}

void network_release(struct world *w)
{
	while (w->deliveries) {
		struct delivery *d = w->deliveries;

		w->deliveries = d->next;
		strbuf_release(&d->answer);
		free(d);
	}
	for (size_t i = 0; i < OLD_MAX; i++)
		strbuf_release(&w->old[i]);
	while (w->exchanges) {
		struct exchange *x = w->exchanges;

		w->exchanges = x->next;
		strbuf_release(&x->request);
		free(x);
	}
}

static uint32_t delay(struct world *w)
{
	uint64_t ms = 1 + rng_below(&w->rng_net, w->o.delay_ms);

	/* Now and then one is much later than the others. */
	if (rng_below(&w->rng_net, 50) == 0)
		ms *= 20;
	return (uint32_t)ms;
}

static bool happens(struct world *w, unsigned int of_1000)
{
	return of_1000 && rng_below(&w->rng_net, 1000) < of_1000;
}

static void from_of(const struct site *s, struct ch_from *from)
{
	*from = (struct ch_from){
		.site = s->id,
		.federation = s->cfg.federation,
		.name = ch_str(s->name),
	};
}

/* Its sender is told that it failed. */
static void unsent(struct exchange *x, int err)
{
	struct site *s = &x->w->site[x->from];
	struct item *it;

	if (x->over)
		return;
	x->over = true;
	if (s->life != x->life || !s->engine)
		return;
	it = calloc(1, sizeof(*it));
	CHECK(it);
	it->ev.type = CH_UNSENT;
	it->ev.u.unsent.id = x->id;
	it->ev.u.unsent.err = err;
	it->ev.u.unsent.why = ch_str("it was not to be reached");
	site_post(s, it);
}

static void on_timeout(struct world *w, void *arg)
{
	struct exchange *x = arg;

	(void)w;
	unsent(x, -ETIMEDOUT);
	exchange_unref(x);
}

/* The connection breaks, and its sender notices. */
static void on_reset(struct world *w, void *arg)
{
	struct delivery *d = arg;

	if (!w->cut[d->x->to][d->x->from])
		unsent(d->x, -ECONNRESET);
	w->tally[TALLY_RESETS]++;
	delivery_free(d);
}

static void on_answer(struct world *w, void *arg)
{
	struct delivery *d = arg;
	struct exchange *x = d->x;
	struct site *s = &w->site[x->from], *peer = &w->site[x->to];
	struct item *it;
	char *mem;

	if (x->over || s->life != x->life || !s->engine ||
	    w->cut[x->to][x->from]) {
		if (d->text[0])
			world_note(w, x->to, x->from, "%s (too late)", d->text);
		delivery_free(d);
		return;
	}
	x->over = true;
	if (d->text[0])
		world_note(w, x->to, x->from, "%s", d->text);
	it = calloc(1, sizeof(*it));
	mem = malloc(d->answer.len + 1);
	CHECK(it && mem);
	memcpy(mem, d->answer.buf, d->answer.len);
	it->mem = mem;
	it->ev.type = CH_ANSWER;
	it->ev.u.answer.id = x->id;
	it->ev.u.answer.rtt_ms = (uint32_t)(w->now - x->sent_ms);
	from_of(peer, &it->ev.u.answer.from);
	if (codec_decode((struct ch_bytes){mem, d->answer.len}, &it->msg,
			 NULL) < 0)
		world_fail(w, "an answer of %s cannot be decoded", peer->name);
	it->ev.u.answer.msg = &it->msg.msg;
	site_post(s, it);
	delivery_free(d);
}

static void on_arrival(struct world *w, void *arg)
{
	struct delivery *d = arg;
	struct exchange *x = d->x;
	struct site *s = &w->site[x->to], *from = &w->site[x->from];
	struct item *it;
	char *mem;

	if (w->cut[x->from][x->to] || happens(w, w->o.loss)) {
		if (x->text[0])
			world_note(w, x->from, x->to, "%s (LOST)", x->text);
		w->tally[TALLY_LOST]++;
		delivery_free(d); /* Silence: its time-out tells. */
		return;
	}
	if (x->text[0])
		world_note(w, x->from, x->to, "%s%s", x->text,
			   s->engine ? "" : " (down)");
	if (!s->engine) {
		world_schedule(w, w->now + 1, x->from, on_reset, d);
		return;
	}
	it = calloc(1, sizeof(*it));
	mem = malloc(x->request.len + 1);
	CHECK(it && mem);
	memcpy(mem, x->request.buf, x->request.len);
	it->mem = mem;
	it->ev.type = CH_RECV;
	it->ev.u.recv.token = d->token = ++w->last_wire;
	d->life = s->life;
	d->waits = true;
	from_of(from, &it->ev.u.recv.from);
	if (codec_decode((struct ch_bytes){mem, x->request.len}, &it->msg,
			 NULL) < 0)
		world_fail(w, "a request of %s cannot be decoded", from->name);
	it->ev.u.recv.msg = &it->msg.msg;
	site_post(s, it);
}

static void deliver(struct exchange *x, uint64_t at_ms)
{
	struct delivery *d = calloc(1, sizeof(*d));

	CHECK(d);
	d->x = x;
	x->n_refs++;
	strbuf_init(&d->answer);
	d->next = x->w->deliveries;
	x->w->deliveries = d;
	world_schedule(x->w, at_ms, x->to, on_arrival, d);
}

static const char *const frame_word[] = {"hello", "batch", "ack", "beat",
					 "want",  "chunk", "ask"};

/* @text: for the diagram; empty where there is nothing but a heartbeat. */
static void trace_message(struct site *s, const struct site *to,
			  const char *how, const struct ch_message *msg,
			  char text[100])
{
	char line[200] = "";
	size_t n = 0, chunks = 0;

	for (size_t i = 1; i < msg->n && n + 40 < sizeof(line); i++) {
		const struct ch_frame *f = &msg->v[i];
		int k = 0;

		switch (f->type) {
		case FRAME_BATCH:
			k = snprintf(line + n, sizeof(line) - n,
				     " batch %llu of %zu",
				     (unsigned long long)f->u.batch.no,
				     f->u.batch.n);
			break;
		case FRAME_ACK:
			k = snprintf(line + n, sizeof(line) - n,
				     " ack %llu: %d",
				     (unsigned long long)f->u.ack.no,
				     f->u.ack.status);
			break;
		case FRAME_CHUNK:
			if (chunks++)
				break;
			k = snprintf(line + n, sizeof(line) - n, " chunk %u..",
				     (unsigned)f->u.chunk.no);
			break;
		case FRAME_BEAT:
		case FRAME_HELLO:
			break;
		case FRAME_ASK:
		case FRAME_WANT:
			k = snprintf(line + n, sizeof(line) - n, " %s",
				     frame_word[f->type]);
			break;
		}
		n += (size_t)k;
	}
	(void)snprintf(text, 100, "%.99s", n ? line + 1 : "");
	if (n)
		world_trace(s->w, s, "%s %s:%s", how, to->name, line);
}

static struct ch_bytes item_name(const struct ch_item *item, struct record *r)
{
	struct report report;

	if (item->kind == ITEM_RECORD &&
	    record_decode(item->bytes, r, NULL) == 0)
		return r->name;
	if (item->kind == ITEM_REPORT &&
	    report_decode(item->bytes, &report) == 0)
		return report.name;
	return ch_str("");
}

/* What is acknowledged is durable here, its number with it. */
static void audit_ack(struct site *s, size_t to, const struct ch_frame *f)
{
	const struct ch_reader *reader = store_reader(s->store);
	const struct ch_id *peer = &s->w->site[to].id;
	struct strbuf value = STRBUF_INIT;
	struct wire in;
	uint32_t epoch;

	s->w->tally[TALLY_STALE] += f->u.ack.status == ACK_STALE;
	s->w->tally[TALLY_BODIES] += f->u.ack.status == ACK_BODIES;
	if (f->u.ack.status != ACK_OK || s->w->stores_lost)
		return;
	if (reader->get(reader, COL_PEER, (struct ch_bytes){peer->b, 16},
			&value) < 0) {
		world_fail(s->w, "%s acknowledges a batch and has no cursor",
			   s->name);
		return;
	}
	in = wire_of(strbuf_bytes(&value));
	epoch = wire_u32(&in);
	if (epoch < f->u.ack.epoch ||
	    (epoch == f->u.ack.epoch && wire_u32(&in) == f->u.ack.nonce &&
	     wire_u64(&in) < f->u.ack.no))
		world_fail(s->w,
			   "%s acknowledges a batch that its cursor has "
			   "not reached",
			   s->name);
	strbuf_release(&value);
}

/* Nobody is sent what he does not hold, and never held. */
static void audit(struct site *s, size_t to, const struct ch_message *msg)
{
	struct world *w = s->w;

	for (size_t i = 0; i < msg->n; i++) {
		const struct ch_frame *f = &msg->v[i];

		if (f->type == FRAME_ACK)
			audit_ack(s, to, f);
		if (f->type != FRAME_BATCH)
			continue;
		for (size_t k = 0; k < f->u.batch.n; k++) {
			struct record r, mine;
			struct ch_bytes name;

			if (f->u.batch.v[k].kind == ITEM_MARK)
				continue;
			record_init(&r);
			record_init(&mine);
			name = item_name(&f->u.batch.v[k], &r);
			if (!name.len)
				world_fail(w, "%s sends what makes no sense",
					   s->name);
			else if (ledger_stored(s, name, &mine) == 0 &&
				 !resource_is_holder(&mine, &w->site[to].id) &&
				 !ledger_held(w, to, name))
				world_fail(w,
					   "%s sends '%.*s' to %s, who does "
					   "not hold it",
					   s->name, (int)name.len,
					   (const char *)name.p,
					   w->site[to].name);
			record_release(&mine);
			record_release(&r);
		}
	}
}

/* As a program says it that is older than lives are. */
static int encode_older(const struct ch_message *msg, struct strbuf *out)
{
	struct ch_frame *v = calloc(msg->n, sizeof(*v));
	struct ch_message old = {v, 0};
	int rc;

	CHECK(v);
	for (size_t i = 0; i < msg->n; i++)
		if (msg->v[i].type != FRAME_ASK)
			v[old.n++] = msg->v[i];
	v[0].u.hello.knows_lives = false;
	v[0].u.hello.known = (struct ch_life){0};
	rc = codec_encode(&old, out);
	free(v);
	return rc;
}

static bool encode(struct site *s, const struct ch_message *msg,
		   struct strbuf *out)
{
	int rc = s->w->o.older >> s->no & 1 ? encode_older(msg, out)
					    : codec_encode(msg, out);

	if (rc < 0)
		world_fail(s->w, "%s makes a message that cannot be sent: %d",
			   s->name, rc);
	s->w->tally[TALLY_MESSAGES]++;
	world_digest(s->w, out->buf, out->len);
	return rc == 0;
}

/* When what @from sends now is at @to. */
static uint64_t arrival_ms(struct world *w, size_t from, size_t to)
{
	uint64_t at_ms = w->now + delay(w);

	return at_ms < w->clog_ms[from][to] ? w->clog_ms[from][to] : at_ms;
}

/* Keep some requests that carry a batch. */
static void remember(const struct exchange *x, const struct ch_message *msg)
{
	struct world *w = x->w;
	size_t at = w->n_old % OLD_MAX;
	bool any = false;

	for (size_t i = 0; i < msg->n; i++)
		any |= msg->v[i].type == FRAME_BATCH;
	if (!any || x->request.len > 10000 || rng_below(&w->rng_net, 2))
		return;
	w->n_old++;
	strbuf_reset(&w->old[at]);
	strbuf_add(&w->old[at], x->request.buf, x->request.len);
	w->old_from[at] = x->from;
	w->old_to[at] = x->to;
}

void network_replay(struct world *w, size_t which)
{
	size_t at = w->n_old ? which % (w->n_old < OLD_MAX ? w->n_old : OLD_MAX)
			     : 0;
	struct exchange *x;

	if (!w->n_old)
		return;
	x = calloc(1, sizeof(*x));
	CHECK(x);
	x->w = w;
	x->from = w->old_from[at];
	x->to = w->old_to[at];
	x->over = true; /* Nobody waits for the answer. */
	(void)snprintf(x->text, sizeof(x->text), "batch again");
	strbuf_init(&x->request);
	strbuf_add(&x->request, w->old[at].buf, w->old[at].len);
	x->next = w->exchanges;
	w->exchanges = x;
	w->tally[TALLY_REPLAYS]++;
	deliver(x, w->now + 1);
}

static void send_one(struct site *s, const struct ch_send *send)
{
	struct exchange *x = calloc(1, sizeof(*x));
	struct world *w = s->w;
	size_t to = 0;

	CHECK(x);
	x->w = w;
	x->id = send->id;
	x->from = s->no;
	x->life = s->life;
	x->sent_ms = w->now;
	x->n_refs = 1;
	strbuf_init(&x->request);
	x->next = w->exchanges;
	w->exchanges = x;
	while (to < w->o.n_sites &&
	       (!w->site[to].address[0] ||
		strcmp(w->site[to].address, send->address) != 0))
		to++;
	world_schedule(w, w->now + send->timeout_ms, s->no, on_timeout, x);
	if (!encode(s, &send->msg, &x->request))
		return;
	if (to == w->o.n_sites || strcmp(w->site[to].name, send->name) != 0)
		return; /* Nobody of that name answers there. */
	x->to = to;
	trace_message(s, &w->site[to], "to", &send->msg, x->text);
	audit(s, to, &send->msg);
	remember(x, &send->msg);
	deliver(x, arrival_ms(w, s->no, to));
	if (happens(w, w->o.twice)) {
		uint64_t late_ms = 10 * delay(w);

		if (w->o.late_ms)
			late_ms = rng_below(&w->rng_net, w->o.late_ms);
		deliver(x, w->now + late_ms);
		w->tally[TALLY_TWICE]++;
	}
}

static struct delivery *find_delivery(struct world *w, uint64_t token)
{
	struct delivery *d = w->deliveries;

	while (d && (!d->waits || d->token != token))
		d = d->next;
	return d;
}

static void reply_one(struct site *s, const struct ch_reply *reply)
{
	struct world *w = s->w;
	struct delivery *d = find_delivery(w, reply->token);

	if (w->injected_token && reply->token == w->injected_token) {
		w->injected_status = reply->status;
		return;
	}
	if (!d || d->x->to != s->no) {
		world_fail(w, "%s answers a request twice, or nobody's",
			   s->name);
		return;
	}
	d->waits = false;
	if (reply->status != 200) {
		world_trace(w, s, "refuses %s: %u", w->site[d->x->from].name,
			    reply->status);
		world_schedule(w, w->now + 1, d->x->from, on_reset, d);
		return;
	}
	if (!encode(s, &reply->msg, &d->answer))
		return;
	trace_message(s, &w->site[d->x->from], "answers", &reply->msg, d->text);
	audit(s, d->x->from, &reply->msg);
	if (happens(w, w->o.loss)) {
		if (d->text[0])
			world_note(w, s->no, d->x->from, "%s (LOST)", d->text);
		w->tally[TALLY_LOST]++;
		delivery_free(d);
	} else if (happens(w, w->o.resets)) {
		if (d->text[0])
			world_note(w, s->no, d->x->from, "%s (RESET)", d->text);
		world_schedule(w, w->now + delay(w), d->x->from, on_reset, d);
	} else {
		world_schedule(w, arrival_ms(w, s->no, d->x->from), d->x->from,
			       on_answer, d);
	}
}

void network_let_out(struct site *s)
{
	for (const struct ch_reply *r = s->u.reply.first; r; r = r->next)
		reply_one(s, r);
	for (const struct ch_send *send = s->u.send.first; send;
	     send = send->next)
		send_one(s, send);
}

void network_refuse(struct site *s, const struct item *it)
{
	struct delivery *d;

	if (it->ev.type != CH_RECV)
		return;
	d = find_delivery(s->w, it->ev.u.recv.token);
	if (!d)
		return;
	d->waits = false;
	world_schedule(s->w, s->w->now + 1, d->x->from, on_reset, d);
}

void network_ended(struct site *s)
{
	for (struct delivery *d = s->w->deliveries; d; d = d->next)
		if (d->waits && d->x->to == s->no) {
			d->waits = false;
			world_schedule(s->w, s->w->now + 1, d->x->from,
				       on_reset, d);
		}
}

void network_inject(struct world *w, size_t to, const struct ch_from *from,
		    const struct ch_message *msg)
{
	struct item *it = calloc(1, sizeof(*it));
	struct strbuf sb = STRBUF_INIT;
	size_t name_len = from->name.len;
	char *mem;

	CHECK(it);
	CHECK(codec_encode(msg, &sb) == 0);
	mem = malloc(name_len + sb.len + 1);
	CHECK(mem);
	memcpy(mem, from->name.p, name_len);
	memcpy(mem + name_len, sb.buf, sb.len);
	it->mem = mem;
	it->ev.type = CH_RECV;
	it->ev.u.recv.from = *from;
	it->ev.u.recv.from.name.p = mem;
	it->ev.u.recv.token = w->injected_token = ++w->last_wire;
	w->injected_status = 0;
	CHECK(codec_decode((struct ch_bytes){mem + name_len, sb.len}, &it->msg,
			   NULL) == 0);
	it->ev.u.recv.msg = &it->msg.msg;
	strbuf_release(&sb);
	site_post(&w->site[to], it);
}

unsigned int network_injected(const struct world *w)
{
	return w->injected_status;
}
