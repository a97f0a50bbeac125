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
static void delete (struct world *w, const char *name)
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
	delete (w, "web");
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
	delete (w, "web");
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
	delete (w, "db");
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
	delete (w, "web");
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
	delete (w, "web");
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
	delete (w, "web");
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

/* Something new comes before anybody has heard of the restored site: taken, it
 * would hide that what came before is lost. */
static void told_before_it_speaks(void **state)
{
	struct world *w = boot(2);
	struct ch_batch backup;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	everywhere(w, "db", "b: 1\n");
	world_backup(w, B, &backup);
	delete (w, "web");
	world_crash(w, B);
	assert_int_equal(spec(w, A, "db", "b: 2\n"), 0);
	w->cut[B][A] = true;
	restore(w, B, &backup);
	world_run(w, 30000);
	w->cut[B][A] = false;
	world_run(w, 30000);
	sees_state(w, A, "db", B, "ready");
	sees(w, A, VIEW_STATE, "web", NULL, NULL);
	sees(w, B, VIEW_STATE, "web", NULL, NULL);
	end(w);
}

/* It is heard, and ends before it hears what is known of its last life. */
static void heard_and_not_told(void **state)
{
	struct world *w = boot(2);
	struct ch_batch backup;

	(void)state;
	assert_int_equal(make(w, A, "web"), 0);
	assert_int_equal(sites(w, A, "web", "paris\n"), 0);
	assert_int_equal(spec(w, A, "web", "a: 1\n"), 0);
	sees_state(w, A, "web", B, "ready");
	world_run(w, 1000);
	world_backup(w, B, &backup);
	assert_int_equal(spec(w, B, "web", "a: 2\n"), 0);
	sees(w, A, VIEW_SPEC, "web", NULL, "a: 2\n");
	sees_state(w, A, "web", B, "ready");
	w->cut[A][B] = true;
	restore(w, B, &backup);
	world_run(w, 2000);
	world_crash(w, B);
	world_start(w, B);
	w->cut[A][B] = false;
	world_run(w, 20000);
	sees(w, B, VIEW_SPEC, "web", NULL, "a: 2\n");
	end(w);
}

/* More changes while it is answered than the window of an outbox takes. */
static void busy_meanwhile(void **state)
{
	struct world *w = boot(2);
	struct ch_batch backup;
	char name[20];

	(void)state;
	for (int i = 0; i < 300; i++) {
		(void)snprintf(name, sizeof(name), "r%d", i);
		assert_int_equal(make(w, A, name), 0);
		assert_int_equal(sites(w, A, name, "nantes\nparis\n"), 0);
	}
	everywhere(w, "web", "a: 1\n");
	world_backup(w, B, &backup);
	assert_int_equal(spec(w, B, "web", "a: 2\n"), 0);
	arrives(w, "a: 2\n");
	w->o.delay_ms = 200;
	restore(w, B, &backup);
	world_run(w, 500);
	for (int i = 0; i < 600; i++) {
		(void)snprintf(name, sizeof(name), "r%d", i % 300);
		assert_int_equal(spec(w, A, name, i < 300 ? "b\n" : "c\n"), 0);
	}
	w->o.delay_ms = 3;
	sees(w, B, VIEW_SPEC, "web", NULL, "a: 2\n");
	sees_state(w, B, "web", B, "ready");
	assert_int_equal(spec(w, B, "web", "a: 3\n"), 0);
	arrives(w, "a: 3\n");
	end(w);
}

/* What was written since it was restored is not old. */
static void written_since(void **state)
{
	struct world *w = boot(3);
	struct ch_batch backup;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_backup(w, B, &backup);
	assert_int_equal(spec(w, B, "web", "a: 2\n"), 0);
	arrives(w, "a: 2\n");
	delete (w, "web");
	world_cut(w, A, B, true);
	world_cut(w, B, C, true);
	restore(w, B, &backup);
	world_run(w, 1000);
	assert_int_equal(spec(w, B, "web", "a: 5\n"), 0);
	assert_int_equal(make(w, B, "db"), 0);
	assert_int_equal(sites(w, B, "db", "nantes\nparis\n"), 0);
	assert_int_equal(spec(w, B, "db", "b: 1\n"), 0);
	world_crash(w, B);
	world_start(w, B);
	world_run(w, 5000);
	world_cut(w, A, B, false);
	world_cut(w, B, C, false);
	sees(w, A, VIEW_SPEC, "db", NULL, "b: 1\n");
	sees_state(w, B, "db", A, "ready");
	sees(w, A, VIEW_SPEC, "web", NULL, "a: 5\n");
	sees_state(w, A, "web", B, "ready");
	assert_int_equal(versions(w, B, "web"), 1);
	end(w);
}

/* Two that only dial never meet: neither waits for the other. */
static void two_that_dial(void **state)
{
	const struct world_options o = {
		.seed = 7,
		.n_sites = 3,
		.dial_only = 1u << B | 1u << C,
	};
	struct world *w = boot_with(&o);
	struct ch_batch backup;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_backup(w, B, &backup);
	assert_int_equal(spec(w, B, "web", "a: 2\n"), 0);
	arrives(w, "a: 2\n");
	restore(w, B, &backup);
	sees(w, B, VIEW_SPEC, "web", NULL, "a: 2\n");
	assert_int_equal(spec(w, B, "web", "a: 3\n"), 0);
	sees(w, C, VIEW_SPEC, "web", NULL, "a: 3\n");
	good(w);
	world_free(w);
}

/* Nobody else held it, and a user adds a site before all were asked. */
static void added_meanwhile(void **state)
{
	struct world *w = boot(3);
	struct ch_batch backup;
	char name[100];

	(void)state;
	everywhere(w, "db", "b: 1\n");
	assert_int_equal(make(w, B, "web"), 0);
	assert_int_equal(sites(w, B, "web", "paris\n"), 0);
	assert_int_equal(spec(w, B, "web", "a: 1\n"), 0);
	sees_state(w, B, "web", B, "ready");
	world_backup(w, B, &backup);
	assert_int_equal(spec(w, B, "db", "b: 2\n"), 0);
	sees_state(w, A, "db", B, "ready");
	world_crash(w, C);
	restore(w, B, &backup);
	world_run(w, 5000);
	assert_int_equal(add(w, B, "web", "nantes"), 0);
	world_run(w, 5000);
	world_start(w, C);
	sees_state(w, B, "web", A, "ready");
	world_run(w, 20000);
	assert_string_equal(trash(w, B, name), "");
	has(w, A, "directory", "web", "a: 1\n");
	has(w, B, "directory", "web", "a: 1\n");
	end(w);
}

/* What was saved of its store does not say who the other sites are. */
static void strangers(void **state)
{
	struct world *w = boot(3);
	struct ch_batch backup, saved;
	struct ch_batch_op op;
	char name[100];
	size_t pos = 0;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_backup(w, B, &backup);
	batch_init(&saved);
	while (batch_next(&backup, &pos, &op))
		if (op.col != COL_SITE && op.col != COL_PEER)
			batch_put(&saved, op.col, op.key, op.value);
	batch_put(&saved, COL_SYS, ch_str("restored"),
		  (struct ch_bytes){"\0\0\0\0\0\0\0\1", 8});
	batch_release(&backup);
	world_cut(w, A, B, true);
	world_cut(w, B, C, true);
	restore(w, B, &saved);
	world_run(w, 10000);
	assert_string_equal(trash(w, B, name), "");
	world_cut(w, A, B, false);
	world_cut(w, B, C, false);
	sees_state(w, A, "web", B, "ready");
	end(w);
}

static int count_trash(void *arg, struct ch_bytes name,
		       const struct view_resource *info)
{
	(void)name;
	(void)info;
	++*(size_t *)arg;
	return 0;
}

/* It does not know what it has deleted before: its numbers are others. */
static void deletes_again(void **state)
{
	struct world *w = boot(2);
	struct view v;
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 2; i++) {
		everywhere(w, "web", i ? "a: 1\n" : "a: 2\n");
		assert_int_equal(withdraw(w, B, "web", "nantes", 1), 0);
		assert_int_equal(withdraw(w, B, "web", "paris", 1), 0);
		assert_int_equal(unmake(w, B, "web", 1), 0);
		world_run(w, 30000);
		if (i == 0)
			restore(w, B, NULL);
		world_run(w, 30000);
	}
	v = site_view(&w->site[A]);
	assert_int_equal(view_trashes(&v, count_trash, &n), 0);
	assert_int_equal(n, 2);
	end(w);
}

/* Others deleted another resource of that name, and wait for our word. */
static void other_life_is_deleted(void **state)
{
	struct world *w = boot(2);
	struct ch_batch backup;

	(void)state;
	everywhere(w, "db", "b: 1\n");
	assert_int_equal(make(w, B, "web"), 0);
	world_run(w, 2000);
	world_backup(w, B, &backup);
	assert_int_equal(unmake(w, B, "web", 1), 0);
	world_run(w, 10000);
	assert_int_equal(spec(w, B, "db", "b: 2\n"), 0);
	sees_state(w, A, "db", B, "ready");
	world_crash(w, B);
	assert_int_equal(make(w, A, "web"), 0);
	assert_int_equal(add(w, A, "web", "paris"), 0);
	assert_int_equal(withdraw(w, A, "web", "paris", 2), 0);
	assert_int_equal(unmake(w, A, "web", 2), 0);
	restore(w, B, &backup);
	world_run(w, 40000);
	sees(w, A, VIEW_STATE, "web", NULL, NULL);
	sees(w, B, VIEW_STATE, "web", NULL, NULL);
	end(w);
}

/* One whose program knows of no lives is told all as ever. */
static void older_program(void **state)
{
	const struct world_options o = {
		.seed = 7,
		.n_sites = 2,
		.older = 1u << B,
	};
	struct world *w = boot_with(&o);

	(void)state;
	everywhere(w, "web", "a: 1\n");
	assert_int_equal(spec(w, B, "web", "a: 2\n"), 0);
	arrives(w, "a: 2\n");
	world_crash(w, A);
	world_start(w, A);
	assert_int_equal(spec(w, A, "web", "a: 3\n"), 0);
	arrives(w, "a: 3\n");
	end(w);
}

/* It asks and answers while the @n-th allocation fails of a round of the
 * restored site or the other. Was that hit? */
static bool short_of_memory(uint64_t round, long n)
{
	struct world *w = boot(2);
	struct ch_batch backup;
	bool hit;

	everywhere(w, "web", "a: 1\n");
	everywhere(w, "db", "b: 1\n");
	world_backup(w, B, &backup);
	assert_int_equal(spec(w, B, "db", "b: 2\n"), 0);
	sees_state(w, A, "db", B, "ready");
	delete (w, "web");
	w->fail_round = w->rounds + round;
	w->fail_n = n;
	restore(w, B, &backup);
	world_run(w, 30000);
	hit = w->fail_hit;
	sees(w, A, VIEW_STATE, "web", NULL, NULL);
	sees(w, B, VIEW_STATE, "web", NULL, NULL);
	sees(w, B, VIEW_SPEC, "db", NULL, "b: 2\n");
	end(w);
	return hit;
}

static void no_memory(void **state)
{
	size_t hits = 0;

	(void)state;
	for (uint64_t round = 1; round < 60; round++)
		for (long n = 0; short_of_memory(round, n); n += 1 + n / 2)
			hits++;
	assert_true(hits > 200);
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
		cmocka_unit_test(told_before_it_speaks),
		cmocka_unit_test(heard_and_not_told),
		cmocka_unit_test(busy_meanwhile),
		cmocka_unit_test(written_since),
		cmocka_unit_test(two_that_dial),
		cmocka_unit_test(added_meanwhile),
		cmocka_unit_test(strangers),
		cmocka_unit_test(deletes_again),
		cmocka_unit_test(other_life_is_deleted),
		cmocka_unit_test(older_program),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
