/* test_wire.c -- fields in a fixed order, and batches of them. */
#include "core/reader.h"
#include "core/wire.h"
#include "tests/unit/core_help.h"

static void fields_come_back(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	struct wire w;
	char raw[3];

	(void)state;
	wire_put_u8(&sb, 0xab);
	wire_put_u16(&sb, 0x0102);
	wire_put_u32(&sb, 0xfffefdfc);
	wire_put_u64(&sb, 0x8000000000000001);
	wire_put_raw(&sb, "raw", 3);
	wire_put_b16(&sb, ch_str("sixteen"));
	wire_put_b32(&sb, ch_str(NULL));
	expect_bytes(strbuf_bytes(&sb),
		     bytes_of("\xab\x01\x02\xff\xfe\xfd\xfc"
			      "\x80\0\0\0\0\0\0\x01raw\0\x07sixteen\0\0\0\0",
			      31));
	w = wire_of(strbuf_bytes(&sb));
	assert_int_equal(wire_u8(&w), 0xab);
	assert_int_equal(wire_u16(&w), 0x0102);
	assert_int_equal(wire_u32(&w), 0xfffefdfc);
	assert_true(wire_u64(&w) == 0x8000000000000001);
	wire_copy(&w, raw, 3);
	assert_memory_equal(raw, "raw", 3);
	expect_bytes(wire_b16(&w), ch_str("sixteen"));
	assert_false(wire_done(&w));
	assert_int_equal(wire_b32(&w).len, 0);
	assert_true(wire_done(&w));
	strbuf_release(&sb);
}

/* Past the end: zeros, and bad from then on, even for what would fit. */
static void a_short_input_is_bad(void **state)
{
	static const char in[] = "\xff\xff\xff";
	struct wire w = wire_of(bytes_of(in, 3));
	char to[4] = "abc";

	(void)state;
	assert_int_equal(wire_u32(&w), 0);
	assert_true(w.bad);
	assert_int_equal(wire_u8(&w), 0);
	assert_null(wire_raw(&w, 0).p);
	wire_copy(&w, to, sizeof(to));
	assert_memory_equal(to, "\0\0\0", 4);
	assert_false(wire_done(&w));

	w = wire_of(bytes_of(in, 3));
	assert_int_equal(wire_b16(&w).len, 0); /* 65535 of 1. */
	assert_true(w.bad);
	w = wire_of(bytes_of(NULL, 0));
	assert_true(wire_done(&w));
	assert_int_equal(wire_raw(&w, 0).len, 0);
	assert_true(wire_done(&w));
	assert_int_equal(wire_raw(&w, SIZE_MAX).len, 0);
	assert_true(w.bad);
}

static void too_long_for_its_length_is_bad(void **state)
{
	static const char big[UINT16_MAX + 1];
	struct strbuf sb = STRBUF_INIT;

	(void)state;
	wire_put_b16(&sb, bytes_of(big, UINT16_MAX));
	assert_int_equal(strbuf_error(&sb), 0);
	wire_put_b16(&sb, bytes_of(big, sizeof(big)));
	assert_int_equal(strbuf_error(&sb), -ENOMEM);
	assert_int_equal(sb.len, 2 + UINT16_MAX);
	strbuf_release(&sb);
}

static void batches_are_walked_in_order(void **state)
{
	struct ch_batch_op op;
	struct ch_batch b;
	size_t pos = 0;

	(void)state;
	batch_init(&b);
	assert_false(batch_next(&b, &pos, &op));
	batch_put(&b, COL_SYS, ch_str("k"), ch_str("v"));
	batch_del(&b, COL_LIVE, ch_str("k"));
	batch_put(&b, COL_OUT, ch_str("empty"), ch_str(""));
	batch_put(&b, COL_REF, bytes_of("\0", 1), bytes_of("\0\n", 2));
	assert_int_equal(b.n, 4);
	assert_int_equal(batch_error(&b), 0);

	assert_true(batch_next(&b, &pos, &op));
	assert_true(op.put);
	assert_int_equal(op.col, COL_SYS);
	expect_bytes(op.key, ch_str("k"));
	expect_bytes(op.value, ch_str("v"));
	assert_true(batch_next(&b, &pos, &op));
	assert_false(op.put);
	assert_int_equal(op.col, COL_LIVE);
	assert_true(batch_next(&b, &pos, &op));
	assert_true(op.put);
	assert_int_equal(op.value.len, 0);
	assert_true(batch_next(&b, &pos, &op));
	expect_bytes(op.key, bytes_of("\0", 1));
	expect_bytes(op.value, bytes_of("\0\n", 2));
	assert_false(batch_next(&b, &pos, &op));

	batch_reset(&b);
	assert_int_equal(b.n, 0);
	pos = 0;
	assert_false(batch_next(&b, &pos, &op));
	batch_release(&b);
	batch_release(&b);
}

static void a_batch_without_memory_is_bad(void **state)
{
	static const char value[200];
	long n;

	(void)state;
	for (n = 0;; n++) {
		struct ch_batch b;
		int rc;

		batch_init(&b);
		mem_fail_after(n);
		for (int i = 0; i < 10; i++)
			batch_put(&b, COL_BODY, ch_str("key"),
				  bytes_of(value, sizeof(value)));
		mem_fail_after(-1);
		rc = batch_error(&b);
		assert_true(rc == 0 || rc == -ENOMEM);
		if (rc < 0) {
			/* Whatever follows, it stays bad until reset. */
			batch_del(&b, COL_BODY, ch_str("key"));
			assert_int_equal(batch_error(&b), -ENOMEM);
			batch_reset(&b);
			assert_int_equal(batch_error(&b), 0);
		}
		batch_release(&b);
		if (rc == 0)
			break;
	}
	assert_true(n > 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fields_come_back),
		TEST(a_short_input_is_bad),
		TEST(too_long_for_its_length_is_bad),
		TEST(batches_are_walked_in_order),
		TEST(a_batch_without_memory_is_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
