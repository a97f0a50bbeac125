/*
 * core_help.h -- what the unit tests of core's ground floors share.
 *
 * TEST(f) proves after f that nothing is left allocated. Random tests draw
 * from splitmix64; a failure prints the seed, which is enough to repeat it.
 */
#ifndef CHEOPS_TESTS_UNIT_CORE_HELP_H
#define CHEOPS_TESTS_UNIT_CORE_HELP_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "core/record.h"
#include "core/rng.h"

#define COUNT(v) (sizeof(v) / sizeof((v)[0]))

static inline int nothing_left(void **state)
{
	(void)state;
	mem_fail_after(-1);
	if (mem_outstanding() == 0)
		return 0;
	print_error("%ld allocations were not freed\n", mem_outstanding());
	return -1;
}
#define TEST(f) cmocka_unit_test_teardown(f, nothing_left)

static inline struct ch_bytes bytes_of(const void *p, size_t len)
{
	return (struct ch_bytes){p, len};
}

static inline void expect_bytes(struct ch_bytes got, struct ch_bytes want)
{
	assert_int_equal(got.len, want.len);
	if (want.len)
		assert_memory_equal(got.p, want.p, want.len);
}

/* Site @n: its number in each byte, so that the order is that of numbers. */
static inline struct ch_id site_of(unsigned int n)
{
	struct ch_id id;

	memset(id.b, (int)n, sizeof(id.b));
	return id;
}

/* Two lives of each site: actors 2k and 2k + 1 are site k + 1. */
static inline struct actor actor_of(unsigned int n)
{
	return (struct actor){site_of(n / 2 + 1), 1 + n % 2, 7 * n};
}

static inline struct ch_bytes id_bytes(const struct ch_id *id)
{
	return bytes_of(id->b, sizeof(id->b));
}

static inline struct ch_hash hash_of_text(const char *s)
{
	const struct ch_bytes b = ch_str(s);
	struct ch_hash h;

	hash_sum(&b, 1, &h);
	return h;
}

static inline struct body_ref body_of(const char *s)
{
	return (struct body_ref){hash_of_text(s), strlen(s)};
}

/* The clock must be sorted, each actor once, no zero. */
static inline void vector_check(const struct vv *vv)
{
	for (size_t i = 0; i < vv->n; i++) {
		assert_true(vv->v[i].seq > 0);
		if (i)
			assert_true(actor_cmp(&vv->v[i - 1].actor,
					      &vv->v[i].actor) < 0);
	}
}

/* Write @e, its payload made from its fields; @actor's @seq-th. */
static inline int write_entry(struct record *r, const struct vv *ctx,
			      struct entry e, unsigned int actor, uint64_t seq)
{
	struct strbuf payload = STRBUF_INIT;
	int rc;

	e.dot = (struct dot){actor_of(actor), seq};
	entry_payload(&e, &payload);
	assert_int_equal(strbuf_error(&payload), 0);
	e.payload = strbuf_bytes(&payload);
	rc = record_write(r, ctx, &e);
	strbuf_release(&payload);
	return rc;
}

#endif
