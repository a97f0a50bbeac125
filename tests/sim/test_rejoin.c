/*
 * test_rejoin.c -- stories of a site whose store is older than it was: what
 * was deleted stays deleted, what was written is not lost, and nothing is put
 * in force that others know better.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/reader.h"
#include "tests/sim/story.h"

static void restore(struct world *w, size_t site, struct ch_batch *backup)
{
	world_restore(w, site, backup);
	if (backup)
		batch_release(backup);
	world_start(w, site);
}

/* Delete it everywhere, and wait until nobody has anything of it. */
static void delete(struct world *w, const char *name)
{
	for (size_t i = 0; i < w->o.n_sites; i++)
		assert_int_equal(withdraw(w, A, name, name_of(w, i), 1), 0);
	assert_int_equal(unmake(w, A, name, 1), 0);
	world_run(w, 30000);
}

/* @text was written, and is in force at A and B. */
static void arrives(struct world *w, const char *text)
{
	for (size_t i = 0; i < 2; i++) {
		sees(w, i, VIEW_SPEC, "web", NULL, text);
		sees_state(w, A, "web", i, "ready");
		sees_state(w, B, "web", i, "ready");
	}
	world_run(w, 100);
	has(w, A, "directory", "web", text);
	has(w, B, "directory", "web", text);
}

static void deleted_stays_deleted(void **state)
{
	struct world *w = boot(3);
	struct ch_batch backup;
	char name[100];

	(void)state;
	everywhere(w, "web", "a: 1\n");
	everywhere(w, "db", "b: 1\n");
	world_backup(w, B, &backup);
	delete(w, "web");
	has(w, B, "directory", "web", NULL);
	restore(w, B, &backup);
	world_run(w, 30000);
	sees(w, A, VIEW_STATE, "web", NULL, NULL);
	sees(w, B, VIEW_STATE, "web", NULL, NULL);
	sees(w, C, VIEW_STATE, "web", NULL, NULL);
	has(w, B, "directory", "web", NULL);
	assert_non_null(strstr(trash(w, B, name), "web@"));
	sees_state(w, A, "db", B, "ready");
	assert_int_equal(spec(w, B, "db", "b: 2\n"), 0);
	sees_state(w, B, "db", C, "ready");
	has(w, C, "directory", "db", "b: 2\n");
	end(w);
}

/* What waited to be sent when the backup was made was sent long ago. */
static void unsent_is_not_sent_again(void **state)
{
	struct world *w = boot(3);
	struct ch_batch backup;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_cut(w, A, B, true);
	world_cut(w, B, C, true);
	assert_int_equal(spec(w, B, "web", "a: 2\n"), 0);
	world_run(w, 3000);
	world_backup(w, B, &backup);
	world_cut(w, A, B, false);
	world_cut(w, B, C, false);
	sees_state(w, B, "web", A, "ready");
	has(w, A, "directory", "web", "a: 2\n");
	delete(w, "web");
	restore(w, B, &backup);
	world_run(w, 30000);
	sees(w, A, VIEW_STATE, "web", NULL, NULL);
	sees(w, B, VIEW_STATE, "web", NULL, NULL);
	has(w, A, "directory", "web", NULL);
	has(w, B, "directory", "web", NULL);
	end(w);
}

static void newer_comes_back(void **state)
{
	struct world *w = boot(3);
	struct ch_batch backup;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_backup(w, B, &backup);
	assert_int_equal(spec(w, B, "web", "a: 2\n"), 0);
	arrives(w, "a: 2\n");
	assert_int_equal(spec(w, A, "web", "a: 3\n"), 0);
	arrives(w, "a: 3\n");
	restore(w, B, &backup);
	world_run(w, 20000);
	/* The old version was not put in force meanwhile. */
	has(w, B, "directory", "web", "a: 3\n");
	sees_state(w, A, "web", B, "ready");
	assert_int_equal(versions(w, A, "web"), 1);
	assert_int_equal(versions(w, B, "web"), 1);
	assert_int_equal(spec(w, B, "web", "a: 4\n"), 0);
	arrives(w, "a: 4\n");
	end(w);
}

static void lost_store(void **state)
{
	struct world *w = boot(3);

	(void)state;
	everywhere(w, "web", "a: 1\n");
	everywhere(w, "db", "b: 1\n");
	assert_int_equal(spec(w, B, "web", "a: 2\n"), 0);
	arrives(w, "a: 2\n");
	restore(w, B, NULL);
	sees_state(w, B, "web", B, "ready");
	sees_state(w, B, "db", B, "ready");
	has(w, B, "directory", "web", "a: 2\n");
	assert_int_equal(spec(w, B, "web", "a: 3\n"), 0);
	arrives(w, "a: 3\n");
	end(w);
}

/* Whatever nobody else holds is as its backup says. */
static void alone(void **state)
{
	struct world *w = boot(2);
	struct ch_batch backup;

	(void)state;
	everywhere(w, "db", "b: 1\n");
	assert_int_equal(make(w, B, "web"), 0);
	assert_int_equal(sites(w, B, "web", "paris\n"), 0);
	assert_int_equal(spec(w, B, "web", "a: 1\n"), 0);
	sees_state(w, B, "web", B, "ready");
	world_backup(w, B, &backup);
	assert_int_equal(spec(w, B, "web", "a: 2\n"), 0);
	assert_int_equal(spec(w, B, "db", "b: 2\n"), 0);
	sees_state(w, A, "db", B, "ready");
	restore(w, B, &backup);
	sees_state(w, B, "web", B, "ready");
	world_run(w, 20000);
	has(w, B, "directory", "web", "a: 1\n");
	end(w);
}

/* Several starts before it meets anybody, and a write in each. */
static void restarts_before_it_is_told(void **state)
{
	struct world *w = boot(3);
	struct ch_batch backup;
	char text[20];

	(void)state;
	everywhere(w, "web", "a: 1\n");
	everywhere(w, "db", "b: 1\n");
	world_backup(w, B, &backup);
	for (int i = 0; i < 3; i++) {
		world_crash(w, B);
		world_start(w, B);
		(void)snprintf(text, sizeof(text), "a: %d\n", 10 + i);
		assert_int_equal(spec(w, B, "web", text), 0);
		arrives(w, text);
	}
	delete(w, "db");
	world_cut(w, A, B, true);
	world_cut(w, B, C, true);
	restore(w, B, &backup);
	for (int i = 0; i < 5; i++) {
		world_crash(w, B);
		world_start(w, B);
		(void)snprintf(text, sizeof(text), "a: %d\n", 20 + i);
		assert_int_equal(spec(w, B, "web", text), 0);
		world_run(w, 2000);
	}
	world_cut(w, A, B, false);
	world_cut(w, B, C, false);
	world_run(w, 40000);
	sees(w, A, VIEW_STATE, "db", NULL, NULL);
	sees(w, B, VIEW_STATE, "db", NULL, NULL);
	/* Both writes of web were acknowledged, and neither saw the other. */
	assert_int_equal(versions(w, A, "web"), 2);
	assert_int_equal(versions(w, B, "web"), 2);
	end(w);
}

/* One who should be asked is away: nothing old is sent, and it is said why. */
static void one_is_away(void **state)
{
	struct world *w = boot(3);
	struct ch_batch backup;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_backup(w, B, &backup);
	assert_int_equal(spec(w, B, "web", "a: 2\n"), 0);
	arrives(w, "a: 2\n");
	assert_int_equal(sites(w, B, "web", "nantes\nlyon\nparis\n"), 0);
	world_crash(w, C);
	delete(w, "web");
	restore(w, B, &backup);
	world_run(w, 30000);
	sees(w, A, VIEW_STATE, "web", NULL, NULL);
	has(w, B, "directory", "web", NULL);
	world_start(w, C);
	world_run(w, 30000);
	sees(w, A, VIEW_STATE, "web", NULL, NULL);
	sees(w, B, VIEW_STATE, "web", NULL, NULL);
	sees(w, C, VIEW_STATE, "web", NULL, NULL);
	end(w);
}

static void two_at_once(void **state)
{
	struct world *w = boot(2);
	struct ch_batch a, b;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_backup(w, A, &a);
	world_backup(w, B, &b);
	assert_int_equal(spec(w, B, "web", "a: 2\n"), 0);
	arrives(w, "a: 2\n");
	world_crash(w, A);
	restore(w, B, &b);
	restore(w, A, &a);
	world_run(w, 60000);
	sees_state(w, A, "web", B, "ready");
	sees_state(w, B, "web", A, "ready");
	assert_int_equal(spec(w, B, "web", "a: 3\n"), 0);
	arrives(w, "a: 3\n");
	end(w);
}

/* Deleted, forgotten, and made anew: the old one does not come between. */
static void another_life(void **state)
{
	struct world *w = boot(3);
	struct ch_batch backup;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_backup(w, B, &backup);
	delete(w, "web");
	everywhere(w, "web", "a: 9\n");
	restore(w, B, &backup);
	world_run(w, 40000);
	sees_state(w, A, "web", B, "ready");
	has(w, B, "directory", "web", "a: 9\n");
	assert_int_equal(versions(w, A, "web"), 1);
	assert_int_equal(versions(w, B, "web"), 1);
	end(w);
}

/* It ends while it asks. */
static void crash_in_between(void **state)
{
	struct world *w = boot(3);
	struct ch_batch backup;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	everywhere(w, "db", "b: 1\n");
	world_backup(w, B, &backup);
	assert_int_equal(spec(w, B, "db", "b: 2\n"), 0);
	sees_state(w, A, "db", B, "ready");
	delete(w, "web");
	restore(w, B, &backup);
	for (int i = 0; i < 20; i++) {
		world_run(w, 37u * (unsigned)(i + 1));
		world_crash(w, i % 3 == 0 ? A : B);
		world_start(w, i % 3 == 0 ? A : B);
	}
	world_run(w, 40000);
	sees(w, A, VIEW_STATE, "web", NULL, NULL);
	sees(w, B, VIEW_STATE, "web", NULL, NULL);
	sees_state(w, A, "db", B, "ready");
	has(w, B, "directory", "db", "b: 2\n");
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deleted_stays_deleted),
		cmocka_unit_test(unsent_is_not_sent_again),
		cmocka_unit_test(newer_comes_back),
		cmocka_unit_test(lost_store),
		cmocka_unit_test(alone),
		cmocka_unit_test(restarts_before_it_is_told),
		cmocka_unit_test(one_is_away),
		cmocka_unit_test(two_at_once),
		cmocka_unit_test(another_life),
		cmocka_unit_test(crash_in_between),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
