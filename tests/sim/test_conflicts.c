/*
 * test_conflicts.c -- stories of two sites that write at once: what is merged,
 * what stays apart, and what a user does about it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/story.h"

/* What users write who do not hear of each other. */
static void apart(struct world *w, const char *name, enum ch_file file,
		  const char *of, const char *a, const char *b)
{
	world_cut(w, A, B, true);
	assert_int_equal(put(w, A, name, file, of, ch_str(a), NULL), 0);
	world_run(w, 10); /* B's is the later, and shown. */
	assert_int_equal(put(w, B, name, file, of, ch_str(b), NULL), 0);
	world_run(w, 3000);
	world_cut(w, A, B, false);
}

struct names {
	size_t n;
	char name[8][120];
};

static int add_name(void *arg, struct ch_bytes name,
		    const struct view_resource *info)
{
	struct names *to = arg;

	(void)info;
	assert_true(to->n < 8 && name.len < sizeof(to->name[0]));
	memcpy(to->name[to->n], name.p, name.len);
	to->name[to->n++][name.len] = '\0';
	return 0;
}

static struct names conflicts(struct world *w, size_t at, const char *name)
{
	struct view v = site_view(&w->site[at]);
	struct names all = {.n = 0};

	assert_int_equal(view_conflicts(&v, ch_str(name), add_name, &all), 0);
	return all;
}

struct count {
	size_t at, n;
};

static bool lists(struct world *w, void *arg)
{
	const struct count *c = arg;

	return conflicts(w, c->at, "web").n == c->n;
}

/* Conflicts/ of web has, in a while, so many files. */
static void sees_conflicts(struct world *w, size_t at, size_t n)
{
	struct count c = {at, n};

	if (!world_until(w, lists, &c, 60000))
		assert_int_equal(conflicts(w, at, "web").n, n);
}

/* rm conflicts/FILE. 1: it is a base. */
static int discard(struct world *w, size_t at, const char *name,
		   const char *file)
{
	struct ch_submit c = {.op = CH_DISCARD, .name = ch_str(name)};
	struct view v = site_view(&w->site[at]);
	struct strbuf dots = STRBUF_INIT;
	int rc = view_discard(&v, c.name, ch_str(file), &dots);

	c.context = strbuf_bytes(&dots);
	if (rc == 0)
		rc = op(w, at, &c);
	strbuf_release(&dots);
	return rc;
}

static void one_version(struct world *w, const char *name, const char *text)
{
	for (size_t i = 0; i < w->o.n_sites; i++) {
		sees(w, i, VIEW_SPEC, name, "", text);
		sees(w, i, VIEW_STATE, name, "", "ready\n");
		assert_int_equal(versions(w, i, name), 1);
		assert_int_equal(conflicts(w, i, name).n, 0);
		has(w, i, "directory", name, text);
	}
}

static void fields_are_merged(void **state)
{
	struct world *w = boot(3);

	(void)state;
	everywhere(w, "web", "a: 1 # one\nb: 0x2\nc: [3]\n");
	apart(w, "web", CH_FILE_SPEC, "", "a: 7\nb: 0x2\nc: [3]\n",
	      "a: 1\nb: 0x2\nc: [4]\nd: 5\n");
	one_version(w, "web", "a: 7\nb: 0x2\nc: [4]\nd: 5\n");
	/* The same change on both sides, and another on one. */
	apart(w, "web", CH_FILE_SPEC, "", "a: 8\nb: 0x2\nc: [4]\nd: 5\n",
	      "b: 0x2\na: 8\nd: 5\n");
	one_version(w, "web", "a: 8\nb: 0x2\nd: 5\n");
	end(w);
}

static void what_arrives_later_is_merged_in_turn(void **state)
{
	struct world *w = boot(3);

	(void)state;
	everywhere(w, "web", "{\"a\":1,\"b\":2,\"c\":3}\n");
	world_cut(w, A, C, true);
	world_cut(w, B, C, true);
	assert_int_equal(spec(w, C, "web", "{\"a\":1,\"b\":2,\"c\":9}\n"), 0);
	apart(w, "web", CH_FILE_SPEC, "", "{\"a\":7,\"b\":2,\"c\":3}\n",
	      "{\"a\":1,\"b\":8,\"c\":3}\n");
	sees(w, A, VIEW_SPEC, "web", "", "{\"a\":7,\"b\":8,\"c\":3}\n");
	sees(w, B, VIEW_SPEC, "web", "", "{\"a\":7,\"b\":8,\"c\":3}\n");
	world_cut(w, A, C, false);
	world_cut(w, B, C, false);
	one_version(w, "web", "{\"a\":7,\"b\":8,\"c\":9}\n");
	end(w);
}

static void what_contradicts_stays_apart(void **state)
{
	static const char *const pair[][2] = {
		{"a: 2\nb: 1\n", "a: 3\nb: 1\n"}, /* One field. */
		{"a: [1]\n", "just bytes: [\n"},  /* No fields at all. */
		{"b: 1\n", "a: {x: 2}\nb: 1\n"},  /* Removed, and changed. */
	};
	struct world *w = boot(2);

	(void)state;
	everywhere(w, "web", "a: {x: 1}\nb: 1\n");
	for (size_t i = 0; i < 3; i++) {
		apart(w, "web", CH_FILE_SPEC, "", pair[i][0], pair[i][1]);
		for (size_t at = A; at <= B; at++) {
			sees(w, at, VIEW_STATE, "web", "", "conflict\n");
			sees(w, at, VIEW_SPEC, "web", "", pair[i][1]);
		}
		/* No one changes his mind later. */
		world_run(w, 100000);
		assert_int_equal(versions(w, A, "web"), 2);
		assert_int_equal(versions(w, B, "web"), 2);
		assert_int_equal(spec(w, A, "web", "a: {x: 1}\nb: 1\n"), 0);
		one_version(w, "web", "a: {x: 1}\nb: 1\n");
	}
	/* Nor what policy does not let come together, until it does. */
	assert_int_equal(put(w, A, "web", CH_FILE_POLICY, "",
			     ch_str("merge never\n"), NULL),
			 0);
	sees(w, B, VIEW_POLICY, "web", "",
	     "adopt fail\ndrift repair\nmerge never\non-remove withdraw\n");
	apart(w, "web", CH_FILE_SPEC, "", "a: {x: 2}\nb: 1\n",
	      "a: {x: 1}\nb: 2\n");
	world_run(w, 100000);
	assert_int_equal(versions(w, A, "web"), 2);
	end(w);
}

static bool have_met(struct world *w, void *arg)
{
	(void)arg;
	return versions(w, A, "web") == 2 && versions(w, C, "web") == 2;
}

/* B wrote what is shown, and is down; A and C have both versions. */
static struct world *without_author(size_t n_sites)
{
	struct world *w = boot(n_sites);

	everywhere(w, "web", "a: 1\nb: 1\n");
	world_cut(w, A, B, true);
	world_cut(w, A, C, true);
	assert_int_equal(spec(w, A, "web", "a: 2\nb: 1\n"), 0);
	world_run(w, 10);
	assert_int_equal(spec(w, B, "web", "a: 1\nb: 3\n"), 0);
	sees(w, C, VIEW_SPEC, "web", "", "a: 1\nb: 3\n");
	world_crash(w, B);
	world_cut(w, A, C, false);
	assert_true(world_until(w, have_met, NULL, 20000));
	return w;
}

static void the_next_holder_steps_in(void **state)
{
	struct world *w = without_author(3);

	(void)state;
	/* Each leaves the author its turn. */
	for (size_t i = 0; i < 25; i++) {
		assert_int_equal(versions(w, A, "web"), 2);
		assert_int_equal(versions(w, C, "web"), 2);
		world_run(w, 1000);
	}
	world_run(w, 15000);
	sees(w, A, VIEW_SPEC, "web", "", "a: 2\nb: 3\n");
	sees(w, C, VIEW_SPEC, "web", "", "a: 2\nb: 3\n");
	world_cut(w, A, B, false);
	world_start(w, B);
	one_version(w, "web", "a: 2\nb: 3\n");
	end(w);
}

static void two_write_the_same_merge(void **state)
{
	struct world *w = without_author(3);

	(void)state;
	world_cut(w, A, C, true);
	world_run(w, 70000);
	for (size_t i = A; i <= C; i += 2) {
		sees(w, i, VIEW_SPEC, "web", "", "a: 2\nb: 3\n");
		assert_int_equal(versions(w, i, "web"), 1);
	}
	world_cut(w, A, C, false);
	world_cut(w, A, B, false);
	world_start(w, B);
	one_version(w, "web", "a: 2\nb: 3\n");
	end(w);
}

static void discarded_after_grace(void **state)
{
	struct world *w = boot(3);
	struct names all;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	apart(w, "web", CH_FILE_SPEC, "", "a: 2\n", "a: 3\n");
	for (size_t i = A; i <= C; i++)
		sees(w, i, VIEW_STATE, "web", "", "conflict\n");
	all = conflicts(w, C, "web");
	assert_int_equal(all.n, 2);
	assert_non_null(strstr(all.name[0], "-nantes-"));
	assert_non_null(strstr(all.name[1], ".base"));
	assert_int_equal(discard(w, C, "web", "nothing"), -ENOENT);
	assert_int_equal(discard(w, C, "web", all.name[1]), 1);
	assert_int_equal(discard(w, C, "web", all.name[0]), 0);
	/* It is gone from the tree here; the base is still found, for rm -r.
	 * Elsewhere all is as it was. */
	assert_int_equal(conflicts(w, C, "web").n, 0);
	assert_int_equal(discard(w, C, "web", all.name[0]), -ENOENT);
	assert_int_equal(discard(w, C, "web", all.name[1]), 1);
	world_run(w, WORLD_GRACE_MS - 1000);
	assert_int_equal(conflicts(w, A, "web").n, 2);
	assert_int_equal(versions(w, C, "web"), 2);
	/* A mark outlives a crash, and waits for grace again. */
	world_crash(w, C);
	world_start(w, C);
	assert_int_equal(conflicts(w, C, "web").n, 0);
	world_run(w, WORLD_GRACE_MS - 1000);
	assert_int_equal(versions(w, C, "web"), 2);
	one_version(w, "web", "a: 3\n");
	end(w);
}

static void discards_of_what_is_resolved_do_nothing(void **state)
{
	struct world *w = boot(2);
	struct names all;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	apart(w, "web", CH_FILE_SPEC, "", "a: 2\n", "a: 3\n");
	sees(w, A, VIEW_STATE, "web", "", "conflict\n");
	sees(w, B, VIEW_STATE, "web", "", "conflict\n");
	all = conflicts(w, A, "web");
	assert_int_equal(discard(w, A, "web", all.name[0]), 0);
	/* It is chosen meanwhile. */
	assert_int_equal(spec(w, B, "web", "a: 2\n"), 0);
	one_version(w, "web", "a: 2\n");
	world_run(w, 2 * WORLD_GRACE_MS);
	one_version(w, "web", "a: 2\n");
	end(w);
}

static void a_deletion_keeps_what_was_discarded(void **state)
{
	struct ch_submit c = {.op = CH_RESTORE, .name = ch_str("web")};
	struct world *w = boot(3);
	char name[100];

	(void)state;
	everywhere(w, "web", "a: 1\n");
	apart(w, "web", CH_FILE_SPEC, "", "a: 2\n", "a: 3\n");
	sees(w, B, VIEW_STATE, "web", "", "conflict\n");
	/* rm -r web */
	assert_int_equal(discard(w, B, "web", conflicts(w, B, "web").name[0]),
			 0);
	for (size_t i = A; i <= C; i++)
		assert_int_equal(withdraw(w, B, "web", name_of(w, i), 5), 0);
	assert_int_equal(unmake(w, B, "web", 5), 0);
	world_run(w, 4 * WORLD_GRACE_MS);
	for (size_t i = A; i <= C; i++)
		has(w, i, "directory", "web", NULL);
	c.trash = ch_str(trash(w, A, name));
	assert_int_equal(op(w, A, &c), 0);
	for (size_t i = A; i <= C; i++) {
		sees(w, i, VIEW_STATE, "web", "", "conflict\n");
		sees(w, i, VIEW_SPEC, "web", "", "a: 3\n");
		assert_int_equal(versions(w, i, "web"), 2);
		assert_int_equal(conflicts(w, i, "web").n, 1);
	}
	world_run(w, 4 * WORLD_GRACE_MS);
	assert_int_equal(versions(w, B, "web"), 2);
	has(w, C, "directory", "web", "a: 3\n");
	end(w);
}

static void patches_are_merged_too(void **state)
{
	struct world *w = boot(2);
	struct names all;

	(void)state;
	everywhere(w, "web", "a: 1\nb: 2\nc: 3\n");
	/* First ones: of nothing. */
	apart(w, "web", CH_FILE_PATCH, "paris", "a: 7\n", "{\"b\": null}\n");
	for (size_t i = A; i <= B; i++) {
		sees(w, i, VIEW_SITE_SPEC, "web", "paris", "a: 7\nc: 3\n");
		sees(w, i, VIEW_STATE, "web", "", "ready\n");
	}
	has(w, B, "directory", "web", "a: 7\nc: 3\n");
	/* One takes it all back, one adds to it. */
	apart(w, "web", CH_FILE_PATCH, "paris", "\n", "a: 7\nb: null\nd: 4\n");
	for (size_t i = A; i <= B; i++)
		sees(w, i, VIEW_SITE_SPEC, "web", "paris",
		     "a: 1\nb: 2\nc: 3\nd: 4\n");
	apart(w, "web", CH_FILE_PATCH, "paris", "d: 5\n", "d: 6\n");
	for (size_t i = A; i <= B; i++)
		sees(w, i, VIEW_STATE, "web", "", "conflict\n");
	all = conflicts(w, A, "web");
	assert_int_equal(all.n, 2);
	assert_non_null(strstr(all.name[0], ".patch"));
	assert_non_null(strstr(all.name[1], ".patch.base"));
	sees(w, B, VIEW_CONFLICT, "web", all.name[0], "d: 5\n");
	/* The same bytes again choose them. */
	assert_int_equal(put(w, A, "web", CH_FILE_PATCH, "paris",
			     ch_str("d: 6\n"), NULL),
			 0);
	for (size_t i = A; i <= B; i++)
		sees(w, i, VIEW_STATE, "web", "", "ready\n");
	end(w);
}

static int set_mode(struct world *w, size_t at, uint32_t mode)
{
	struct ch_submit c = {.op = CH_MODE, .name = ch_str("web")};

	c.mode = mode;
	c.owner = ch_str("ann");
	return op(w, at, &c);
}

static void drivers_and_modes_are_not_lost(void **state)
{
	struct world *w = boot(2);
	struct names all;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	apart(w, "web", CH_FILE_DRIVER, "", "none\n", "other\n");
	for (size_t i = A; i <= B; i++) {
		sees(w, i, VIEW_STATE, "web", "", "conflict\n");
		sees(w, i, VIEW_DRIVER, "web", "", "other\n");
		all = conflicts(w, i, "web");
		assert_int_equal(all.n, 1);
		assert_non_null(strstr(all.name[0], ".driver"));
		sees(w, i, VIEW_CONFLICT, "web", all.name[0], "none\n");
	}
	/* The word that stands there, written again, settles it. */
	assert_int_equal(
		put(w, A, "web", CH_FILE_DRIVER, "", ch_str("other\n"), NULL),
		0);
	for (size_t i = A; i <= B; i++)
		sees(w, i, VIEW_STATE, "web", "", "ready\n");
	world_cut(w, A, B, true);
	assert_int_equal(set_mode(w, A, 0750), 0);
	world_run(w, 10);
	assert_int_equal(set_mode(w, B, 0700), 0);
	world_cut(w, A, B, false);
	for (size_t i = A; i <= B; i++) {
		sees_conflicts(w, i, 1);
		sees(w, i, VIEW_STATE, "web", "", "ready\n");
		all = conflicts(w, i, "web");
		sees(w, i, VIEW_CONFLICT, "web", all.name[0], "0750 ann -\n");
	}
	assert_int_equal(discard(w, A, "web", all.name[0]), 0);
	sees_conflicts(w, A, 0);
	sees_conflicts(w, B, 0);
	end(w);
}

static void two_resources_of_one_name(void **state)
{
	struct world *w = boot(2);

	(void)state;
	world_cut(w, A, B, true);
	for (size_t i = A; i <= B; i++) {
		assert_int_equal(make(w, i, "web"), 0);
		assert_int_equal(add(w, i, "web", name_of(w, A)), 0);
		assert_int_equal(add(w, i, "web", name_of(w, B)), 0);
		/* Different fields; but not of one resource. */
		assert_int_equal(spec(w, i, "web", i ? "b: 1\n" : "a: 1\n"), 0);
		world_quiet(w, i, "web");
		world_run(w, 1000);
	}
	world_cut(w, A, B, false);
	for (size_t i = A; i <= B; i++)
		sees(w, i, VIEW_STATE, "web", "", "conflict\n");
	world_run(w, 100000);
	has(w, A, "directory", "web", "a: 1\n");
	has(w, B, "directory", "web", "b: 1\n");
	/* Without the one, the other is in force. */
	assert_int_equal(discard(w, A, "web", conflicts(w, A, "web").name[0]),
			 0);
	one_version(w, "web", "b: 1\n");
	end(w);
}

/* A file that was open while its resource was deleted and made again. */
static void lineages_that_share_a_base(void **state)
{
	struct world *w = boot(2);
	struct strbuf seen;

	(void)state;
	everywhere(w, "web", "a: 1\nb: 1\n");
	world_cut(w, A, B, true);
	open_file(w, A, "web", CH_FILE_SPEC, &seen);
	for (size_t i = A; i <= B; i++)
		assert_int_equal(withdraw(w, A, "web", name_of(w, i), 5), 0);
	assert_int_equal(unmake(w, A, "web", 5), 0);
	assert_int_equal(make(w, A, "web"), 0);
	for (size_t i = A; i <= B; i++)
		assert_int_equal(add(w, A, "web", name_of(w, i)), 0);
	assert_int_equal(put(w, A, "web", CH_FILE_SPEC, "",
			     ch_str("a: 2\nb: 1\n"), &seen),
			 0);
	assert_int_equal(spec(w, B, "web", "a: 1\nb: 2\n"), 0);
	world_cut(w, A, B, false);
	for (size_t i = A; i <= B; i++)
		sees(w, i, VIEW_STATE, "web", "", "conflict\n");
	world_run(w, 100000);
	assert_int_equal(versions(w, A, "web"), 2);
	assert_int_equal(versions(w, B, "web"), 2);
	assert_int_equal(spec(w, B, "web", "a: 2\nb: 2\n"), 0);
	one_version(w, "web", "a: 2\nb: 2\n");
	end(w);
}

/* Two versions meet, while the @n-th allocation of the @round-th round from
 * then on fails. */
static void meet(uint64_t round, long n, bool *ret_hit, bool *ret_spent)
{
	struct world *w = boot(2);

	everywhere(w, "web", "a: 1\nb: 1\n");
	world_cut(w, A, B, true);
	assert_int_equal(spec(w, A, "web", "a: 2\nb: 1\n"), 0);
	assert_int_equal(spec(w, B, "web", "a: 1\nb: 2\n"), 0);
	w->fail_round = w->rounds + round;
	w->fail_n = n;
	world_cut(w, A, B, false);
	for (size_t i = A; i <= B; i++)
		sees(w, i, VIEW_SPEC, "web", "", "a: 2\nb: 2\n");
	*ret_hit = w->fail_hit;
	*ret_spent = w->fail_spent;
	end(w);
}

static void no_memory(void **state)
{
	size_t hits = 0;

	(void)state;
	for (uint64_t round = 1; round <= 24; round++) {
		bool hit = true, spent = true;
		size_t missed = 0;
		long n = 0;

		while (hit || (spent && missed < 2)) {
			meet(round, n, &hit, &spent);
			hits += hit;
			missed = hit ? 0 : missed + spent;
			assert_true(missed < 2);
			n += hit && n > 40 ? 1 + n / 20 : 1;
		}
	}
	assert_true(hits > 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_merged),
		cmocka_unit_test(what_arrives_later_is_merged_in_turn),
		cmocka_unit_test(what_contradicts_stays_apart),
		cmocka_unit_test(the_next_holder_steps_in),
		cmocka_unit_test(two_write_the_same_merge),
		cmocka_unit_test(discarded_after_grace),
		cmocka_unit_test(discards_of_what_is_resolved_do_nothing),
		cmocka_unit_test(a_deletion_keeps_what_was_discarded),
		cmocka_unit_test(patches_are_merged_too),
		cmocka_unit_test(drivers_and_modes_are_not_lost),
		cmocka_unit_test(two_resources_of_one_name),
		cmocka_unit_test(lineages_that_share_a_base),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests_name("conflicts", tests, NULL, NULL);
}
