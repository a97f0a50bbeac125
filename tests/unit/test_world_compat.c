/*
 * test_world_compat.c -- what version 1 of the formats looked like, for ever.
 *
 * tests/compat holds bytes that an agent of that version sent: a push with a
 * hello, a patch's body, and a batch of a record and a report; and the answer.
 * (tests/mnt/compat.bats starts on a store of that version.) A program that
 * cannot read them any more has broken its users' upgrade: mend the program,
 * never the bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/message.h"
#include "core/record.h"
#include "core/report.h"
#include "core/resource.h"
#include "drivers/net/codec.h"

static struct ch_bytes load(const char *path, char buf[4096])
{
	FILE *f = fopen(path, "rb");
	size_t n;

	assert_non_null(f);
	n = fread(buf, 1, 4096, f);
	fclose(f);
	assert_true(n > 0 && n < 4096);
	return (struct ch_bytes){buf, n};
}

static void expect_word(const struct ch_hash *hash, const char *word)
{
	struct strbuf sb = STRBUF_INIT;

	hash_to_word(hash, &sb);
	assert_string_equal(sb.buf, word);
	strbuf_release(&sb);
}

static void expect_record(struct ch_bytes bytes)
{
	const struct entry *spec, *patch;
	struct strbuf again = STRBUF_INIT;
	struct ch_id paris = {{0}};
	struct ch_hash vid;
	struct record r;

	record_init(&r);
	assert_int_equal(record_decode(bytes, &r, NULL), 0);
	record_check(&r);
	assert_true(ch_bytes_equal(r.name, ch_str("web")));
	assert_true(resource_is_there(&r));
	assert_true(ch_bytes_equal(resource_driver(&r), ch_str("directory")));
	spec = resource_spec(&r);
	assert_non_null(spec);
	entry_vid(spec, &vid);
	expect_word(&vid, "5a754d7757891c24");
	assert_int_equal(spec->body.len, 32);
	assert_true(ch_bytes_equal(spec->user, ch_str("root")));
	assert_int_equal(id_from_text(
				 ch_str("2b44bd31-06d6-5dee-b8ad-4ab43af4acf5"),
				 &paris),
			 0);
	patch = NULL;
	for (size_t pos = 0; !patch;) {
		patch = record_next(&r, ENTRY_PATCH, &pos);
		assert_non_null(patch);
		assert_int_equal(entry_site(patch, &paris), 0);
	}
	entry_vid(patch, &vid);
	expect_word(&vid, "263c5c560f6665fb");
	assert_true(resource_site_in(&r, &paris));
	record_encode(&r, &again);
	assert_true(ch_bytes_equal(strbuf_bytes(&again), bytes));
	strbuf_release(&again);
	record_release(&r);
}

static void expect_report(struct ch_bytes bytes, const struct ch_id *from)
{
	struct report r;

	assert_int_equal(report_decode(bytes, &r), 0);
	assert_true(ch_bytes_equal(r.name, ch_str("web")));
	assert_int_equal(id_cmp(&r.site, from), 0);
	assert_int_equal(r.state, STATE_READY);
	expect_word(&r.healthy.vid, "5a754d7757891c24");
	assert_true(version_equal(&r.desired, &r.healthy));
}

static void a_push_is_read(void **state)
{
	struct codec_message m = {.mem = NULL};
	const struct ch_frame *f;
	struct err err = ERR_INIT;
	char buf[4096];

	(void)state;
	assert_int_equal(codec_decode(load("tests/compat/exchange-1-push.bin",
					   buf),
				      &m, &err),
			 0);
	assert_int_equal(m.msg.n, 3);
	f = m.msg.v;
	assert_int_equal(f[0].type, FRAME_HELLO);
	assert_string_equal(f[0].u.hello.name, "nantes");
	assert_string_equal(f[0].u.hello.labels, "region=west\n");
	assert_int_equal(f[0].u.hello.epoch, 1);
	assert_int_equal(f[1].type, FRAME_CHUNK);
	assert_true(ch_bytes_equal(f[1].u.chunk.bytes,
				   ch_str("{\"spec\": {\"replicas\": 1}}\n")));
	assert_int_equal(f[2].type, FRAME_BATCH);
	assert_int_equal(f[2].u.batch.no, 3);
	assert_int_equal(f[2].u.batch.n, 2);
	assert_int_equal(f[2].u.batch.v[0].kind, ITEM_RECORD);
	expect_record(f[2].u.batch.v[0].bytes);
	assert_int_equal(f[2].u.batch.v[1].kind, ITEM_REPORT);
	expect_report(f[2].u.batch.v[1].bytes, &f[0].u.hello.site);
	codec_release(&m);
}

static void an_answer_is_read(void **state)
{
	struct codec_message m = {.mem = NULL};
	struct err err = ERR_INIT;
	char buf[4096];

	(void)state;
	assert_int_equal(codec_decode(load("tests/compat/exchange-1-answer.bin",
					   buf),
				      &m, &err),
			 0);
	assert_int_equal(m.msg.n, 2);
	assert_int_equal(m.msg.v[1].type, FRAME_ACK);
	assert_int_equal(m.msg.v[1].u.ack.no, 3);
	assert_int_equal(m.msg.v[1].u.ack.status, ACK_OK);
	codec_release(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_push_is_read),
		cmocka_unit_test(an_answer_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
