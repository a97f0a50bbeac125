/*
 * test_world_store_salvage.c -- a database that is damaged in each of the ways
 * that were measured (replication.md 4.3: R1, R2, R8, R9): what can be saved
 * is, what it was is kept, and the fence tells that it is not what it was.
 */
#include "drivers/store/store.h"

#include "tests/unit/store_help.h"

struct fixture {
	char dir[PATH_LEN];
	char db[PATH_LEN + 16];
};

static int fixture_open(void **state)
{
	static struct fixture f;

	scratch_make(f.dir);
	snprintf(f.db, sizeof(f.db), "%s/db", f.dir);
	*state = &f;
	return 0;
}

static int fixture_close(void **state)
{
	struct fixture *f = *state;

	scratch_remove(f->dir);
	return 0;
}

/* @n commits, each synced. */
static void fill(struct fixture *f, unsigned n)
{
	struct store *s = NULL;

	assert_int_equal(store_rocks_open(f->db, &s, NULL), 0);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(write_numbered(s, i, VALUE_LEN, NULL), 0);
	store_close(s);
}

static struct store *salvage(struct fixture *f, bool opens, const char *words)
{
	struct err err = ERR_INIT;
	struct store *s = NULL;
	char aside[PATH_LEN + 64];
	int r = store_rocks_salvage(f->db, opens, &s, &err);

	if (r < 0 || !strstr(err.text, words))
		fail_msg("salvage: %d: %s; want: %s", r, err.text, words);
	snprintf(aside, sizeof(aside), "%s.damaged-1", f->db);
	assert_int_equal(access(aside, F_OK), 0);
	return s;
}

static unsigned saved(struct store *s, unsigned n)
{
	unsigned have = 0;

	for (unsigned i = 0; i < n; i++)
		have += has_numbered(s, i, VALUE_LEN);
	return have;
}

/* It takes writes, and they stay. */
static void goes_on(struct fixture *f, struct store *s)
{
	assert_int_equal(write_numbered(s, 100000, VALUE_LEN, NULL), 0);
	store_close(s);
	assert_int_equal(store_rocks_open(f->db, &s, NULL), 0);
	assert_true(has_numbered(s, 100000, VALUE_LEN));
	store_close(s);
}

/* R1: one bit in the middle of the log. */
static void a_log_is_read_up_to_its_damage(void **state)
{
	struct fixture *f = *state;
	char path[2 * PATH_LEN];
	struct store *s = NULL;
	unsigned have;
	off_t size;

	fill(f, 500);
	find_file(f->db, ".log", path, &size);
	flip_bit(path, size / 2);
	assert_int_equal(store_rocks_open(f->db, &s, NULL), -EUCLEAN);
	s = salvage(f, false, "up to the damage");
	have = saved(s, 500);
	assert_in_range(have, 150, 350);
	/* All up to some point, and nothing behind it. */
	assert_int_equal(saved(s, have), have);
	goes_on(f, s);
}

/* R8: one bit in a table; reads meet it. */
static void a_bad_table_is_let_go(void **state)
{
	struct fixture *f = *state;
	char path[2 * PATH_LEN];
	struct store *s = NULL;
	off_t size;

	fill(f, 6000);
	find_file(f->db, ".sst", path, &size);
	flip_bit(path, size / 2);
	assert_int_equal(store_rocks_open(f->db, &s, NULL), 0);
	assert_false(store_is_damaged(s));
	assert_true(saved(s, 6000) < 6000);
	assert_true(store_is_damaged(s));
	store_close(s);
	s = salvage(f, true, "gathered");
	(void)saved(s, 6000);
	assert_false(store_is_damaged(s));
	goes_on(f, s);
}

/* R9: a table is gone, or cut off. */
static void a_table_is_gone(void **state)
{
	struct fixture *f = *state;
	char path[2 * PATH_LEN];
	struct store *s = NULL;
	off_t size;

	fill(f, 6000);
	find_file(f->db, ".sst", path, &size);
	assert_int_equal(truncate(path, size / 2), 0);
	assert_int_equal(store_rocks_open(f->db, &s, NULL), -EUCLEAN);
	s = salvage(f, false, "gathered");
	assert_false(store_is_damaged(s));
	goes_on(f, s);
}

static void no_beginning(void **state)
{
	struct fixture *f = *state;
	char path[2 * PATH_LEN];
	struct store *s = NULL;

	fill(f, 500);
	snprintf(path, sizeof(path), "%s/CURRENT", f->db);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(store_rocks_open(f->db, &s, NULL), -EUCLEAN);
	s = salvage(f, false, "up to the damage");
	assert_int_equal(saved(s, 500), 500);
	goes_on(f, s);
}

/* A disk that damages it each time: a person has to look. */
static void not_for_ever(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct store *s = NULL;
	char path[PATH_LEN + 64];

	fill(f, 5);
	for (int i = 1; i <= 9; i++) {
		snprintf(path, sizeof(path), "%s.damaged-%d", f->db, i);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	assert_int_equal(store_rocks_salvage(f->db, true, &s, &err), -EIO);
	assert_non_null(strstr(err.text, "look at its disk"));
	assert_null(s);
}

/* R2: a log that is gone opens without a word; its sequence tells. */
static void a_log_that_is_gone(void **state)
{
	struct fixture *f = *state;
	char path[2 * PATH_LEN];
	struct store *s = NULL;
	uint64_t seq;
	off_t size;

	assert_int_equal(store_rocks_open(f->db, &s, NULL), 0);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(write_numbered(s, i, VALUE_LEN, NULL), 0);
	seq = store_seq(s);
	store_close(s);
	find_file(f->db, ".log", path, &size);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(store_rocks_open(f->db, &s, NULL), 0);
	assert_int_equal(saved(s, 100), 0);
	assert_true(store_seq(s) < seq);
	store_close(s);
}

/* Either slot may be torn; the other counts. */
static void a_torn_fence(void **state)
{
	struct fixture *f = *state;
	struct store_fence fence = {{{7}}, 0}, got;
	struct store_dir *d = NULL;
	char path[2 * PATH_LEN];

	assert_int_equal(store_dir_open(f->dir, "/here", &d, NULL), 0);
	for (uint64_t i = 1; i <= 5; i++) {
		fence.seq = i;
		assert_int_equal(store_fence_write(d, &fence), 0);
		assert_int_equal(store_fence_read(d, &got), 0);
		assert_true(got.seq == i);
	}
	snprintf(path, sizeof(path), "%s/fence", f->dir);
	flip_bit(path, 4096 + 20); /* The fifth. */
	assert_int_equal(store_fence_read(d, &got), 0);
	assert_true(got.seq == 4);
	flip_bit(path, 20);
	assert_int_equal(store_fence_read(d, &got), -EIO);
	assert_int_equal(store_fence_write(d, &fence), 0);
	assert_int_equal(store_fence_read(d, &got), 0);
	assert_true(got.seq == 5);
	store_dir_close(d);
}

#define ON_DISK(fn) \
	cmocka_unit_test_setup_teardown(fn, fixture_open, fixture_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_DISK(a_log_is_read_up_to_its_damage),
		ON_DISK(a_bad_table_is_let_go),
		ON_DISK(a_table_is_gone),
		ON_DISK(no_beginning),
		ON_DISK(not_for_ever),
		ON_DISK(a_log_that_is_gone),
		ON_DISK(a_torn_fence),
	};

	return cmocka_run_group_tests_name("store salvage", tests, NULL, NULL);
}
