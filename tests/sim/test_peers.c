/*
 * test_peers.c -- stories of what may come between sites: distance, silence,
 * lies, crashes, and memory that is not to be had.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "core/peer.h"
#include "tests/sim/story.h"

static void large_body(void **state)
{
	struct world *w = boot(3);
	struct strbuf body = STRBUF_INIT;

	(void)state;
	while (body.len < 3u << 20)
		strbuf_addf(&body, "key%zu: %zu\n", body.len, body.len * 7);
	assert_int_equal(make(w, A, "web"), 0);
	assert_int_equal(sites(w, A, "web", "nantes\nparis\n"), 0);
	assert_int_equal(
		put(w, A, "web", CH_FILE_SPEC, "", strbuf_bytes(&body), NULL),
		0);
	sees_state(w, A, "web", B, "ready");
	has(w, B, "directory", "web", body.buf);
	/* A third of it is lost, and it arrives nevertheless. */
	w->o.loss = 200;
	assert_int_equal(add(w, B, "web", "lyon"), 0);
	sees_state(w, A, "web", C, "ready");
	has(w, C, "directory", "web", body.buf);
	w->o.loss = 0;
	/* And goes when nobody needs it. */
	assert_int_equal(spec(w, A, "web", "a: 1\n"), 0);
	assert_int_equal(spec(w, A, "web", "a: 2\n"), 0);
	strbuf_release(&body);
	end(w);
}

static void many_at_once(void **state)
{
	struct world *w = boot(2);
	struct strbuf body = STRBUF_INIT;
	char name[20];

	(void)state;
	world_cut(w, A, B, true);
	while (body.len < 60000)
		strbuf_addf(&body, "key%zu: %zu\n", body.len, body.len);
	for (int i = 0; i < 400; i++) {
		(void)snprintf(name, sizeof(name), "r%d", i);
		assert_int_equal(make(w, A, name), 0);
		assert_int_equal(sites(w, A, name, "nantes\nparis\n"), 0);
		strbuf_addf(&body, "i%d: 0\n", i);
		assert_int_equal(put(w, A, name, CH_FILE_SPEC, "",
				     strbuf_bytes(&body), NULL),
				 0);
	}
	world_cut(w, A, B, false);
	sees_state(w, A, "r0", B, "ready");
	sees_state(w, A, "r399", B, "ready");
	sees_state(w, B, "r300", A, "ready");
	strbuf_release(&body);
	end(w);
}

static void site_without_address(void **state)
{
	const struct world_options o = {
		.seed = 7, .n_sites = 3, .dial_only = 1u << C};
	struct ch_submit sync = {.op = CH_WAIT, .timeout_ms = 60000};
	struct world *w = boot_with(&o);
	uint64_t then;

	(void)state;
	sync.name = ch_str("web");
	everywhere(w, "web", "a: 1\n");
	/* What is for it arrives at once: its question was held. */
	world_run(w, 20000);
	assert_int_equal(spec(w, A, "web", "a: 2\n"), 0);
	then = w->now;
	sees_state(w, A, "web", C, "ready");
	assert_true(w->now - then < 500);
	assert_int_equal(spec(w, C, "web", "a: 3\n"), 0);
	assert_int_equal(op(w, C, &sync), 0);
	has(w, C, "directory", "web", "a: 3\n");
	/* Cut off and back, and restarted: what it asked before is lost. */
	for (int i = 0; i < 5; i++) {
		char text[20];

		(void)snprintf(text, sizeof(text), "a: %d\n", 40 + i);
		world_cut(w, A, C, true);
		assert_int_equal(spec(w, A, "web", text), 0);
		world_run(w, 7000);
		world_cut(w, A, C, false);
		world_run(w, 5000);
		has(w, C, "directory", "web", text);
		sees_state(w, A, "web", C, "ready");
	}
	world_crash(w, C);
	assert_int_equal(spec(w, A, "web", "a: 5\n"), 0);
	world_run(w, 20000);
	world_start(w, C);
	sees_state(w, A, "web", C, "ready");
	has(w, C, "directory", "web", "a: 5\n");
	end(w);
}

static bool tells(struct world *w, size_t at, const char *text)
{
	struct view v = site_view(&w->site[at]);
	struct strbuf sb = STRBUF_INIT;
	bool is;

	assert_int_equal(view_content(&v, VIEW_STATUS, ch_str("web"),
				      ch_str(""), &sb, NULL),
			 0);
	is = strstr(sb.buf, text) != NULL;
	strbuf_release(&sb);
	return is;
}

/* Neither A nor B listens. */
static void two_that_only_dial(void **state)
{
	const struct world_options o = {
		.seed = 7, .n_sites = 3, .dial_only = 1u << A | 1u << B};
	struct world *w = boot_with(&o);

	(void)state;
	world_run(w, 5000);
	/* They know of each other; with nobody between them that is all. */
	assert_int_equal(make(w, A, "web"), 0);
	assert_int_equal(sites(w, A, "web", "nantes\nparis\n"), 0);
	assert_int_equal(spec(w, A, "web", "a: 1\n"), 0);
	world_run(w, 10000);
	sees_state(w, A, "web", A, "ready");
	sees_state(w, A, "web", B, "unreachable");
	assert_true(tells(w, A, "neither nantes nor paris listens"));
	has(w, B, "directory", "web", NULL);
	/* C holds it, and listens: through it they do. */
	assert_int_equal(add(w, A, "web", name_of(w, C)), 0);
	sees(w, B, VIEW_SPEC, "web", "", "a: 1\n");
	sees_state(w, A, "web", B, "pending");
	assert_true(tells(w, A, "neither nantes nor paris listens"));
	for (int i = 0; i < 6; i++) {
		char text[20];

		(void)snprintf(text, sizeof(text), "a: %d\n", 10 + i);
		assert_int_equal(spec(w, (size_t)i % 2, "web", text), 0);
		sees(w, i % 2 ? A : B, VIEW_SPEC, "web", "", text);
		sees_state(w, C, "web", A, "ready");
		sees_state(w, C, "web", B, "ready");
		has(w, A, "directory", "web", text);
		has(w, B, "directory", "web", text);
	}
	/* And a deletion. */
	for (size_t i = A; i <= C; i++)
		assert_int_equal(withdraw(w, A, "web", name_of(w, i), 1), 0);
	assert_int_equal(unmake(w, A, "web", 1), 0);
	sees(w, B, VIEW_SPEC, "web", "", NULL);
	world_run(w, 20000);
	for (size_t i = A; i <= C; i++)
		has(w, i, "directory", "web", NULL);
	good(w);
	world_free(w);
}

/* A witness that is told to go hears of it, also when more is written before
 * that was said. */
static void dropped_and_written_on(void **state)
{
	struct world *w = boot(2);

	(void)state;
	assert_int_equal(make(w, A, "web"), 0);
	assert_int_equal(sites(w, A, "web", "paris\n"), 0);
	assert_int_equal(spec(w, A, "web", "a: 1\n"), 0);
	sees_state(w, A, "web", B, "ready");
	world_cut(w, A, B, true);
	assert_int_equal(sites(w, B, "web", "paris\n!+nantes\n"), 0);
	assert_int_equal(spec(w, B, "web", "a: 2\n"), 0);
	world_cut(w, A, B, false);
	sees(w, A, VIEW_STATE, "web", NULL, NULL);
	end(w);
}

static void heartbeats(void **state)
{
	struct world *w = boot(3);
	uint64_t then;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	sees_heart(w, A, B, "alive");
	then = w->now;
	world_crash(w, B);
	sees_heart(w, A, B, "suspect");
	assert_in_range(w->now - then, 1500, 5000);
	sees_heart(w, A, B, "dead");
	assert_in_range(w->now - then, 11000, 15000);
	sees_state(w, A, "web", B, "unreachable");
	sees_heart(w, C, B, "dead");
	world_start(w, B);
	then = w->now;
	sees_heart(w, A, B, "alive");
	assert_true(w->now - then < 3000);
	sees_state(w, A, "web", B, "ready");
	/* Stopped, while its sockets live. */
	world_freeze(w, B, true);
	sees_heart(w, A, B, "dead");
	world_freeze(w, B, false);
	sees_heart(w, A, B, "alive");
	/* Heard through a third: no false alarm. */
	world_cut(w, A, B, true);
	for (int i = 0; i < 60; i++) {
		struct look l = {A, VIEW_MEMBER_HEARTBEAT, "", "paris",
				 "alive\n"};

		world_run(w, 500);
		assert_true(shows(w, &l));
	}
	world_cut(w, A, B, false);
	end(w);
}

static void learned_from_another(void **state)
{
	const struct world_options o = {.seed = 7, .n_sites = 4, .star = true};
	struct world *w = boot_with(&o);

	(void)state;
	for (size_t at = 0; at < 4; at++)
		for (size_t of = 0; of < 4; of++)
			if (at != of)
				sees_heart(w, at, of, "alive");
	assert_int_equal(make(w, B, "web"), 0);
	assert_int_equal(add(w, B, "web", name_of(w, C)), 0);
	assert_int_equal(spec(w, B, "web", "a: 1\n"), 0);
	sees_state(w, B, "web", C, "ready");
	end(w);
}

/* Messages made by hand. */

static struct ch_frame hello_of(const struct world *w, size_t site)
{
	const struct site *s = &w->site[site];
	struct ch_frame f = {.type = FRAME_HELLO};

	f.u.hello.proto_min = f.u.hello.proto_max = MSG_PROTO;
	f.u.hello.federation = s->cfg.federation;
	f.u.hello.site = s->id;
	f.u.hello.epoch = s->cfg.epoch;
	f.u.hello.nonce = s->cfg.nonce;
	f.u.hello.name = s->name;
	f.u.hello.address = s->address;
	f.u.hello.version = "0.1";
	f.u.hello.labels = "";
	f.u.hello.heartbeat_ms = 1000;
	return f;
}

static struct ch_from from_of(const struct world *w, size_t site)
{
	return (struct ch_from){
		.site = w->site[site].id,
		.federation = w->site[site].cfg.federation,
		.name = ch_str(w->site[site].name),
	};
}

static unsigned int tell(struct world *w, size_t to, const struct ch_from *from,
			 const struct ch_frame *v, size_t n)
{
	network_inject(w, to, from, &(struct ch_message){v, n});
	world_run(w, 100);
	good(w);
	return network_injected(w);
}

static void refused(void **state)
{
	struct world *w = boot(2);
	struct ch_frame hello = hello_of(w, B);
	struct ch_from from = from_of(w, B);

	(void)state;
	assert_int_equal(tell(w, A, &from, &hello, 1), 200);
	/* A known name, and another key. */
	from.site.b[3] ^= 1;
	assert_int_equal(tell(w, A, &from, &hello, 1), 403);
	hello.u.hello.site = from.site;
	assert_int_equal(tell(w, A, &from, &hello, 1), 409);
	/* Another federation; our own name; a later protocol. */
	from = from_of(w, B);
	hello = hello_of(w, B);
	from.federation.b[0] ^= 1;
	assert_int_equal(tell(w, A, &from, &hello, 1), 403);
	from = from_of(w, A);
	hello = hello_of(w, A);
	assert_int_equal(tell(w, A, &from, &hello, 1), 403);
	from = from_of(w, B);
	hello = hello_of(w, B);
	hello.u.hello.proto_min = hello.u.hello.proto_max = MSG_PROTO + 2;
	assert_int_equal(tell(w, A, &from, &hello, 1), 426);
	sees_heart(w, A, B, "alive");
	end(w);
}

/* A batch of B's with one report of @of. */
static unsigned int report_by(struct world *w, size_t of, uint64_t no,
			      uint32_t epoch)
{
	struct report r = {
		.name = ch_str("web"),
		.site = w->site[of].id,
		.epoch = 900,
		.number = 1,
		.state = STATE_FAILED,
		.message = ch_str("forged"),
	};
	struct ch_frame v[2] = {hello_of(w, B), {.type = FRAME_BATCH}};
	struct strbuf sb = STRBUF_INIT;
	struct ch_from from = from_of(w, B);
	struct ch_item item;
	unsigned int status;

	report_encode(&r, &sb);
	item = (struct ch_item){ITEM_REPORT, strbuf_bytes(&sb)};
	v[1].u.batch.epoch = epoch;
	v[1].u.batch.nonce = w->site[B].cfg.nonce;
	v[1].u.batch.no = no;
	v[1].u.batch.v = &item;
	v[1].u.batch.n = 1;
	status = tell(w, A, &from, v, 2);
	strbuf_release(&sb);
	return status;
}

/* In which life @of said what A knows of it. */
static uint32_t said_in(const struct world *w, size_t of)
{
	const struct ch_reader *r = store_reader(w->site[A].store);
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	struct report said;

	key_report(&key, ch_str("web"), &w->site[of].id);
	assert_int_equal(r->get(r, COL_REPORT, strbuf_bytes(&key), &value), 0);
	assert_int_equal(
		report_decode((struct ch_bytes){value.buf + 16, value.len - 16},
			      &said),
		0);
	strbuf_release(&value);
	strbuf_release(&key);
	return said.epoch;
}

static void forged(void **state)
{
	struct world *w = boot(3);
	struct ch_frame v[2] = {hello_of(w, B), {.type = FRAME_BATCH}};
	struct ch_from from = from_of(w, B);
	struct ch_item item = {ITEM_RECORD, ch_str("no record at all")};
	const struct peer *p;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_crash(w, B); /* Whose numbers we take. */
	/* It may speak for itself alone. */
	assert_int_equal(report_by(w, C, 1000, 1), 200);
	assert_int_equal(said_in(w, C), 1);
	/* Not again under a number that is not above the last. */
	assert_int_equal(report_by(w, B, 1000, 1), 200);
	assert_int_equal(report_by(w, B, 999, 1), 200);
	assert_int_equal(report_by(w, B, 2000, 0), 200);
	assert_int_equal(said_in(w, B), 1);
	assert_int_equal(report_by(w, B, 1001, 1), 200);
	assert_int_equal(said_in(w, B), 900);
	/* What makes no sense is left out. */
	v[1].u.batch.epoch = 1;
	v[1].u.batch.nonce = w->site[B].cfg.nonce;
	v[1].u.batch.no = 1002;
	v[1].u.batch.v = &item;
	v[1].u.batch.n = 1;
	assert_int_equal(tell(w, A, &from, v, 2), 200);
	p = member_find(w->site[A].engine, &w->site[B].id);
	assert_int_equal(p->got_no, 1002);
	good(w);
	world_free(w);
}

/* Bodies that do not come, or that nobody wants. */

static bool store_has(const struct site *s, enum ch_col col,
		      struct ch_bytes key, struct strbuf *value)
{
	const struct ch_reader *r = store_reader(s->store);

	strbuf_reset(value);
	return r->get(r, col, key, value) == 0;
}

/* Put @value in place of what is stored, or remove it (NULL). */
static void meddle(struct site *s, enum ch_col col, struct ch_bytes key,
		   const struct strbuf *value)
{
	struct ch_batch batch;

	batch_init(&batch);
	if (value)
		batch_put(&batch, col, key, strbuf_bytes(value));
	else
		batch_del(&batch, col, key);
	assert_int_equal(store_commit(s->store, &batch, true, NULL), 0);
	batch_release(&batch);
}

/* A body of several chunks, and the key of its chunk @no. */
static void long_body(struct strbuf *body, size_t len, uint32_t no,
		      struct strbuf *key)
{
	struct ch_bytes b;
	struct ch_hash h;

	while (body->len < len)
		strbuf_addf(body, "key%zu: %zu\n", body->len, body->len * 3);
	b = strbuf_bytes(body);
	hash_sum(&b, 1, &h);
	key_body(key, &h, no);
}

/* A chunk that is gone at its sender, or another than it was. */
static void damaged_body(void **state)
{
	(void)state;
	for (int gone = 0; gone < 2; gone++) {
		const struct world_options o = {
			.seed = 7, .n_sites = 2, .dial_only = gone ? 2 : 0};
		struct world *w = boot_with(&o);
		struct strbuf body = STRBUF_INIT, key = STRBUF_INIT;
		struct strbuf good_one = STRBUF_INIT, bad = STRBUF_INIT;
		uint64_t messages, then;

		long_body(&body, 900000, 1, &key);
		assert_int_equal(make(w, A, "web"), 0);
		assert_int_equal(add(w, A, "web", "nantes"), 0);
		assert_int_equal(put(w, A, "web", CH_FILE_SPEC, "",
				     strbuf_bytes(&body), NULL),
				 0);
		world_run(w, 2000);
		assert_true(store_has(&w->site[A], COL_BODY, strbuf_bytes(&key),
				      &good_one));
		strbuf_add(&bad, good_one.buf, good_one.len);
		bad.buf[7] ^= 1;
		meddle(&w->site[A], COL_BODY, strbuf_bytes(&key),
		       gone ? NULL : &bad);
		assert_int_equal(add(w, A, "web", "paris"), 0);
		world_run(w, 5000);
		messages = w->tally[TALLY_MESSAGES];
		world_run(w, 60000);
		good(w);
		/* Its beats are some 240 of them; without a pause there would
		 * be thousands more. */
		assert_true(w->tally[TALLY_MESSAGES] - messages < 500);
		assert_int_equal(versions(w, B, "web"), 0);
		meddle(&w->site[A], COL_BODY, strbuf_bytes(&key), &good_one);
		then = w->now;
		sees_state(w, A, "web", B, "ready");
		assert_true(w->now - then < 60000);
		strbuf_release(&bad);
		strbuf_release(&good_one);
		strbuf_release(&key);
		strbuf_release(&body);
		end(w);
	}
}

/* What B made while it was cut off, as A would be sent it: the record of
 * "big"; B is down then, and its numbers are ours. */
static void record_of_b(struct world *w, struct ch_bytes body,
			struct strbuf *out)
{
	struct record r;

	world_cut(w, A, B, true);
	assert_int_equal(make(w, B, "big"), 0);
	assert_int_equal(add(w, B, "big", "nantes"), 0);
	assert_int_equal(put(w, B, "big", CH_FILE_SPEC, "", body, NULL), 0);
	record_init(&r);
	assert_int_equal(ledger_stored(&w->site[B], ch_str("big"), &r), 0);
	record_encode(&r, out);
	record_release(&r);
	world_crash(w, B);
	world_cut(w, A, B, false);
}

/* B's hello, a chunk (NULL: none), and a batch of one record (none). */
static void tell_body(struct world *w, const struct strbuf *chunk,
		      const struct ch_hash *hash, size_t len,
		      const struct strbuf *record, uint64_t no)
{
	struct ch_frame v[3] = {hello_of(w, B)};
	struct ch_from from = from_of(w, B);
	struct ch_item item = {ITEM_RECORD, {NULL, 0}};
	size_t n = 1;

	if (chunk) {
		v[n].type = FRAME_CHUNK;
		v[n].u.chunk.body = *hash;
		v[n].u.chunk.len = len;
		v[n++].u.chunk.bytes = strbuf_bytes(chunk);
	}
	if (record) {
		item.bytes = strbuf_bytes(record);
		v[n].type = FRAME_BATCH;
		v[n].u.batch.epoch = w->site[B].cfg.epoch;
		v[n].u.batch.nonce = w->site[B].cfg.nonce;
		v[n].u.batch.no = no;
		v[n].u.batch.v = &item;
		v[n++].u.batch.n = 1;
	}
	assert_int_equal(tell(w, A, &from, v, n), 200);
}

static void never_comes(void **state)
{
	struct world *w = boot(2);
	struct strbuf body = STRBUF_INIT, key = STRBUF_INIT;
	struct strbuf record = STRBUF_INIT, chunk = STRBUF_INIT;
	uint64_t asked_ms = 0, until;
	struct ch_hash hash;
	size_t asked = 0;
	struct peer *p;

	(void)state;
	long_body(&body, 600000, 0, &key);
	memcpy(hash.b, key.buf, sizeof(hash.b));
	strbuf_add(&chunk, body.buf, CHUNK_LEN);
	record_of_b(w, strbuf_bytes(&body), &record);
	p = member_find(w->site[A].engine, &w->site[B].id);
	/* It is offered ten times a second, and never sent. */
	until = w->now + 30000;
	for (uint64_t no = 1000; w->now < until; no++) {
		tell_body(w, NULL, NULL, 0, &record, no);
		assert_int_equal(p->got_no, no);
		asked += p->asked_ms != asked_ms;
		asked_ms = p->asked_ms;
	}
	assert_in_range(asked, 5, 12);
	/* One piece of it, and it is asked for the next at once. */
	tell_body(w, &chunk, &hash, body.len, NULL, 0);
	assert_int_equal(p->fruitless, 0);
	assert_int_equal(p->parcel_bytes, CHUNK_LEN);
	tell_body(w, NULL, NULL, 0, &record, 90000);
	assert_true(p->asked_ms > asked_ms);
	/* Unless it has too much here already. */
	p->parcel_bytes += PEER_PARCELS_MAX;
	asked_ms = p->asked_ms;
	world_run(w, 20000);
	tell_body(w, NULL, NULL, 0, &record, 90001);
	assert_int_equal(p->asked_ms, asked_ms);
	p->parcel_bytes -= PEER_PARCELS_MAX;
	world_start(w, B);
	sees_state(w, B, "big", A, "ready");
	p = member_find(w->site[A].engine, &w->site[B].id);
	assert_int_equal(p->parcel_bytes, 0); /* A record needs it now. */
	strbuf_release(&chunk);
	strbuf_release(&record);
	strbuf_release(&key);
	strbuf_release(&body);
	end(w);
}

static void nobody_asked(void **state)
{
	struct world *w = boot(2);
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	struct strbuf body = STRBUF_INIT, record = STRBUF_INIT;
	struct ch_hash hash;
	struct peer *p;

	(void)state;
	long_body(&body, 5000, 0, &key);
	memcpy(hash.b, key.buf, sizeof(hash.b));
	record_of_b(w, strbuf_bytes(&body), &record);
	p = member_find(w->site[A].engine, &w->site[B].id);
	tell_body(w, &body, &hash, body.len, NULL, 0);
	assert_int_equal(p->n_unasked, 1);
	assert_false(
		store_has(&w->site[A], COL_BODY, strbuf_bytes(&key), &value));
	/* With a record that needs it. */
	tell_body(w, &body, &hash, body.len, &record, 1000);
	assert_int_equal(p->n_unasked, 1);
	assert_true(
		store_has(&w->site[A], COL_BODY, strbuf_bytes(&key), &value));
	assert_int_equal(versions(w, A, "big"), 1);
	world_start(w, B);
	strbuf_release(&value);
	strbuf_release(&record);
	strbuf_release(&body);
	strbuf_release(&key);
	end(w);
}

/* An acknowledgement is for the batch that flies, and no other. */
static void acks_of_others(void **state)
{
	struct world *w = boot(2);
	struct ch_from from = from_of(w, B);
	struct ch_frame v[2] = {hello_of(w, B), {.type = FRAME_ACK}};
	const struct peer *p;
	uint64_t backlog;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_run(w, 5000);
	world_cut(w, A, B, true);
	assert_int_equal(spec(w, A, "web", "a: 2\n"), 0);
	p = member_find(w->site[A].engine, &w->site[B].id);
	assert_true(p->flying > 1);
	world_run(w, 1000);
	backlog = p->backlog;
	assert_true(backlog > 0);
	for (int i = 0; i < 4; i++) {
		uint64_t flying = p->flying;

		v[1].u.ack.epoch = w->site[A].cfg.epoch - (i == 2);
		v[1].u.ack.nonce = w->site[A].cfg.nonce + (i == 3);
		v[1].u.ack.no = i == 0   ? flying - 1
				: i == 1 ? flying + 1
					 : flying;
		assert_int_equal(tell(w, A, &from, v, 2), 200);
		assert_int_equal(p->flying, flying);
		assert_int_equal(p->backlog, backlog);
	}
	world_cut(w, A, B, false);
	sees(w, B, VIEW_SPEC, "web", "", "a: 2\n");
	end(w);
}

/* B says that "web" is idle there, as its report @number of life @epoch. */
static void says(struct world *w, uint64_t no, uint32_t epoch, uint64_t number)
{
	const struct report r = {
		.name = ch_str("web"),
		.site = w->site[B].id,
		.epoch = epoch,
		.number = number,
		.state = STATE_IDLE,
	};
	struct ch_frame v[2] = {hello_of(w, B), {.type = FRAME_BATCH}};
	struct ch_from from = from_of(w, B);
	struct strbuf sb = STRBUF_INIT;
	struct ch_item item;

	report_encode(&r, &sb);
	item = (struct ch_item){ITEM_REPORT, strbuf_bytes(&sb)};
	v[1].u.batch.epoch = w->site[B].cfg.epoch;
	v[1].u.batch.nonce = w->site[B].cfg.nonce;
	v[1].u.batch.no = no;
	v[1].u.batch.v = &item;
	v[1].u.batch.n = 1;
	assert_int_equal(tell(w, A, &from, v, 2), 200);
	strbuf_release(&sb);
}

/* What is said again later, in whatever order, does not undo what was said
 * after it. */
static void old_reports(void **state)
{
	struct world *w = boot(2);

	(void)state;
	assert_int_equal(make(w, A, "web"), 0);
	assert_int_equal(sites(w, A, "web", "paris\n"), 0);
	world_run(w, 5000);
	world_crash(w, B); /* Whose numbers we take. */
	says(w, 1000, 800, 5);
	assert_int_equal(said_in(w, B), 800);
	says(w, 1001, 900, 5);
	assert_int_equal(said_in(w, B), 900);
	says(w, 1002, 899, 9);
	assert_int_equal(said_in(w, B), 900);
	good(w);
	world_free(w);
}

static bool has_none(const struct site *s, enum ch_col col, const char *name)
{
	struct strbuf value = STRBUF_INIT;
	bool none = !store_has(s, col, ch_str(name), &value);

	strbuf_release(&value);
	return none;
}

/* A certificate says that all it covers is gone: there is none as long as one
 * site has a record. */
static void certificate_comes_last(void **state)
{
	struct world *w = boot(3);

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_run(w, 2000);
	world_crash(w, B);
	for (size_t i = A; i <= C; i++)
		assert_int_equal(withdraw(w, A, "web", name_of(w, i), 1), 0);
	assert_int_equal(unmake(w, A, "web", 1), 0);
	world_run(w, 30000);
	has(w, A, "directory", "web", NULL);
	/* B hears of it, and cannot remove it. */
	w->o.job_fails = 1000;
	world_start(w, B);
	world_run(w, 30000);
	assert_false(has_none(&w->site[B], COL_RECORD, "web"));
	assert_true(has_none(&w->site[C], COL_RECORD, "web"));
	for (size_t i = A; i <= C; i++)
		assert_true(has_none(&w->site[i], COL_CERT, "web"));
	w->o.job_fails = 0;
	world_run(w, 120000);
	/* A made it, and so is the last to know of it. */
	assert_true(has_none(&w->site[A], COL_RECORD, "web"));
	assert_false(has_none(&w->site[A], COL_CERT, "web"));
	end(w);
}

/* A forgot a resource, its own writes among it: what it makes anew under that
 * name has not seen them. */
static void forgotten_writes(void **state)
{
	struct world *w = boot(2);

	(void)state;
	assert_int_equal(make(w, A, "web"), 0);
	assert_int_equal(add(w, A, "web", "paris"), 0);
	assert_int_equal(spec(w, A, "web", "a: 1\n"), 0);
	sees_state(w, A, "web", B, "ready");
	assert_int_equal(sites(w, B, "web", "!+nantes\n"), 0);
	world_run(w, 10000);
	assert_true(has_none(&w->site[A], COL_RECORD, "web"));
	assert_int_equal(make(w, A, "web"), 0);
	assert_int_equal(spec(w, A, "web", "a: 2\n"), 0);
	assert_int_equal(add(w, A, "web", "paris"), 0);
	sees(w, B, VIEW_STATE, "web", "", "conflict\n");
	assert_int_equal(versions(w, B, "web"), 2);
	assert_int_equal(spec(w, B, "web", "a: 3\n"), 0);
	sees(w, A, VIEW_SPEC, "web", "", "a: 3\n");
	end(w);
}

/* A request that was under way while B left the resource, and forgot it. */
static void very_late(void **state)
{
	struct world *w = boot(2);
	struct ch_frame v[3] = {
		hello_of(w, A), {.type = FRAME_CHUNK}, {.type = FRAME_BATCH}};
	const struct ch_bytes body = ch_str("a: 1\n");
	struct ch_from from = from_of(w, A);
	struct strbuf record = STRBUF_INIT;
	struct ch_item item;
	struct record r;
	struct peer *p;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_run(w, 5000);
	record_init(&r);
	assert_int_equal(ledger_stored(&w->site[A], ch_str("web"), &r), 0);
	record_encode(&r, &record);
	record_release(&r);
	item = (struct ch_item){ITEM_RECORD, strbuf_bytes(&record)};
	p = member_find(w->site[A].engine, &w->site[B].id);
	v[2].u.batch.epoch = w->site[A].cfg.epoch;
	v[2].u.batch.nonce = w->site[A].cfg.nonce;
	v[2].u.batch.no = ++p->batch_no;
	v[2].u.batch.v = &item;
	v[2].u.batch.n = 1;
	hash_sum(&body, 1, &v[1].u.chunk.body);
	v[1].u.chunk.len = body.len;
	v[1].u.chunk.bytes = body;
	assert_int_equal(withdraw(w, B, "web", name_of(w, B), 1), 0);
	world_run(w, 20000);
	assert_true(has_none(&w->site[B], COL_RECORD, "web"));
	assert_int_equal(tell(w, B, &from, v, 3), 200);
	assert_true(has_none(&w->site[B], COL_RECORD, "web"));
	/* What is said from now on is heard. */
	assert_int_equal(add(w, A, "web", "paris"), 0);
	sees_state(w, A, "web", B, "ready");
	strbuf_release(&record);
	end(w);
}

static void chunk(struct world *w, const struct ch_hash *body, uint32_t no,
		  uint64_t len, struct ch_bytes bytes)
{
	struct ch_frame v[2] = {hello_of(w, B), {.type = FRAME_CHUNK}};
	struct peer *p = member_find(w->site[A].engine, &w->site[B].id);
	struct ch_from from = from_of(w, B);

	p->asked[0] = *body; /* As if A had seen a record that needs it. */
	p->n_asked = 1;
	v[1].u.chunk.body = *body;
	v[1].u.chunk.no = no;
	v[1].u.chunk.len = len;
	v[1].u.chunk.bytes = bytes;
	assert_int_equal(tell(w, A, &from, v, 2), 200);
}

static int count_any(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	(void)key;
	(void)value;
	++*(size_t *)arg;
	return 0;
}

/* Someone is wrong about how long a body is: nothing of that stays. */
static void wrong_length(void **state)
{
	static char whole[CHUNK_LEN + 5], wrong[CHUNK_LEN];
	const struct ch_bytes all = {whole, sizeof(whole)};
	const struct ch_bytes full = {wrong, sizeof(wrong)};
	const struct ch_bytes text = ch_str("a: 2\n");
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	struct world *w = boot(2);
	const struct ch_reader *r;
	struct ch_hash hash;
	size_t n = 0;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	memset(whole, 'x', sizeof(whole));
	hash_sum(&all, 1, &hash);
	for (uint32_t no = 0; no < 3; no++)
		chunk(w, &hash, no, 4 * CHUNK_LEN, full);
	chunk(w, &hash, 0, sizeof(whole), (struct ch_bytes){whole, CHUNK_LEN});
	chunk(w, &hash, 1, sizeof(whole),
	      (struct ch_bytes){whole + CHUNK_LEN, 5});
	r = store_reader(w->site[A].store);
	assert_int_equal(r->scan(r, COL_BODY,
				 (struct ch_bytes){hash.b, sizeof(hash.b)},
				 ch_str(""), count_any, &n),
			 0);
	assert_int_equal(n, 2);
	/* A short one that is said to be long, and is then written here. */
	hash_sum(&text, 1, &hash);
	chunk(w, &hash, 0, 2 * CHUNK_LEN, full);
	key_part(&key, &hash);
	assert_int_equal(r->get(r, COL_SYS, strbuf_bytes(&key), &value), 0);
	assert_int_equal(spec(w, A, "web", "a: 2\n"), 0);
	assert_int_equal(r->get(r, COL_SYS, strbuf_bytes(&key), &value),
			 -ENOENT);
	sees(w, A, VIEW_SPEC, "web", "", "a: 2\n");
	sees(w, B, VIEW_SPEC, "web", "", "a: 2\n");
	assert_int_equal(spec(w, A, "web", "a: 3\n"), 0);
	assert_int_equal(spec(w, A, "web", "a: 4\n"), 0);
	sees(w, B, VIEW_SPEC, "web", "", "a: 4\n");
	strbuf_release(&value);
	strbuf_release(&key);
	end(w);
}

static void failed_commit(void **state)
{
	struct world *w = boot(2);
	uint64_t messages;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_run(w, 5000);
	world_cut(w, A, B, true);
	w->o.commit_fails = 1000;
	messages = w->site[A].n_rounds;
	assert_int_equal(spec(w, A, "web", "a: 2\n"), -EIO);
	assert_true(w->site[A].n_rounds > messages);
	w->o.commit_fails = 0;
	has(w, A, "directory", "web", "a: 1\n");
	has(w, B, "directory", "web", "a: 1\n");
	world_run(w, 5000);
	assert_int_equal(spec(w, A, "web", "a: 3\n"), 0);
	world_cut(w, A, B, false);
	sees(w, B, VIEW_SPEC, "web", "", "a: 3\n");
	end(w);
}

static void crashes(void **state)
{
	struct world *w = boot(2);

	(void)state;
	everywhere(w, "web", "a: 1\n");
	for (int i = 0; i < 20; i++) {
		char text[20];
		size_t site = (size_t)i % 2;

		(void)snprintf(text, sizeof(text), "a: %d\n", 10 + i);
		assert_int_equal(spec(w, site, "web", text), 0);
		world_crash(w, site);
		world_run(w, 50);
		world_start(w, site);
		sees(w, site, VIEW_SPEC, "web", "", text);
		sees(w, !site, VIEW_SPEC, "web", "", text);
		sees_state(w, !site, "web", site, "ready");
		has(w, site, "directory", "web", text);
	}
	end(w);
}

/* Without memory. */

static bool op_until(struct world *w, size_t site, struct ch_submit *c)
{
	for (int i = 0; i < 20; i++) {
		int rc = op(w, site, c);

		if (rc != -EIO)
			return rc == 0 || i;
		world_run(w, 100);
	}
	return false;
}

static void put_until(struct world *w, size_t site, enum ch_file file,
		      const char *text)
{
	for (int i = 0; i < 20; i++) {
		if (put(w, site, "web", file,
			file == CH_FILE_PATCH ? name_of(w, B) : "",
			ch_str(text), NULL) != -EIO)
			return;
		world_run(w, 100);
	}
	fail_msg("it cannot be written");
}

/* A short life, in which the @n-th allocation of round @round fails. Says
 * whether that was ever reached, and the number of rounds. */
static void short_life(uint64_t round, long n, bool *ret_hit, bool *ret_spent,
		       uint64_t *ret_rounds)
{
	const struct world_options o = {.seed = 3, .n_sites = 2};
	struct ch_submit c = {.op = CH_MKDIR, .name = ch_str("web")};
	struct world *w = world_new(&o);
	char name[100];

	w->fail_round = round;
	w->fail_n = n;
	world_run(w, 1500);
	assert_true(op_until(w, A, &c));
	put_until(w, A, CH_FILE_SITES, "nantes\nparis\n");
	put_until(w, A, CH_FILE_SPEC, "a: 1\n");
	sees_state(w, A, "web", B, "ready");
	put_until(w, B, CH_FILE_PATCH, "b: 1\n");
	sees_state(w, A, "web", B, "ready");
	c = (struct ch_submit){.op = CH_SITE_DEL, .name = ch_str("web")};
	c.group_id = 5;
	c.site = ch_str("nantes");
	assert_true(op_until(w, A, &c));
	c.site = ch_str("paris");
	assert_true(op_until(w, A, &c));
	c.op = CH_RMDIR;
	assert_true(op_until(w, A, &c));
	world_run(w, 20000);
	has(w, B, "directory", "web", NULL);
	c = (struct ch_submit){.op = CH_RESTORE, .name = ch_str("web")};
	c.trash = ch_str(trash(w, A, name));
	assert_true(op_until(w, A, &c));
	*ret_hit = w->fail_hit;
	*ret_spent = w->fail_spent;
	*ret_rounds = w->rounds;
	end(w);
}

static void no_memory(void **state)
{
	uint64_t rounds = 1;
	size_t hits = 0;

	(void)state;
	/* Each round; within it, each allocation at first, then some. */
	for (uint64_t round = 1; round <= rounds; round++) {
		bool hit = true, spent = true;
		size_t missed = 0;
		long n = 0;

		while (hit || (spent && missed < 2)) {
			short_life(round, n, &hit, &spent, &rounds);
			hits += hit;
			/* Spent to the last one is no failure; twice is one
			 * that nobody noticed. */
			missed = hit ? 0 : missed + spent;
			assert_true(missed < 2);
			n += hit && n > 12 ? 1 + n / 12 : 1;
		}
	}
	assert_true(hits > 1000);
}

/* Whom a record names no more hears of that, whatever is written meanwhile. */
static void told_that_it_left(void **state)
{
	struct world *w = boot(3);
	char line[40];

	(void)state;
	assert_int_equal(make(w, A, "web"), 0);
	assert_int_equal(add(w, A, "web", name_of(w, A)), 0);
	assert_int_equal(spec(w, A, "web", "a: 1\n"), 0);
	(void)snprintf(line, sizeof(line), "%s\n+%s\n", name_of(w, A),
		       name_of(w, C));
	assert_int_equal(sites(w, A, "web", line), 0);
	sees(w, C, VIEW_SPEC, "web", "", "a: 1\n");
	world_cut(w, A, C, true);
	world_cut(w, B, C, true);
	(void)snprintf(line, sizeof(line), "%s\n!+%s\n", name_of(w, A),
		       name_of(w, C));
	assert_int_equal(sites(w, A, "web", line), 0);
	assert_int_equal(spec(w, A, "web", "a: 2\n"), 0);
	assert_int_equal(spec(w, A, "web", "a: 3\n"), 0);
	world_run(w, 20000);
	world_cut(w, A, C, false);
	world_cut(w, B, C, false);
	sees(w, C, VIEW_SPEC, "web", "", NULL);
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(large_body),
		cmocka_unit_test(many_at_once),
		cmocka_unit_test(site_without_address),
		cmocka_unit_test(two_that_only_dial),
		cmocka_unit_test(dropped_and_written_on),
		cmocka_unit_test(heartbeats),
		cmocka_unit_test(learned_from_another),
		cmocka_unit_test(refused),
		cmocka_unit_test(forged),
		cmocka_unit_test(damaged_body),
		cmocka_unit_test(never_comes),
		cmocka_unit_test(nobody_asked),
		cmocka_unit_test(acks_of_others),
		cmocka_unit_test(old_reports),
		cmocka_unit_test(certificate_comes_last),
		cmocka_unit_test(forgotten_writes),
		cmocka_unit_test(very_late),
		cmocka_unit_test(wrong_length),
		cmocka_unit_test(failed_commit),
		cmocka_unit_test(crashes),
		cmocka_unit_test(told_that_it_left),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests_name("peers", tests, NULL, NULL);
}
