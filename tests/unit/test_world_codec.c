/* test_world_codec.c -- drivers/net/codec.h. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/mem.h"
#include "core/wire.h"
#include "drivers/net/codec.h"

#define MUTATIONS 50000
#define MUTATION_SECONDS 20
#define SEED 0x9e3779b97f4a7c15u

#define BYTES(s) ((struct ch_bytes){s, sizeof(s) - 1})

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static struct ch_id id_at(uint8_t n)
{
	struct ch_id id;

	memset(id.b, n, sizeof(id.b));
	return id;
}

static struct ch_hash hash_at(uint8_t n)
{
	struct ch_hash h;

	memset(h.b, n, sizeof(h.b));
	return h;
}

static const struct ch_item items[] = {
	{ITEM_RECORD, {"one\0two", 7}},
	{ITEM_REPORT, {"", 0}},
	{ITEM_RECORD, {"{\"frame\":\"ack\"}", 15}},
};

static struct ch_member_news members[2];
static struct ch_want wants[2];

static struct ch_frame hello(void)
{
	struct ch_frame f = {.type = FRAME_HELLO};

	f.u.hello.proto_min = 1;
	f.u.hello.proto_max = 2;
	f.u.hello.federation = id_at(1);
	f.u.hello.site = id_at(2);
	f.u.hello.store = id_at(3);
	f.u.hello.epoch = UINT32_MAX;
	f.u.hello.nonce = 0xfffffffe;
	f.u.hello.incarnation = INT64_MAX;
	f.u.hello.name = "nantes";
	f.u.hello.address = "192.0.2.1:7421";
	f.u.hello.version = "0.1.0";
	f.u.hello.labels = "region=\"west\"\nquote=\\ \xc3\xa9";
	f.u.hello.wall_ms = 1700000000000;
	f.u.hello.heartbeat_ms = 1000;
	f.u.hello.got_epoch = 7;
	f.u.hello.got_nonce = 8;
	f.u.hello.got_no = 9;
	f.u.hello.sent_no = 10;
	f.u.hello.poll_ms = 55000;
	return f;
}

/* One of each. */
static size_t everything(struct ch_frame *v)
{
	members[0] = (struct ch_member_news){
		id_at(4), "paris", "[2001:db8::1]:7421", 3, 5, HB_SUSPECT, 12};
	members[1] = (struct ch_member_news){id_at(5), "lyon",  "",        1,
					     0,        HB_DEAD, UINT64_MAX};
	wants[0] = (struct ch_want){hash_at(6), 0};
	wants[1] = (struct ch_want){hash_at(0xab), UINT32_MAX};
	memset(v, 0, 6 * sizeof(*v));
	v[0] = hello();
	v[1].type = FRAME_BATCH;
	v[1].u.batch.epoch = 1;
	v[1].u.batch.nonce = 2;
	v[1].u.batch.no = 3;
	v[1].u.batch.v = items;
	v[1].u.batch.n = 3;
	v[2].type = FRAME_ACK;
	v[2].u.ack.epoch = 4;
	v[2].u.ack.nonce = 5;
	v[2].u.ack.no = 6;
	v[2].u.ack.status = ACK_FULL;
	v[2].u.ack.retry_ms = 250;
	v[3].type = FRAME_BEAT;
	v[3].u.beat.v = members;
	v[3].u.beat.n = 2;
	v[4].type = FRAME_WANT;
	v[4].u.want.v = wants;
	v[4].u.want.n = 2;
	v[5].type = FRAME_CHUNK;
	v[5].u.chunk.body = hash_at(9);
	v[5].u.chunk.no = 1;
	v[5].u.chunk.len = CHUNK_LEN + 5;
	v[5].u.chunk.bytes = BYTES("tail\0");
	return 6;
}

static void encode(const struct ch_frame *v, size_t n, struct strbuf *out)
{
	struct ch_message msg = {v, n};

	assert_int_equal(codec_encode(&msg, out), 0);
}

static int encode_one(const struct ch_frame *f)
{
	struct strbuf out = STRBUF_INIT;
	struct ch_message msg = {f, 1};
	int r;

	strbuf_add_str(&out, "kept");
	r = codec_encode(&msg, &out);
	if (r < 0)
		assert_string_equal(out.buf, "kept");
	strbuf_release(&out);
	return r;
}

/* A frame by hand. */
static void put_frame(struct strbuf *out, const char *header,
		      struct ch_bytes body)
{
	wire_put_u32(out, (uint32_t)strlen(header));
	wire_put_u32(out, (uint32_t)body.len);
	strbuf_add_str(out, header);
	strbuf_add(out, body.p, body.len);
}

static void assert_refused(const char *header, struct ch_bytes body,
			   const char *why)
{
	struct strbuf in = STRBUF_INIT;
	struct codec_message m;
	struct err err = ERR_INIT;

	put_frame(&in, header, body);
	assert_int_equal(codec_decode(strbuf_bytes(&in), &m, &err), -EPROTO);
	if (!strstr(err.text, why))
		fail_msg("'%s' lacks '%s'", err.text, why);
	strbuf_release(&in);
}

static void every_frame_comes_back(void **state)
{
	struct strbuf out = STRBUF_INIT;
	struct ch_frame v[6];
	struct codec_message m;
	const struct ch_frame *f;

	(void)state;
	encode(v, everything(v), &out);
	assert_int_equal(codec_decode(strbuf_bytes(&out), &m, NULL), 0);
	assert_int_equal(m.msg.n, 6);
	f = m.msg.v;
	assert_int_equal(f[0].type, FRAME_HELLO);
	assert_int_equal(f[0].u.hello.proto_min, 1);
	assert_int_equal(f[0].u.hello.proto_max, 2);
	assert_memory_equal(&f[0].u.hello.federation, &v[0].u.hello.federation,
			    16);
	assert_memory_equal(&f[0].u.hello.site, &v[0].u.hello.site, 16);
	assert_memory_equal(&f[0].u.hello.store, &v[0].u.hello.store, 16);
	assert_int_equal(f[0].u.hello.epoch, UINT32_MAX);
	assert_int_equal(f[0].u.hello.nonce, 0xfffffffe);
	assert_int_equal(f[0].u.hello.incarnation, INT64_MAX);
	assert_string_equal(f[0].u.hello.name, "nantes");
	assert_string_equal(f[0].u.hello.address, "192.0.2.1:7421");
	assert_string_equal(f[0].u.hello.version, "0.1.0");
	assert_string_equal(f[0].u.hello.labels, v[0].u.hello.labels);
	assert_int_equal(f[0].u.hello.wall_ms, 1700000000000);
	assert_int_equal(f[0].u.hello.heartbeat_ms, 1000);
	assert_int_equal(f[0].u.hello.got_epoch, 7);
	assert_int_equal(f[0].u.hello.got_nonce, 8);
	assert_int_equal(f[0].u.hello.got_no, 9);
	assert_int_equal(f[0].u.hello.sent_no, 10);
	assert_int_equal(f[0].u.hello.poll_ms, 55000);
	assert_int_equal(f[1].u.batch.epoch, 1);
	assert_int_equal(f[1].u.batch.nonce, 2);
	assert_int_equal(f[1].u.batch.no, 3);
	assert_int_equal(f[1].u.batch.n, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(f[1].u.batch.v[i].kind, items[i].kind);
		assert_true(ch_bytes_equal(f[1].u.batch.v[i].bytes,
					   items[i].bytes));
	}
	assert_int_equal(f[2].u.ack.epoch, 4);
	assert_int_equal(f[2].u.ack.nonce, 5);
	assert_int_equal(f[2].u.ack.no, 6);
	assert_int_equal(f[2].u.ack.status, ACK_FULL);
	assert_int_equal(f[2].u.ack.retry_ms, 250);
	assert_int_equal(f[3].u.beat.n, 2);
	for (size_t i = 0; i < 2; i++) {
		const struct ch_member_news *a = &f[3].u.beat.v[i];

		assert_memory_equal(&a->site, &members[i].site, 16);
		assert_string_equal(a->name, members[i].name);
		assert_string_equal(a->address, members[i].address);
		assert_int_equal(a->epoch, members[i].epoch);
		assert_int_equal(a->incarnation, members[i].incarnation);
		assert_int_equal(a->heartbeat, members[i].heartbeat);
		assert_true(a->heard_ago_ms == members[i].heard_ago_ms);
	}
	assert_int_equal(f[4].u.want.n, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_memory_equal(&f[4].u.want.v[i].body, &wants[i].body, 32);
		assert_int_equal(f[4].u.want.v[i].chunk, wants[i].chunk);
	}
	assert_memory_equal(&f[5].u.chunk.body, &v[5].u.chunk.body, 32);
	assert_int_equal(f[5].u.chunk.no, 1);
	assert_int_equal(f[5].u.chunk.len, CHUNK_LEN + 5);
	assert_true(ch_bytes_equal(f[5].u.chunk.bytes, v[5].u.chunk.bytes));
	codec_release(&m);
	codec_release(&m);
	strbuf_release(&out);
	assert_int_equal(mem_outstanding(), 0);
}

static void an_empty_message_is_one(void **state)
{
	struct codec_message m;

	(void)state;
	assert_int_equal(codec_decode((struct ch_bytes){"", 0}, &m, NULL), 0);
	assert_int_equal(m.msg.n, 0);
	codec_release(&m);
}

/* The bytes themselves: whoever changes them breaks the sites of today. */
static void the_bytes_are_these(void **state)
{
	static const char header[] =
		"{\"frame\":\"ack\",\"epoch\":4,\"nonce\":5,"
		"\"no\":6,\"status\":4,\"retry_ms\":250}";
	struct strbuf out = STRBUF_INIT, want = STRBUF_INIT;
	struct ch_frame v[6];

	(void)state;
	everything(v);
	encode(&v[2], 1, &out);
	put_frame(&want, header, (struct ch_bytes){"", 0});
	assert_true(ch_bytes_equal(strbuf_bytes(&out), strbuf_bytes(&want)));
	strbuf_release(&out);
	strbuf_release(&want);
}

static void what_is_unknown_is_skipped(void **state)
{
	struct strbuf in = STRBUF_INIT;
	struct codec_message m;

	(void)state;
	put_frame(&in, "{\"frame\":\"range\",\"x\":[1.5,null]}",
		  BYTES("anything"));
	put_frame(&in,
		  "{\"later\":{},\"no\":3,\"frame\":\"batch\",\"epoch\":1,"
		  "\"nonce\":2,\"items\":[[9,2],[1,3]]}",
		  BYTES("??abc"));
	put_frame(&in, "{\"frame\":\"beat\",\"members\":1}",
		  BYTES("\0\x32"
			"0123456789abcdef"
			"\1"
			"\0\0\0\2"
			"\0\0\0\0\0\0\0\3"
			"\377\377\377\377\377\377\377\377"
			"\0\1x"
			"\0\0"
			"later it"));
	assert_int_equal(codec_decode(strbuf_bytes(&in), &m, NULL), 0);
	assert_int_equal(m.msg.n, 2);
	assert_int_equal(m.msg.v[0].u.batch.n, 1);
	assert_true(
		ch_bytes_equal(m.msg.v[0].u.batch.v[0].bytes, BYTES("abc")));
	assert_int_equal(m.msg.v[1].u.beat.n, 1);
	assert_string_equal(m.msg.v[1].u.beat.v[0].name, "x");
	assert_true(m.msg.v[1].u.beat.v[0].heard_ago_ms == UINT64_MAX);
	codec_release(&m);
	strbuf_release(&in);
}

static void lies_are_refused(void **state)
{
	static const char deep[] = "{\"frame\":\"range\",\"x\":[[[[[[[[[[[[[[[["
				   "[]]]]]]]]]]]]]]]]]}";
	struct ch_bytes none = {"", 0};

	(void)state;
	assert_refused("{}", none, "'frame'");
	assert_refused("[]", none, "'frame'");
	assert_refused("{\"frame\":1}", none, "'frame'");
	assert_refused("{\"frame\":\"ack\"", none, "no JSON");
	assert_refused("{\"frame\":\"ack\",\"frame\":\"ack\"}", none,
		       "no JSON");
	assert_refused("", none, "no JSON");
	assert_refused(deep, none, "nested");
	assert_refused("{\"frame\":\"ack\",\"epoch\":-1}", none, "'epoch'");
	assert_refused("{\"frame\":\"ack\",\"epoch\":4294967296}", none,
		       "'epoch'");
	assert_refused("{\"frame\":\"ack\",\"epoch\":1.0}", none, "'epoch'");
	assert_refused("{\"frame\":\"ack\",\"epoch\":\"1\"}", none, "'epoch'");
	assert_refused("{\"frame\":\"ack\",\"epoch\":1,\"nonce\":1,\"no\":"
		       "9223372036854775808,\"status\":0}",
		       none, "JSON");
	assert_refused("{\"frame\":\"ack\",\"epoch\":1,\"nonce\":1,\"no\":1,"
		       "\"status\":5}",
		       none, "'status'");
	assert_refused("{\"frame\":\"ack\",\"epoch\":1,\"nonce\":1,\"no\":1,"
		       "\"status\":0}",
		       BYTES("x"), "no body");
	assert_refused("{\"frame\":\"batch\",\"epoch\":1,\"nonce\":1,\"no\":1,"
		       "\"items\":[[1,4]]}",
		       BYTES("abc"), "add up");
	assert_refused("{\"frame\":\"batch\",\"epoch\":1,\"nonce\":1,\"no\":1,"
		       "\"items\":[[1,2]]}",
		       BYTES("abc"), "add up");
	assert_refused("{\"frame\":\"batch\",\"epoch\":1,\"nonce\":1,\"no\":1,"
		       "\"items\":[[1]]}",
		       BYTES("abc"), "pair");
	assert_refused("{\"frame\":\"batch\",\"epoch\":1,\"nonce\":1,\"no\":1,"
		       "\"items\":[[256,3]]}",
		       BYTES("abc"), "'items'");
	assert_refused("{\"frame\":\"beat\",\"members\":1}", none, "malformed");
	assert_refused("{\"frame\":\"beat\",\"members\":0}", BYTES("abc"),
		       "members");
	assert_refused("{\"frame\":\"beat\",\"members\":1025}", none,
		       "'members'");
	assert_refused("{\"frame\":\"want\",\"bodies\":[[\"abc\",1]]}", none,
		       "hexadecimal");
	assert_refused("{\"frame\":\"chunk\",\"no\":1,\"len\":3,\"hash\":"
		       "\"0000000000000000000000000000000000000000000000000000"
		       "000000000000\"}",
		       BYTES("abc"), "chunk 1");
	assert_refused("{\"frame\":\"hello\",\"proto\":[2,1]}", none, "lowest");
	assert_refused("{\"frame\":\"hello\",\"proto\":[1,1],\"federation\":"
		       "\"x\"}",
		       none, "UUID");
}

static void lying_lengths_are_refused(void **state)
{
	static const char *const lies[] = {
		"\0\0\0\2\0\0\0\1{}",         "\0\0\0\3\0\0\0\0{}",
		"\377\377\377\377\0\0\0\0{}", "\0\0\0\2\377\377\377\377{}",
		"\0\1\0\1\0\0\0\0{}",
	};
	struct codec_message m;

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		assert_int_equal(
			codec_decode((struct ch_bytes){lies[i], 10}, &m, NULL),
			-EPROTO);
}

static void limits_hold_both_ways(void **state)
{
	static struct ch_member_news many[MSG_MEMBERS_MAX + 1];
	static struct ch_want want[MSG_WANTS_MAX + 1];
	static struct ch_item item[MSG_ITEMS_MAX + 1];
	static struct ch_frame acks[CODEC_FRAMES_MAX + 1];
	static char big[CODEC_LABELS_MAX + 2];
	struct strbuf out = STRBUF_INIT;
	struct codec_message m;
	struct ch_frame f = {.type = FRAME_BEAT};
	struct ch_message msg = {acks, CODEC_FRAMES_MAX + 1};

	(void)state;
	for (size_t i = 0; i <= MSG_MEMBERS_MAX; i++)
		many[i] = (struct ch_member_news){.name = "a", .address = "b"};
	f.u.beat.v = many;
	f.u.beat.n = MSG_MEMBERS_MAX;
	encode(&f, 1, &out);
	assert_int_equal(codec_decode(strbuf_bytes(&out), &m, NULL), 0);
	assert_int_equal(m.msg.v[0].u.beat.n, MSG_MEMBERS_MAX);
	codec_release(&m);
	f.u.beat.n++;
	assert_int_equal(encode_one(&f), -EMSGSIZE);

	f = (struct ch_frame){.type = FRAME_WANT};
	f.u.want.v = want;
	f.u.want.n = MSG_WANTS_MAX;
	assert_int_equal(encode_one(&f), 0);
	f.u.want.n++;
	assert_int_equal(encode_one(&f), -EMSGSIZE);

	f = (struct ch_frame){.type = FRAME_BATCH};
	f.u.batch.v = item;
	f.u.batch.n = MSG_ITEMS_MAX;
	assert_int_equal(encode_one(&f), 0);
	f.u.batch.n++;
	assert_int_equal(encode_one(&f), -EMSGSIZE);

	f = hello();
	memset(big, 'a', sizeof(big) - 1);
	f.u.hello.labels = big;
	assert_int_equal(encode_one(&f), -EMSGSIZE);
	f.u.hello.labels = big + 1;
	assert_int_equal(encode_one(&f), 0);
	f.u.hello.name = "No-Label";
	assert_int_equal(encode_one(&f), -EINVAL);
	f = hello();
	f.u.hello.incarnation = UINT64_MAX;
	assert_int_equal(encode_one(&f), -EINVAL);
	f = hello();
	f.u.hello.labels = "\xff";
	assert_int_equal(encode_one(&f), -EINVAL);

	for (size_t i = 0; i <= CODEC_FRAMES_MAX; i++)
		acks[i].type = FRAME_ACK;
	strbuf_reset(&out);
	assert_int_equal(codec_encode(&msg, &out), -EMSGSIZE);
	msg.n--;
	assert_int_equal(codec_encode(&msg, &out), 0);
	put_frame(&out, "{\"frame\":\"x\"}", (struct ch_bytes){"", 0});
	assert_int_equal(codec_decode(strbuf_bytes(&out), &m, NULL), -EPROTO);
	strbuf_release(&out);
	assert_int_equal(mem_outstanding(), 0);
}

static void five_chunks_are_too_many(void **state)
{
	static uint8_t piece[CHUNK_LEN];
	struct ch_frame v[5];
	struct ch_message msg = {v, 4};
	struct strbuf out = STRBUF_INIT;
	struct codec_message m;

	(void)state;
	memset(v, 0, sizeof(v));
	for (size_t i = 0; i < 5; i++) {
		v[i].type = FRAME_CHUNK;
		v[i].u.chunk.no = (uint32_t)i;
		v[i].u.chunk.len = 5 * CHUNK_LEN;
		v[i].u.chunk.bytes = (struct ch_bytes){piece, CHUNK_LEN};
	}
	assert_int_equal(codec_encode(&msg, &out), 0);
	assert_int_equal(codec_decode(strbuf_bytes(&out), &m, NULL), 0);
	/* Borrowed, not copied. */
	assert_ptr_equal((const char *)m.msg.v[3].u.chunk.bytes.p +
				 m.msg.v[3].u.chunk.bytes.len,
			 out.buf + out.len);
	codec_release(&m);
	msg.n = 5;
	assert_int_equal(codec_encode(&msg, &out), -EMSGSIZE);
	strbuf_release(&out);
}

static void no_prefix_passes_for_the_whole(void **state)
{
	struct strbuf out = STRBUF_INIT;
	struct ch_frame v[6];
	struct codec_message m;
	size_t good = 0;

	(void)state;
	encode(v, everything(v), &out);
	for (size_t len = 0; len < out.len; len++) {
		char *exact = malloc(len ? len : 1); /* So that ASan sees. */
		struct ch_bytes in = {exact, len};
		int r;

		assert_non_null(exact);
		memcpy(exact, out.buf, len);
		r = codec_decode(in, &m, NULL);
		if (r == 0) {
			good++;
			assert_true(m.msg.n < 6);
			codec_release(&m);
		} else {
			assert_int_equal(r, -EPROTO);
		}
		free(exact);
	}
	assert_int_equal(good, 6); /* Where a frame ends: 0 to 5 of them. */
	strbuf_release(&out);
}

/* Change some bytes of @p: flip, overwrite, or copy a piece elsewhere. */
static void mutate(uint8_t *p, size_t len, uint64_t *state)
{
	size_t times = 1 + random_next(state) % 6;

	for (size_t i = 0; i < times; i++) {
		size_t at = random_next(state) % len;
		size_t from = random_next(state) % len;
		size_t piece = random_next(state) % 16;

		if (random_next(state) % 3 == 0)
			p[at] ^= (uint8_t)(1u << random_next(state) % 8);
		else if (random_next(state) % 2 == 0)
			p[at] = (uint8_t)random_next(state);
		else if (at + piece <= len && from + piece <= len)
			memmove(p + at, p + from, piece);
	}
}

static void mutations_do_no_harm(void **state)
{
	struct strbuf out = STRBUF_INIT, again = STRBUF_INIT;
	time_t end = time(NULL) + MUTATION_SECONDS;
	uint64_t seed = SEED;
	struct ch_frame v[6];
	struct codec_message m;
	uint8_t *p;

	(void)state;
	encode(v, everything(v), &out);
	p = malloc(out.len);
	assert_non_null(p);
	for (int i = 0; i < MUTATIONS && time(NULL) < end; i++) {
		struct err err = ERR_INIT;
		int r;

		memcpy(p, out.buf, out.len);
		mutate(p, out.len, &seed);
		r = codec_decode((struct ch_bytes){p, out.len}, &m, &err);
		if (r < 0) {
			assert_int_equal(r, -EPROTO);
			assert_int_not_equal(err.text[0], '\0');
			continue;
		}
		/* What was accepted can be sent on. */
		strbuf_reset(&again);
		assert_int_equal(codec_encode(&m.msg, &again), 0);
		codec_release(&m);
	}
	free(p);
	strbuf_release(&again);
	strbuf_release(&out);
	assert_int_equal(mem_outstanding(), 0);
}

/* Fail the first allocation, then the second, ... jansson's included. */
static void no_memory_is_an_answer(void **state)
{
	struct strbuf out = STRBUF_INIT;
	struct codec_message m;
	struct ch_frame v[6];
	struct ch_message msg = {v, 0};
	int r = -ENOMEM;

	(void)state;
	msg.n = everything(v);
	json_set_alloc_funcs(mem_alloc, mem_free);
	for (long n = 0; r; n++) {
		mem_fail_after(n);
		r = codec_encode(&msg, &out);
		mem_fail_after(-1);
		if (r) {
			assert_int_equal(r, -ENOMEM);
			assert_int_equal(out.len, 0);
			strbuf_release(&out);
			assert_int_equal(mem_outstanding(), 0);
		}
	}
	r = -ENOMEM;
	for (long n = 0; r; n++) {
		mem_fail_after(n);
		r = codec_decode(strbuf_bytes(&out), &m, NULL);
		mem_fail_after(-1);
		/* Within a token jansson takes it for a mistake in there. */
		if (r && r != -EPROTO)
			assert_int_equal(r, -ENOMEM);
	}
	codec_release(&m);
	strbuf_release(&out);
	assert_int_equal(mem_outstanding(), 0);
	json_set_alloc_funcs(malloc, free);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_frame_comes_back),
		cmocka_unit_test(an_empty_message_is_one),
		cmocka_unit_test(the_bytes_are_these),
		cmocka_unit_test(what_is_unknown_is_skipped),
		cmocka_unit_test(lies_are_refused),
		cmocka_unit_test(lying_lengths_are_refused),
		cmocka_unit_test(limits_hold_both_ways),
		cmocka_unit_test(five_chunks_are_too_many),
		cmocka_unit_test(no_prefix_passes_for_the_whole),
		cmocka_unit_test(mutations_do_no_harm),
		cmocka_unit_test(no_memory_is_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
