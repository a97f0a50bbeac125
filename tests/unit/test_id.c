/* test_id.c -- UUIDs and hashes as text, and maps keyed by bytes. */
#include "core/id.h"
#include "core/map.h"
#include "tests/unit/core_help.h"

static const char uuid[] = "01234567-89ab-cdef-0011-223344556677";

static void uuids_are_text_and_back(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	struct ch_id id, upper;

	(void)state;
	assert_int_equal(id_from_text(ch_str(uuid), &id), 0);
	assert_memory_equal(id.b,
			    "\x01\x23\x45\x67\x89\xab\xcd\xef"
			    "\x00\x11\x22\x33\x44\x55\x66\x77",
			    16);
	id_to_text(&id, &sb);
	assert_string_equal(sb.buf, uuid);
	assert_int_equal(
		id_from_text(ch_str("01234567-89AB-CDEF-0011-223344556677"),
			     &upper),
		0);
	assert_int_equal(id_cmp(&id, &upper), 0);
	assert_false(id_is_zero(&id));
	memset(id.b, 0, sizeof(id.b));
	assert_true(id_is_zero(&id));
	assert_true(id_cmp(&id, &upper) < 0);
	id.b[15] = 1;
	assert_false(id_is_zero(&id));
	strbuf_release(&sb);
}

static void nothing_else_is_a_uuid(void **state)
{
	static const char *const bad[] = {
		"",
		"0123456789abcdef00112233445566778899",
		"01234567-89ab-cdef-0011-22334455667",
		"01234567-89ab-cdef-0011-2233445566778",
		"01234567-89ab-cdef-0011-22334455667g",
		"01234567-89ab-cdef-0011-22334455667 ",
		"{1234567-89ab-cdef-0011-22334455667}",
		"01234567-89ab-cdef-001-1223344556677",
		"-1234567-89ab-cdef-0011-223344556677",
	};
	struct ch_id id = site_of(9);
	const struct ch_id before = id;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(id_from_text(ch_str(bad[i]), &id), -EINVAL);
	/* Each byte of a good one replaced in turn. */
	for (size_t i = 0; i < ID_TEXT_LEN; i++) {
		char text[sizeof(uuid)];

		memcpy(text, uuid, sizeof(text));
		text[i] = text[i] == '-' ? '0' : '-';
		assert_int_equal(id_from_text(ch_str(text), &id), -EINVAL);
	}
	assert_int_equal(id_cmp(&id, &before), 0);
}

/* FIPS 180-2, appendix B. */
static void hashes_are_sha256(void **state)
{
	const struct ch_bytes pieces[] = {
		ch_str("abcdbcdecdefdefgefghfghighij"),
		ch_str(""),
		ch_str("hijkijkljklmklmnlmnomnopnopq"),
	};
	struct strbuf sb = STRBUF_INIT;
	struct ch_hash h, same;

	(void)state;
	h = hash_of_text("abc");
	strbuf_add_hex(&sb, h.b, sizeof(h.b));
	assert_string_equal(sb.buf, "ba7816bf8f01cfea414140de5dae2223"
				    "b00361a396177a9cb410ff61f20015ad");
	strbuf_reset(&sb);
	hash_to_word(&h, &sb);
	assert_string_equal(sb.buf, "ba7816bf8f01cfea");
	strbuf_reset(&sb);
	hash_sum(pieces, COUNT(pieces), &h);
	strbuf_add_hex(&sb, h.b, sizeof(h.b));
	assert_string_equal(sb.buf, "248d6a61d20638b8e5c026930c3e6039"
				    "a33ce45964ff2167f6ecedd419db06c1");
	strbuf_reset(&sb);
	hash_sum(NULL, 0, &h);
	same = hash_of_text("");
	assert_int_equal(hash_cmp(&h, &same), 0);
	assert_false(hash_is_zero(&h));
	memset(&h, 0, sizeof(h));
	assert_true(hash_is_zero(&h));
	assert_true(hash_cmp(&h, &same) < 0);
	strbuf_release(&sb);
}

static int values[2000];

static struct ch_bytes key_of(int i, char key[16])
{
	int n = snprintf(key, 16, "%d", i);

	return bytes_of(key, (size_t)n);
}

static void maps_find_what_was_put(void **state)
{
	char key[16];
	struct map m;

	(void)state;
	map_init(&m);
	assert_null(map_get(&m, ch_str("x")));
	assert_null(map_del(&m, ch_str("x")));
	for (int i = 0; i < 2000; i++)
		assert_int_equal(map_put(&m, key_of(i, key), &values[i]), 0);
	assert_int_equal(m.n, 2000);
	for (int i = 0; i < 2000; i += 2)
		assert_ptr_equal(map_del(&m, key_of(i, key)), &values[i]);
	assert_int_equal(m.n, 1000);
	for (int i = 0; i < 2000; i++)
		assert_ptr_equal(map_get(&m, key_of(i, key)),
				 i % 2 ? &values[i] : NULL);
	assert_null(map_del(&m, ch_str("2")));
	assert_int_equal(map_put(&m, ch_str("1"), &values[0]), 0);
	assert_ptr_equal(map_get(&m, ch_str("1")), &values[0]);
	assert_int_equal(m.n, 1000);
	map_release(&m, NULL);
	map_release(&m, NULL);
	assert_null(map_get(&m, ch_str("1")));
}

static void maps_are_walked_once_over_all(void **state)
{
	struct map_node *node = NULL;
	size_t bucket = 0;
	char key[16];
	struct map m;
	int seen = 0;

	(void)state;
	map_init(&m);
	assert_null(map_next(&m, &bucket, NULL));
	memset(values, 0, sizeof(values));
	for (int i = 0; i < 500; i++)
		assert_int_equal(map_put(&m, key_of(i, key), &values[i]), 0);
	while ((node = map_next(&m, &bucket, node))) {
		++*(int *)node->value;
		seen++;
	}
	assert_int_equal(seen, 500);
	for (int i = 0; i < 500; i++)
		assert_int_equal(values[i], 1);
	map_release(&m, NULL);
}

static void keys_are_bytes(void **state)
{
	struct map m;

	(void)state;
	map_init(&m);
	assert_int_equal(map_put(&m, bytes_of(NULL, 0), &values[0]), 0);
	assert_int_equal(map_put(&m, bytes_of("\0", 1), &values[1]), 0);
	assert_int_equal(map_put(&m, bytes_of("\0\0", 2), &values[2]), 0);
	assert_ptr_equal(map_get(&m, ch_str("")), &values[0]);
	assert_ptr_equal(map_get(&m, bytes_of("\0", 1)), &values[1]);
	assert_ptr_equal(map_get(&m, bytes_of("\0\0", 2)), &values[2]);
	map_release(&m, NULL);
}

static void values_are_freed(void **state)
{
	struct map m;

	(void)state;
	map_init(&m);
	for (int i = 0; i < 40; i++) {
		char key[16];

		assert_int_equal(map_put(&m, key_of(i, key), mem_alloc(1)), 0);
	}
	map_release(&m, mem_free);
}

static void a_map_without_memory_stays_as_it_was(void **state)
{
	char key[16];
	struct map m;

	(void)state;
	map_init(&m);
	for (int i = 0; i < 100; i++) {
		long n = 0;

		for (;; n++) {
			int rc;

			mem_fail_after(n);
			rc = map_put(&m, key_of(i, key), &values[i]);
			mem_fail_after(-1);
			if (rc == 0)
				break;
			assert_int_equal(rc, -ENOMEM);
			assert_int_equal(m.n, i);
			assert_null(map_get(&m, key_of(i, key)));
			for (int k = 0; k < i; k++)
				assert_ptr_equal(map_get(&m, key_of(k, key)),
						 &values[k]);
		}
		assert_true(n > 0);
		/* To replace takes no memory. */
		mem_fail_after(0);
		assert_int_equal(map_put(&m, key_of(i, key), &values[i]), 0);
		mem_fail_after(-1);
	}
	map_release(&m, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(uuids_are_text_and_back),
		TEST(nothing_else_is_a_uuid),
		TEST(hashes_are_sha256),
		TEST(maps_find_what_was_put),
		TEST(maps_are_walked_once_over_all),
		TEST(keys_are_bytes),
		TEST(values_are_freed),
		TEST(a_map_without_memory_stays_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
