/* test_strbuf.c -- buffers, arenas and sentences: strbuf.h, arena.h, err.h. */
#include "core/arena.h"
#include "core/strbuf.h"
#include "tests/unit/core_help.h"

static void a_buffer_always_ends_in_nul(void **state)
{
	struct strbuf sb = STRBUF_INIT;

	(void)state;
	assert_string_equal(sb.buf, "");
	strbuf_reset(&sb);
	strbuf_set_len(&sb, 0);
	strbuf_add(&sb, NULL, 0);
	assert_string_equal(sb.buf, "");
	for (int i = 0; i < 1000; i++) {
		strbuf_add_char(&sb, (char)('a' + i % 26));
		assert_int_equal(sb.len, i + 1);
		assert_int_equal(sb.buf[sb.len], 0);
	}
	strbuf_reset(&sb);
	assert_string_equal(sb.buf, "");
	assert_true(sb.alloc > 0);
	strbuf_release(&sb);
	strbuf_release(&sb);
	assert_string_equal(sb.buf, "");
}

static void contents_are_added(void **state)
{
	static const unsigned char raw[] = {0x00, 0x7f, 0x80, 0xff};
	struct strbuf sb = STRBUF_INIT, other = STRBUF_INIT;

	(void)state;
	strbuf_add_str(&sb, "a");
	strbuf_add(&sb, "\0b", 2);
	strbuf_addf(&sb, "%d-%s", 42, "x");
	expect_bytes(strbuf_bytes(&sb), bytes_of("a\0b42-x", 7));
	strbuf_swap(&sb, &other);
	assert_int_equal(sb.len, 0);
	assert_int_equal(other.len, 7);
	strbuf_add_hex(&sb, raw, sizeof(raw));
	assert_string_equal(sb.buf, "007f80ff");
	strbuf_release(&sb);
	strbuf_release(&other);
}

/* The first try of addf has 64 bytes: just under, at and over that. */
static void formats_of_every_length_fit(void **state)
{
	char want[300];

	(void)state;
	for (int n = 0; n < 299; n++) {
		struct strbuf sb = STRBUF_INIT;

		memset(want, 'x', (size_t)n);
		want[n] = '\0';
		strbuf_addf(&sb, "%s", want);
		assert_string_equal(sb.buf, want);
		strbuf_addf(&sb, "%s", want);
		assert_int_equal(sb.len, 2 * n);
		assert_int_equal(strlen(sb.buf), 2 * n);
		strbuf_release(&sb);
	}
}

static void length_is_cut_and_filled(void **state)
{
	struct strbuf sb = STRBUF_INIT;

	(void)state;
	strbuf_add_str(&sb, "abcdef");
	strbuf_set_len(&sb, 2);
	assert_string_equal(sb.buf, "ab");
	strbuf_set_len(&sb, 5);
	expect_bytes(strbuf_bytes(&sb), bytes_of("ab\0\0\0", 5));
	strbuf_set_len(&sb, 500);
	assert_int_equal(sb.buf[499], 0);
	assert_int_equal(sb.len, 500);
	strbuf_release(&sb);
}

static void detached_bytes_are_the_callers(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	size_t len = 99;
	char *p;

	(void)state;
	p = strbuf_detach(&sb, &len);
	assert_string_equal(p, "");
	assert_int_equal(len, 0);
	mem_free(p);
	strbuf_add_str(&sb, "mine");
	p = strbuf_detach(&sb, NULL);
	assert_string_equal(p, "mine");
	assert_int_equal(sb.len, 0);
	strbuf_add_str(&sb, "again");
	assert_string_equal(sb.buf, "again");
	mem_free(p);
	strbuf_release(&sb);
}

static void what_no_memory_can_hold_is_refused(void **state)
{
	struct strbuf sb = STRBUF_INIT;

	(void)state;
	strbuf_add_str(&sb, "kept");
	strbuf_grow(&sb, SIZE_MAX);
	assert_int_equal(strbuf_error(&sb), -ENOMEM);
	strbuf_add_str(&sb, "not");
	assert_string_equal(sb.buf, "kept");
	strbuf_reset(&sb);
	assert_int_equal(strbuf_error(&sb), 0);
	strbuf_grow(&sb, SIZE_MAX - sb.len);
	assert_int_equal(strbuf_error(&sb), -ENOMEM);
	strbuf_release(&sb);
}

static void a_buffer_without_memory_is_bad(void **state)
{
	int failed = 0;

	(void)state;
	for (long n = 0; n < 20; n++) {
		struct strbuf sb = STRBUF_INIT;
		char *p;

		mem_fail_after(n);
		for (int i = 0; i < 40; i++) {
			size_t len = sb.len;

			strbuf_addf(&sb, "%0100d", i);
			if (sb.bad)
				assert_int_equal(sb.len, len);
			assert_int_equal(sb.buf[sb.len], 0);
		}
		mem_fail_after(-1);
		failed += sb.bad;
		assert_int_equal(strbuf_error(&sb), sb.bad ? -ENOMEM : 0);
		p = strbuf_detach(&sb, NULL);
		assert_int_equal(p != NULL, n >= failed);
		assert_int_equal(sb.len, 0);
		mem_free(p);
	}
	assert_in_range(failed, 3, 19);
}

static void bytes_compare(void **state)
{
	(void)state;
	assert_int_equal(ch_str(NULL).len, 0);
	assert_true(ch_bytes_equal(ch_str(NULL), ch_str("")));
	assert_true(ch_bytes_equal(ch_str("ab"), bytes_of("abc", 2)));
	assert_false(ch_bytes_equal(ch_str("ab"), ch_str("abc")));
	assert_false(ch_bytes_equal(ch_str("ab"), ch_str("ac")));
}

static void arenas_give_aligned_zeros(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a);
	for (size_t n = 0; n < 3000; n += 7) {
		unsigned char *p = arena_alloc(&a, n);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xff, n);
	}
	assert_non_null(arena_alloc(&a, 3000000));
	assert_non_null(arena_alloc(&a, 1));
	assert_int_equal(arena_error(&a), 0);
	arena_release(&a);
	arena_release(&a);
}

static void arenas_copy(void **state)
{
	char source[] = "text";
	struct ch_bytes b;
	struct arena a;
	const char *s;

	(void)state;
	arena_init(&a);
	b = arena_bytes(&a, ch_str(source));
	s = arena_str(&a, ch_str(source));
	memset(source, 'x', sizeof(source));
	expect_bytes(b, ch_str("text"));
	assert_string_equal(s, "text");
	assert_string_equal(arena_str(&a, ch_str(NULL)), "");
	assert_int_equal(arena_bytes(&a, ch_str("")).len, 0);
	arena_release(&a);
}

static void an_arena_without_memory_is_bad(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a);
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_int_equal(arena_error(&a), -ENOMEM);
	assert_null(arena_alloc(&a, 1));
	arena_release(&a);
	assert_int_equal(arena_error(&a), 0);
	for (long n = 0; n < 3; n++) {
		struct ch_bytes big;

		mem_fail_after(n);
		(void)arena_alloc(&a, 10);
		(void)arena_alloc(&a, 5000);
		(void)arena_alloc(&a, 90000);
		mem_fail_after(-1);
		assert_int_equal(arena_error(&a), -ENOMEM);
		/* Bad it stays: the gap would go unseen. */
		assert_null(arena_alloc(&a, 1));
		assert_string_equal(arena_str(&a, ch_str("x")), "");
		big = arena_bytes(&a, ch_str("x"));
		assert_null(big.p);
		assert_int_equal(big.len, 0);
		arena_release(&a);
	}
}

static void sentences_stand_behind_each_other(void **state)
{
	char longest[2 * ERR_TEXT_MAX];
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(err_set(NULL, -EINVAL, "%d", 1), -EINVAL);
	assert_int_equal(err_wrap(NULL, -EIO, "%d", 1), -EIO);
	assert_int_equal(err_wrap(&e, -EIO, "alone"), -EIO);
	assert_string_equal(e.text, "alone");
	assert_int_equal(err_set(&e, -ENOENT, "no %s", "file"), -ENOENT);
	assert_int_equal(err_wrap(&e, -EIO, "line %d", 7), -EIO);
	assert_string_equal(e.text, "line 7: no file");
	memset(longest, 'y', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	for (size_t len = 0; len < sizeof(longest); len++) {
		const char *tail = longest + sizeof(longest) - 1 - len;

		err_set(&e, -EIO, "%s", tail);
		assert_int_equal(strlen(e.text), len < ERR_TEXT_MAX - 1
							 ? len
							 : ERR_TEXT_MAX - 1);
		err_wrap(&e, -EIO, "%s", tail);
		assert_true(strlen(e.text) < ERR_TEXT_MAX);
		assert_memory_equal(e.text, tail,
				    len < ERR_TEXT_MAX - 1 ? len
							   : ERR_TEXT_MAX - 1);
	}
}

static void memory_is_counted(void **state)
{
	char *p, *q;

	(void)state;
	mem_free(NULL);
	p = mem_alloc(0);
	assert_non_null(p);
	assert_int_equal(p[0], 0);
	assert_int_equal(mem_outstanding(), 1);
	q = mem_dup("xyz", 2);
	assert_string_equal(q, "xy");
	assert_int_equal(mem_outstanding(), 2);
	mem_fail_after(0);
	assert_null(mem_realloc(q, 1000));
	mem_fail_after(-1);
	assert_string_equal(q, "xy");
	assert_int_equal(mem_outstanding(), 2);
	q = mem_realloc(q, 1000);
	assert_string_equal(q, "xy");
	assert_int_equal(mem_outstanding(), 2);
	mem_free(p);
	mem_free(q);
	p = mem_realloc(NULL, 1);
	assert_int_equal(mem_outstanding(), 1);
	mem_free(p);
}

static void failures_last_until_they_are_called_off(void **state)
{
	void *p;

	(void)state;
	mem_fail_after(1);
	p = mem_alloc(1);
	assert_non_null(p);
	for (int i = 0; i < 3; i++) {
		assert_null(mem_alloc(1));
		assert_null(mem_dup("", 0));
		assert_null(mem_realloc(NULL, 1));
	}
	mem_fail_after(-1);
	mem_free(p);
	p = mem_alloc(1);
	assert_non_null(p);
	mem_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_buffer_always_ends_in_nul),
		TEST(contents_are_added),
		TEST(formats_of_every_length_fit),
		TEST(length_is_cut_and_filled),
		TEST(detached_bytes_are_the_callers),
		TEST(what_no_memory_can_hold_is_refused),
		TEST(a_buffer_without_memory_is_bad),
		TEST(bytes_compare),
		TEST(arenas_give_aligned_zeros),
		TEST(arenas_copy),
		TEST(an_arena_without_memory_is_bad),
		TEST(sentences_stand_behind_each_other),
		TEST(memory_is_counted),
		TEST(failures_last_until_they_are_called_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
