/*
 * test_world_store_map.c -- the promises of cowmap.h: order, balance, counts,
 * and copies that no change of another copy reaches. What a map answers is
 * tested through the store, in test_world_store.c.
 */
#include "drivers/store/cowmap.h"

#include <errno.h>
#include <inttypes.h>

#include "tests/unit/store_help.h"

static int put(struct cowmap *m, uint32_t n, uint32_t value)
{
	char key[16];

	snprintf(key, sizeof(key), "%06" PRIu32, n);
	return cowmap_put(m, ch_str(key), bytes(&value, sizeof(value)));
}

static int del(struct cowmap *m, uint32_t n)
{
	char key[16];

	snprintf(key, sizeof(key), "%06" PRIu32, n);
	return cowmap_del(m, ch_str(key));
}

/* Everything that a map holds, as one number. */
static int add_up(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	uint64_t *sum = arg;

	for (size_t i = 0; i < key.len; i++)
		*sum = *sum * 31 + ((const unsigned char *)key.p)[i];
	for (size_t i = 0; i < value.len; i++)
		*sum = *sum * 31 + ((const unsigned char *)value.p)[i];
	return 0;
}

static uint64_t digest(const struct cowmap *m)
{
	uint64_t sum = 1;

	assert_int_equal(
		cowmap_scan(m, bytes(NULL, 0), bytes(NULL, 0), add_up, &sum),
		0);
	return sum;
}

static void in_order_and_balanced(void **state)
{
	struct cowmap m;

	(void)state;
	cowmap_init(&m);
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(put(&m, i, i), 0);
	cowmap_check(&m);
	for (uint32_t i = 3000; i > 2000; i--)
		assert_int_equal(put(&m, i, i), 0);
	cowmap_check(&m);
	assert_int_equal(m.n, 2000);
	for (uint32_t i = 0; i < 1000; i += 2)
		assert_int_equal(del(&m, i), 0);
	cowmap_check(&m);
	for (uint32_t i = 0; i < 4000; i++)
		assert_int_equal(del(&m, i), 0);
	cowmap_check(&m);
	assert_int_equal(m.n, 0);
	assert_int_equal(m.bytes, 0);
	assert_null(m.root);
	cowmap_release(&m);
}

#define COPY_N 8

static void copies_stand_still(void **state)
{
	struct cowmap m, copy[COPY_N];
	uint64_t was[COPY_N], seed = 5;
	long held = mem_outstanding();

	(void)state;
	cowmap_init(&m);
	for (size_t i = 0; i < COPY_N; i++) {
		cowmap_init(&copy[i]);
		was[i] = digest(&copy[i]);
	}
	for (uint32_t round = 0; round < 400; round++) {
		size_t i = draw(&seed, COPY_N);

		for (uint32_t k = 0; k < 50; k++) {
			uint32_t n = draw(&seed, 700);

			if (draw(&seed, 2))
				assert_int_equal(put(&m, n, round), 0);
			else
				assert_int_equal(del(&m, n), 0);
		}
		cowmap_check(&m);
		cowmap_check(&copy[i]);
		assert_true(digest(&copy[i]) == was[i]);
		cowmap_release(&copy[i]);
		cowmap_release(&copy[i]);
		copy[i] = cowmap_copy(&m);
		was[i] = digest(&m);
	}
	for (size_t i = 0; i < COPY_N; i++) {
		assert_true(digest(&copy[i]) == was[i]);
		cowmap_release(&copy[i]);
	}
	cowmap_release(&m);
	assert_int_equal(mem_outstanding(), held);
}

/* One change that must copy its whole path, each allocation failed in turn. */
static void no_memory_is_released(void **state)
{
	struct cowmap m, copy;
	long held = mem_outstanding();

	(void)state;
	cowmap_init(&m);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(put(&m, i * 2, i), 0);
	for (uint32_t i = 0; i < 200; i++) {
		uint64_t was = digest(&m);
		int r = -ENOMEM;

		for (long n = 0; r < 0; n++) {
			copy = cowmap_copy(&m);
			mem_fail_after(n);
			r = i % 2 ? put(&copy, i, i) : del(&copy, i);
			mem_fail_after(-1);
			assert_true(r == 0 || r == -ENOMEM);
			assert_true(r < 0 || n > 1);
			if (r == 0)
				cowmap_check(&copy);
			cowmap_release(&copy);
		}
		assert_true(digest(&m) == was);
	}
	cowmap_check(&m);
	cowmap_release(&m);
	assert_int_equal(mem_outstanding(), held);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_order_and_balanced),
		cmocka_unit_test(copies_stand_still),
		cmocka_unit_test(no_memory_is_released),
	};

	return cmocka_run_group_tests_name("store cowmap", tests, NULL, NULL);
}
