/*
 * test_engine.c -- the engine's stories, each told by hand in a small world:
 * what a user does at one site, and what is then seen at the others.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/engine.h"
#include "tests/sim/story.h"

static void one_site(void **state)
{
	struct world *w = boot(1);
	struct ch_submit sync = {.op = CH_WAIT, .timeout_ms = 60000};

	(void)state;
	sync.name = ch_str("web");
	assert_int_equal(make(w, A, "web"), 0);
	assert_int_equal(make(w, A, "web"), -EEXIST);
	assert_int_equal(add(w, A, "web", "nantes"), 0);
	assert_int_equal(add(w, A, "web", "nantes"), -EEXIST);
	assert_int_equal(add(w, A, "web", "atlantis"), -ENXIO);
	sees_state(w, A, "web", A, "idle");
	assert_int_equal(spec(w, A, "web", "a: 1\n"), 0);
	assert_int_equal(op(w, A, &sync), 0);
	has(w, A, "directory", "web", "a: 1\n");
	sees_state(w, A, "web", A, "ready");
	assert_int_equal(spec(w, A, "web", "a: 2\n"), 0);
	assert_int_equal(op(w, A, &sync), 0);
	has(w, A, "directory", "web", "a: 2\n");
	end(w);
}

static void held_back_until_quiet(void **state)
{
	struct world *w = boot(1);

	(void)state;
	assert_int_equal(make(w, A, "web"), 0);
	assert_int_equal(add(w, A, "web", "nantes"), 0);
	assert_int_equal(spec(w, A, "web", "a: 1\n"), 0);
	world_run(w, 300);
	has(w, A, "directory", "web", NULL);
	world_quiet(w, A, "web");
	world_run(w, 100);
	has(w, A, "directory", "web", "a: 1\n");
	end(w);
}

static void spec_arrives(void **state)
{
	struct world *w = boot(3);
	struct ch_submit sync = {.op = CH_WAIT, .timeout_ms = 60000};

	(void)state;
	sync.name = ch_str("web");
	everywhere(w, "web", "a: 1\n");
	for (size_t at = A; at <= C; at++)
		for (size_t of = A; of <= C; of++)
			sees_state(w, at, "web", of, "ready");
	/* Written elsewhere than it was made. */
	assert_int_equal(spec(w, C, "web", "a: 2\n"), 0);
	assert_int_equal(op(w, C, &sync), 0);
	for (size_t i = A; i <= C; i++)
		has(w, i, "directory", "web", "a: 2\n");
	end(w);
}

static size_t bodies(struct world *w, size_t at, const char *text)
{
	struct ch_bytes body = ch_str(text);
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	const struct ch_reader *r = store_reader(w->site[at].store);
	struct ch_hash hash;
	int rc;

	hash_sum(&body, 1, &hash);
	key_body(&key, &hash, 0);
	rc = r->get(r, COL_BODY, strbuf_bytes(&key), &value);
	strbuf_release(&key);
	strbuf_release(&value);
	return rc == 0;
}

/* Two resources need the same bytes; and a body that went comes again, also
 * where nobody remembers any more how many need it. */
static void bodies_are_shared(void **state)
{
	struct world *w = boot(2);

	(void)state;
	everywhere(w, "web", "a: 1\n");
	everywhere(w, "db", "a: 1\n");
	for (int life = 0; life < 2; life++) {
		assert_int_equal(spec(w, A, "web", "a: 2\n"), 0);
		assert_int_equal(spec(w, A, "web", "a: 3\n"), 0);
		for (size_t i = A; i <= B; i++) {
			has(w, i, "directory", "db", "a: 1\n");
			sees(w, i, VIEW_SPEC, "web", "", "a: 3\n");
			sees(w, i, VIEW_SPEC, "db", "", "a: 1\n");
			assert_int_equal(bodies(w, i, "a: 1\n"), 1);
		}
		assert_int_equal(spec(w, A, "db", "a: 2\n"), 0);
		assert_int_equal(spec(w, A, "db", "a: 3\n"), 0);
		sees(w, B, VIEW_SPEC, "db", "", "a: 3\n");
		world_run(w, 1000);
		for (size_t i = A; i <= B; i++)
			assert_int_equal(bodies(w, i, "a: 1\n"), 0);
		assert_int_equal(spec(w, A, "web", "a: 1\n"), 0);
		assert_int_equal(spec(w, A, "db", "a: 1\n"), 0);
		for (size_t i = A; i <= B; i++) {
			sees(w, i, VIEW_SPEC, "web", "", "a: 1\n");
			sees(w, i, VIEW_SPEC, "db", "", "a: 1\n");
			world_crash(w, i);
			world_start(w, i);
		}
		world_run(w, 5000);
	}
	end(w);
}

static void not_everywhere(void **state)
{
	struct world *w = boot(3);

	(void)state;
	assert_int_equal(make(w, A, "web"), 0);
	assert_int_equal(add(w, A, "web", name_of(w, B)), 0);
	assert_int_equal(spec(w, A, "web", "a: 1\n"), 0);
	sees_state(w, A, "web", B, "ready");
	world_run(w, 10000);
	sees(w, C, VIEW_SPEC, "web", "", NULL);
	has(w, A, "directory", "web", NULL);
	has(w, C, "directory", "web", NULL);
	end(w);
}

static void conflict_and_resolved(void **state)
{
	struct world *w = boot(3);
	struct strbuf a, b;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	open_file(w, A, "web", CH_FILE_SPEC, &a);
	open_file(w, B, "web", CH_FILE_SPEC, &b);
	assert_int_equal(
		put(w, A, "web", CH_FILE_SPEC, "", ch_str("a: 2\n"), &a), 0);
	world_run(w, 1000);
	assert_int_equal(
		put(w, B, "web", CH_FILE_SPEC, "", ch_str("a: 3\n"), &b), 0);
	for (size_t i = A; i <= C; i++) {
		sees(w, i, VIEW_STATE, "web", "", "conflict\n");
		assert_int_equal(versions(w, i, "web"), 2);
		/* One is shown, the same everywhere, and in force. */
		sees(w, i, VIEW_SPEC, "web", "", "a: 3\n");
	}
	world_run(w, 1000);
	has(w, C, "directory", "web", "a: 3\n");
	/* Whoever saw both settles it. */
	assert_int_equal(spec(w, C, "web", "a: 4\n"), 0);
	for (size_t i = A; i <= C; i++) {
		sees(w, i, VIEW_STATE, "web", "", "ready\n");
		assert_int_equal(versions(w, i, "web"), 1);
		has(w, i, "directory", "web", "a: 4\n");
	}
	end(w);
}

static void equal_bytes_are_no_conflict(void **state)
{
	struct world *w = boot(2);
	struct strbuf a, b;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	open_file(w, A, "web", CH_FILE_SPEC, &a);
	open_file(w, B, "web", CH_FILE_SPEC, &b);
	world_cut(w, A, B, true);
	assert_int_equal(
		put(w, A, "web", CH_FILE_SPEC, "", ch_str("a: 2\n"), &a), 0);
	assert_int_equal(
		put(w, B, "web", CH_FILE_SPEC, "", ch_str("a: 2\n"), &b), 0);
	world_cut(w, A, B, false);
	for (size_t i = A; i <= B; i++) {
		sees(w, i, VIEW_STATE, "web", "", "ready\n");
		sees(w, i, VIEW_SPEC, "web", "", "a: 2\n");
		assert_int_equal(versions(w, i, "web"), 1);
	}
	end(w);
}

static void write_wins_over_delete(void **state)
{
	struct world *w = boot(3);

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_cut(w, A, B, true);
	for (size_t i = A; i <= C; i++)
		assert_int_equal(withdraw(w, A, "web", name_of(w, i), 5), 0);
	assert_int_equal(unmake(w, A, "web", 5), 0);
	sees(w, C, VIEW_SPEC, "web", "", NULL);
	assert_int_equal(spec(w, B, "web", "a: 2\n"), 0);
	world_cut(w, A, B, false);
	for (size_t i = A; i <= C; i++) {
		sees(w, i, VIEW_SPEC, "web", "", "a: 2\n");
		for (size_t of = A; of <= C; of++)
			sees_state(w, i, "web", of, "ready");
		has(w, i, "directory", "web", "a: 2\n");
	}
	/* It is not in .trash while it lives, and can be withdrawn from. */
	world_run(w, 20000);
	assert_int_equal(withdraw(w, C, "web", name_of(w, A), 6), 0);
	world_run(w, 20000);
	has(w, A, "directory", "web", NULL);
	has(w, B, "directory", "web", "a: 2\n");
	end(w);
}

static void deleted_and_restored(void **state)
{
	char mine[100], theirs[100];
	struct world *w = boot(3);
	struct ch_submit c = {.op = CH_RESTORE};

	(void)state;
	everywhere(w, "web", "a: 1\n");
	assert_int_equal(unmake(w, A, "web", 5), -ENOTEMPTY);
	for (size_t i = A; i <= C; i++)
		assert_int_equal(withdraw(w, A, "web", name_of(w, i), 5), 0);
	assert_int_equal(unmake(w, A, "web", 5), 0);
	for (size_t i = A; i <= C; i++)
		sees(w, i, VIEW_SPEC, "web", "", NULL);
	/* Nothing goes from a platform before grace is over. */
	has(w, B, "directory", "web", "a: 1\n");
	world_run(w, 10000);
	for (size_t i = A; i <= C; i++)
		has(w, i, "directory", "web", NULL);
	/* The same name on all holders, and all of it as it was. */
	assert_string_equal(trash(w, A, mine), trash(w, B, theirs));
	assert_string_equal(mine, "web@nantes-1");
	sees(w, B, VIEW_TRASH_SPEC, mine, "", "a: 1\n");
	c.trash = ch_str(mine);
	c.name = ch_str("web");
	assert_int_equal(op(w, B, &c), 0);
	assert_int_equal(op(w, B, &c), -ENOENT);
	for (size_t i = A; i <= C; i++) {
		sees(w, i, VIEW_SPEC, "web", "", "a: 1\n");
		for (size_t of = A; of <= C; of++)
			sees_state(w, i, "web", of, "ready");
		has(w, i, "directory", "web", "a: 1\n");
	}
	end(w);
}

static void undone_within_grace(void **state)
{
	struct world *w = boot(2);
	char name[100];
	struct ch_submit c = {.op = CH_RESTORE};

	(void)state;
	everywhere(w, "web", "a: 1\n");
	for (size_t i = A; i <= B; i++)
		assert_int_equal(withdraw(w, B, "web", name_of(w, i), 5), 0);
	assert_int_equal(unmake(w, B, "web", 5), 0);
	c.trash = ch_str(trash(w, B, name));
	c.name = ch_str("web");
	world_run(w, 2000);
	assert_int_equal(op(w, B, &c), 0);
	sees_state(w, A, "web", A, "ready");
	sees_state(w, A, "web", B, "ready");
	for (size_t i = 0; i < 10; i++) {
		world_run(w, 1000);
		has(w, A, "directory", "web", "a: 1\n");
		has(w, B, "directory", "web", "a: 1\n");
	}
	assert_string_equal(trash(w, A, name), "");
	end(w);
}

static void withdrawn_and_added_again(void **state)
{
	struct world *w = boot(2);

	(void)state;
	everywhere(w, "web", "a: 1\n");
	assert_int_equal(put(w, A, "web", CH_FILE_PATCH, "paris",
			     ch_str("a: 9\n"), NULL),
			 0);
	world_run(w, 1000);
	has(w, B, "directory", "web", "a: 9\n");
	/* Within grace it comes back whole, patch included. */
	assert_int_equal(withdraw(w, A, "web", "paris", 5), 0);
	assert_int_equal(withdraw(w, A, "web", "paris", 5), -ENOENT);
	world_run(w, 2000);
	has(w, B, "directory", "web", "a: 9\n");
	assert_int_equal(add(w, A, "web", "paris"), 0);
	world_run(w, 20000);
	has(w, B, "directory", "web", "a: 9\n");
	sees_state(w, A, "web", B, "ready");
	/* After it, anew. */
	assert_int_equal(withdraw(w, A, "web", "paris", 6), 0);
	world_run(w, 20000);
	has(w, B, "directory", "web", NULL);
	sees(w, B, VIEW_SPEC, "web", "", NULL);
	assert_int_equal(add(w, A, "web", "paris"), 0);
	sees_state(w, A, "web", B, "ready");
	sees_state(w, B, "web", A, "ready");
	has(w, B, "directory", "web", "a: 1\n");
	end(w);
}

static void last_site_is_witness(void **state)
{
	struct world *w = boot(2);

	(void)state;
	assert_int_equal(make(w, A, "web"), 0);
	assert_int_equal(sites(w, A, "web", "paris\n!+nantes\n"), 0);
	assert_int_equal(spec(w, A, "web", "a: 1\n"), 0);
	world_run(w, 20000);
	sees(w, A, VIEW_SPEC, "web", "", NULL);
	has(w, B, "directory", "web", "a: 1\n");
	assert_int_equal(withdraw(w, B, "web", "paris", 5), 0);
	world_run(w, 20000);
	has(w, B, "directory", "web", NULL);
	sees(w, B, VIEW_SPEC, "web", "", "a: 1\n");
	sees(w, B, VIEW_SITES, "web", "", "+paris\n");
	assert_int_equal(add(w, B, "web", "nantes"), 0);
	sees_state(w, B, "web", A, "ready");
	end(w);
}

static void sites_file(void **state)
{
	struct world *w = boot(3);
	struct strbuf seen;

	(void)state;
	assert_int_equal(make(w, A, "web"), 0);
	assert_int_equal(sites(w, A, "web", "nantes\nparis\n"), 0);
	assert_int_equal(spec(w, A, "web", "a: 1\n"), 0);
	sees_state(w, A, "web", B, "ready");
	/* Who did not see a site does not leave it out. */
	open_file(w, B, "web", CH_FILE_SITES, &seen);
	assert_int_equal(add(w, A, "web", "lyon"), 0);
	sees_state(w, B, "web", C, "ready");
	assert_int_equal(
		put(w, B, "web", CH_FILE_SITES, "", ch_str("paris\n"), &seen),
		0);
	sees(w, C, VIEW_SITES, "web", "", "lyon\nparis\n+nantes\n");
	world_run(w, 20000);
	has(w, A, "directory", "web", NULL);
	has(w, C, "directory", "web", "a: 1\n");
	end(w);
}

static void patches(void **state)
{
	struct world *w = boot(2);

	(void)state;
	everywhere(w, "web", "{\"a\":1,\"b\":2}\n");
	assert_int_equal(put(w, A, "web", CH_FILE_PATCH, "paris",
			     ch_str("{\"b\":null}\n"), NULL),
			 0);
	sees(w, B, VIEW_SITE_SPEC, "web", "paris", "{\"a\":1}\n");
	sees_state(w, A, "web", B, "ready");
	world_run(w, 1000);
	has(w, A, "directory", "web", "{\"a\":1,\"b\":2}\n");
	has(w, B, "directory", "web", "{\"a\":1}\n");
	assert_int_equal(
		put(w, B, "web", CH_FILE_PATCH, "paris", ch_str("\n"), NULL),
		0);
	world_run(w, 1000);
	has(w, B, "directory", "web", "{\"a\":1,\"b\":2}\n");
	sees_state(w, A, "web", B, "ready");
	end(w);
}

static void drivers(void **state)
{
	const struct world_options o = {
		.seed = 7, .n_sites = 2, .lacks_other = 1u << B};
	struct world *w = boot_with(&o);

	(void)state;
	everywhere(w, "web", "a: 1\n");
	assert_int_equal(
		put(w, A, "web", CH_FILE_DRIVER, "", ch_str("none\n"), NULL),
		0);
	sees_state(w, B, "web", A, "idle");
	sees_state(w, A, "web", B, "idle");
	world_run(w, 20000);
	has(w, A, "directory", "web", "a: 1\n");
	/* What was left may be taken up again, and then moved. */
	assert_int_equal(put(w, A, "web", CH_FILE_DRIVER, "",
			     ch_str("directory\n"), NULL),
			 0);
	sees_state(w, A, "web", B, "ready");
	assert_int_equal(
		put(w, A, "web", CH_FILE_DRIVER, "", ch_str("other\n"), NULL),
		0);
	sees_state(w, B, "web", A, "ready");
	sees_state(w, A, "web", B, "failed");
	for (size_t i = A; i <= B; i++)
		has(w, i, "directory", "web", NULL);
	has(w, A, "other", "web", "a: 1\n");
	end(w);
}

static void waiting(void **state)
{
	struct world *w = boot(2);
	struct ch_submit c = {.op = CH_WAIT, .timeout_ms = 30000};
	uint64_t token, then;

	(void)state;
	c.name = ch_str("web");
	assert_int_equal(op(w, A, &c), -ENOENT);
	everywhere(w, "web", "a: 1\n");
	assert_int_equal(op(w, A, &c), 0);
	/* The platform fails. */
	w->o.job_fails = 1000;
	assert_int_equal(spec(w, A, "web", "a: 2\n"), 0);
	assert_int_equal(op(w, A, &c), -EIO);
	w->o.job_fails = 0;
	/* For who waits it is tried again at once. */
	c.site = ch_str("nantes");
	assert_int_equal(op(w, A, &c), 0);
	c.site = ch_str("");
	sees_state(w, A, "web", B, "ready");
	/* Not in time; dead; deleted. */
	world_cut(w, A, B, true);
	assert_int_equal(spec(w, A, "web", "a: 3\n"), 0);
	c.timeout_ms = 2000;
	assert_int_equal(op(w, A, &c), -ETIMEDOUT);
	c.timeout_ms = 60000;
	c.site = ch_str("paris");
	assert_int_equal(op(w, A, &c), -EHOSTUNREACH);
	c.site = ch_str("nantes");
	assert_int_equal(op(w, A, &c), 0);
	c.site = ch_str("");
	world_cut(w, A, B, false);
	sees_state(w, A, "web", B, "ready");
	world_cut(w, A, B, true);
	assert_int_equal(spec(w, A, "web", "a: 4\n"), 0);
	then = w->now;
	token = world_submit(w, A, &c);
	assert_int_equal(withdraw(w, A, "web", "nantes", 5), 0);
	assert_int_equal(withdraw(w, A, "web", "paris", 5), 0);
	assert_int_equal(unmake(w, A, "web", 5), 0);
	assert_true(result(w, token) <= 0);
	assert_true(w->now - then < 1000);
	world_cut(w, A, B, false);
	end(w);
}

static void idle_is_idle(void **state)
{
	struct world *w = boot(3);
	size_t rounds;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_run(w, 10000);
	rounds = w->site[A].n_rounds;
	world_run(w, 100000);
	/* 2 beats out, 2 answers, 2 beats in, a second; little else. */
	assert_in_range(w->site[A].n_rounds - rounds, 100, 1000);
	end(w);
}

static void ailing_is_not_busy(void **state)
{
	struct world *w = boot(1);
	size_t rounds;

	(void)state;
	w->o.job_ails = 1000;
	assert_int_equal(make(w, A, "web"), 0);
	assert_int_equal(add(w, A, "web", "nantes"), 0);
	assert_int_equal(spec(w, A, "web", "a: 1\n"), 0);
	sees_state(w, A, "web", A, "degraded");
	rounds = w->site[A].n_rounds;
	world_run(w, 100000);
	assert_in_range(w->site[A].n_rounds - rounds, 10, 400);
	w->o.job_ails = 0;
	rounds = w->now;
	sees_state(w, A, "web", A, "ready");
	/* It is looked at again in between, not just with all others. */
	assert_true(w->now - rounds < 4000);
	end(w);
}

static void limits(void **state)
{
	struct ch_submit c = {.op = CH_ADDRESS};
	struct world *w = boot(2);
	struct strbuf first, text = STRBUF_INIT;
	int rc = 0, n = 0;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	open_file(w, A, "web", CH_FILE_SPEC, &first);
	/* Writes that have not seen each other, without end. */
	for (; rc == 0 && n < 400; n++) {
		struct strbuf seen = STRBUF_INIT;

		strbuf_add(&seen, first.buf, first.len);
		strbuf_reset(&text);
		strbuf_addf(&text, "a: %d\n", n + 10);
		rc = put(w, n % 2 ? A : B, "web", CH_FILE_SPEC, "",
			 strbuf_bytes(&text), &seen);
		world_run(w, 30);
	}
	assert_int_equal(rc, -ENOSPC);
	assert_in_range(n, 200, 300);
	sees(w, B, VIEW_STATE, "web", "", "conflict\n");
	assert_int_equal(spec(w, B, "web", "a: 2\n"), 0);
	sees(w, A, VIEW_STATE, "web", "", "ready\n");
	/* What no message could carry. */
	strbuf_reset(&text);
	while (text.len < 5000)
		strbuf_add_str(&text, "k=v\n");
	c.site = ch_str(name_of(w, B));
	c.body = strbuf_bytes(&text);
	assert_int_equal(op(w, A, &c), -EINVAL);
	c.op = CH_LABELS;
	assert_int_equal(op(w, A, &c), -EINVAL);
	c.body.len = 4000;
	assert_int_equal(op(w, A, &c), 0);
	strbuf_release(&first);
	strbuf_release(&text);
	world_run(w, 20000);
	sees_heart(w, B, A, "alive");
	end(w);
}

struct clue {
	const char *text;
	size_t at;
};

static bool status_tells(struct world *w, void *arg)
{
	const struct clue *c = arg;
	struct view v = site_view(&w->site[c->at]);
	struct strbuf sb = STRBUF_INIT;
	bool tells = view_content(&v, VIEW_STATUS, ch_str("web"), ch_str(""),
				  &sb, NULL) == 0 &&
		     strstr(sb.buf, c->text);

	strbuf_release(&sb);
	return tells;
}

/* A clock that is full of writers' lives: it is said in time, and a deletion
 * works to the last. */
static void many_lives(void **state)
{
	struct clue warning = {"lives of its sites, of 896 at most", A};
	struct world *w = boot(2);
	char text[20];
	int rc = 0, n = 0;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	for (; rc == 0 && n < 1000; n++) {
		if (n == 740)
			assert_false(status_tells(w, &warning));
		if (n == 800)
			assert_true(
				world_until(w, status_tells, &warning, 20000));
		w->site[n % 2].engine->writer.nonce++; /* As a new life. */
		(void)snprintf(text, sizeof(text), "a: %d\n", n + 10);
		rc = spec(w, (size_t)n % 2, "web", text);
		world_run(w, 30);
	}
	assert_int_equal(rc, -ENOSPC);
	assert_in_range(n, 885, 900);
	world_run(w, 10000);
	for (size_t i = A; i <= B; i++) {
		w->site[B].engine->writer.nonce++;
		assert_int_equal(withdraw(w, B, "web", name_of(w, i), 1), 0);
	}
	w->site[B].engine->writer.nonce++;
	assert_int_equal(unmake(w, B, "web", 1), 0);
	world_run(w, 20000);
	has(w, A, "directory", "web", NULL);
	end(w);
}

static void tampered(void **state)
{
	struct world *w = boot(1);

	(void)state;
	everywhere(w, "web", "a: 1\n");
	for (int i = 0; i < 6; i++) {
		platform_tamper(&w->site[A],
				platform_find(&w->site[A], "directory", "web"));
		world_run(w, 1000);
		has(w, A, "directory", "web", "a: 1\n");
	}
	end(w);
}

/* Applies that a crash broke off, one after the other: whichever of them is on
 * the platform, it is ours (platform.c judges that). */
static void broken_off(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 24; seed++) {
		const struct world_options o = {
			.seed = seed, .n_sites = 1, .job_ms = 3000};
		size_t versions_of = 2 + seed % CH_BEFORE_MAX;
		struct world *w = boot_with(&o);

		assert_int_equal(make(w, A, "web"), 0);
		assert_int_equal(add(w, A, "web", "nantes"), 0);
		for (size_t i = 0; i < versions_of; i++) {
			char text[20];

			(void)snprintf(text, sizeof(text), "a: %zu\n", i);
			assert_int_equal(spec(w, A, "web", text), 0);
			world_quiet(w, A, "web");
			world_run(w, 5);
			world_crash(w, A);
			world_start(w, A);
			good(w);
		}
		sees_state(w, A, "web", A, "ready");
		if (seed % 2) {
			assert_int_equal(withdraw(w, A, "web", "nantes", 1), 0);
			world_run(w, 20000);
			has(w, A, "directory", "web", NULL);
		}
		end(w);
	}
}

static int count_name(void *arg, struct ch_bytes name,
		      const struct view_resource *info)
{
	(void)name;
	(void)info;
	++*(size_t *)arg;
	return 0;
}

static bool has_held(struct world *w, void *arg)
{
	const size_t *want = arg; /* At which site, and how many. */
	struct view v = site_view(&w->site[want[0]]);
	size_t n = 0;

	return w->site[want[0]].engine && view_helds(&v, count_name, &n) >= 0 &&
	       n == want[1];
}

static void holds_back(struct world *w, size_t site, size_t n)
{
	size_t want[] = {site, n};

	if (!world_until(w, has_held, want, 30000))
		fail_msg("%s does not hold %zu removals", name_of(w, site), n);
	world_run(w, 20000);
	assert_true(has_held(w, want));
	good(w);
}

static int list_name(void *arg, struct ch_bytes name,
		     const struct view_resource *info)
{
	struct strbuf *sb = arg;

	(void)info;
	strbuf_add(sb, name.p, name.len);
	strbuf_add_char(sb, '\0');
	return 0;
}

/* Let go of all that is held there, or keep it. */
static void settle_held(struct world *w, size_t site, enum ch_op what)
{
	struct view v = site_view(&w->site[site]);
	struct strbuf names = STRBUF_INIT;

	assert_true(view_helds(&v, list_name, &names) >= 0);
	for (size_t i = 0; i < names.len; i += strlen(names.buf + i) + 1) {
		struct ch_submit c = {.op = what, .user = ch_str("ann")};

		c.name = ch_str(names.buf + i);
		assert_int_equal(op(w, site, &c), 0);
		assert_int_equal(op(w, site, &c), -ENOENT);
	}
	strbuf_release(&names);
}

static size_t on_platform(const struct world *w, size_t site,
			  const char *driver)
{
	size_t n = 0;

	for (const struct thing *t = w->site[site].things; t; t = t->next)
		n += strcmp(t->driver, driver) == 0;
	return n;
}

static void eight(struct world *w, void (*then)(struct world *w, const char *))
{
	char name[8];

	for (int i = 0; i < 8; i++) {
		(void)snprintf(name, sizeof(name), "r%d", i);
		if (then)
			then(w, name);
		else
			everywhere(w, name, "a: 1\n");
	}
}

static void drive_otherwise(struct world *w, const char *name)
{
	assert_int_equal(
		put(w, A, name, CH_FILE_DRIVER, "", ch_str("other\n"), NULL),
		0);
}

/* Many that change their driver are many removals, on each site. */
static void guard_and_drivers(void **state)
{
	struct world *w = boot(2);

	(void)state;
	eight(w, NULL);
	world_run(w, 70000);
	eight(w, drive_otherwise);
	for (size_t i = A; i <= B; i++) {
		holds_back(w, i, 5);
		assert_int_equal(on_platform(w, i, "directory"), 5);
		assert_int_equal(on_platform(w, i, "other"), 3);
	}
	/* What is stored counts, not what was in memory. */
	world_crash(w, A);
	world_start(w, A);
	holds_back(w, A, 5);
	settle_held(w, A, CH_LET_GO);
	world_run(w, 20000);
	assert_int_equal(on_platform(w, A, "directory"), 0);
	assert_int_equal(on_platform(w, A, "other"), 8);
	assert_int_equal(on_platform(w, B, "directory"), 5);
	/* Kept on paris, all are back with their old driver, everywhere: five
	 * more removals at nantes, of which it has let go already. */
	settle_held(w, B, CH_KEEP);
	world_run(w, 20000);
	assert_int_equal(on_platform(w, B, "directory"), 5);
	holds_back(w, B, 0);
	settle_held(w, A, CH_LET_GO);
	world_run(w, 20000);
	assert_int_equal(on_platform(w, A, "directory"), 5);
	sees_state(w, A, "r0", A, "ready");
	end(w);
}

static void remove_whole(struct world *w, const char *name)
{
	for (size_t i = A; i <= B; i++)
		assert_int_equal(withdraw(w, A, name, name_of(w, i), 5), 0);
	assert_int_equal(unmake(w, A, name, 5), 0);
}

static void guard_and_deletion(void **state)
{
	struct world *w = boot(2);

	(void)state;
	eight(w, NULL);
	world_run(w, 70000);
	eight(w, remove_whole);
	for (size_t i = A; i <= B; i++) {
		holds_back(w, i, 5);
		assert_int_equal(on_platform(w, i, "directory"), 5);
	}
	/* Kept by one site, they are back on all: held no more there. */
	settle_held(w, B, CH_KEEP);
	holds_back(w, B, 0);
	settle_held(w, A, CH_LET_GO);
	world_run(w, 20000);
	for (size_t i = A; i <= B; i++)
		assert_int_equal(on_platform(w, i, "directory"), 5);
	end(w);
}

/* A hold counts the time that an agent runs, and little of it is lost. */
static void hold_and_crash(void **state)
{
	struct world *w = boot(2);

	(void)state;
	everywhere(w, "web", "a: 1\n");
	assert_int_equal(
		put(w, A, "web", CH_FILE_HOLD, "", ch_str("100s\n"), NULL), 0);
	assert_int_equal(spec(w, A, "web", "a: 2\n"), 0);
	sees_state(w, A, "web", B, "held");
	world_run(w, 50000);
	world_crash(w, B);
	world_run(w, 200000);
	has(w, A, "directory", "web", "a: 2\n");
	has(w, B, "directory", "web", "a: 1\n");
	world_start(w, B);
	world_run(w, 40000);
	has(w, B, "directory", "web", "a: 1\n");
	sees_state(w, A, "web", B, "held");
	world_run(w, 25000);
	has(w, B, "directory", "web", "a: 2\n");
	sees_state(w, A, "web", B, "ready");
	end(w);
}

/* Whoever was away when it was deleted brings nothing back, and loses what is
 * its own. */
static void back_after_long(void **state)
{
	struct world *w = boot(3);
	char name[100];

	(void)state;
	everywhere(w, "web", "a: 1\n");
	everywhere(w, "app", "a: 1\n");
	world_crash(w, C);
	assert_int_equal(withdraw(w, A, "app", name_of(w, C), 4), 0);
	for (size_t i = A; i <= C; i++)
		assert_int_equal(withdraw(w, A, "web", name_of(w, i), 5), 0);
	assert_int_equal(unmake(w, A, "web", 5), 0);
	world_run(w, 20000);
	for (size_t i = A; i <= B; i++) {
		/* All others forget what may be forgotten, and restart. */
		world_crash(w, i);
		world_start(w, i);
	}
	world_run(w, 2000000);
	has(w, A, "directory", "web", NULL);
	has(w, C, "directory", "web", "a: 1\n");
	world_start(w, C);
	world_run(w, 30000);
	for (size_t i = A; i <= C; i++) {
		sees(w, i, VIEW_SPEC, "web", "", NULL);
		has(w, i, "directory", "web", NULL);
	}
	has(w, C, "directory", "app", NULL);
	has(w, B, "directory", "app", "a: 1\n");
	assert_string_equal(trash(w, C, name), "web@nantes-1");
	end(w);
}

/* Who was declared gone is owed nothing, and is let in no more. */
static void declared_gone(void **state)
{
	struct world *w = boot(3);
	struct ch_submit c = {.op = CH_SITE_GONE, .user = ch_str("ann")};
	struct record r;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	everywhere(w, "old", "a: 1\n");
	assert_int_equal(make(w, B, "theirs"), 0);
	assert_int_equal(add(w, B, "theirs", name_of(w, C)), 0);
	assert_int_equal(spec(w, B, "theirs", "a: 1\n"), 0);
	sees_state(w, B, "theirs", C, "ready");
	c.site = ch_str("atlantis");
	assert_int_equal(op(w, A, &c), -ENOENT);
	c.site = ch_str(name_of(w, A));
	assert_int_equal(op(w, A, &c), -EBUSY);
	c.site = ch_str(name_of(w, C));
	assert_int_equal(op(w, A, &c), -EBUSY);
	world_crash(w, C);
	assert_int_equal(op(w, A, &c), -EBUSY);
	for (size_t i = A; i <= C; i++)
		assert_int_equal(withdraw(w, A, "old", name_of(w, i), 5), 0);
	assert_int_equal(unmake(w, A, "old", 5), 0);
	sees_heart(w, A, C, "dead");
	world_run(w, 20000);
	record_init(&r);
	assert_int_equal(ledger_stored(&w->site[A], ch_str("old"), &r), 0);
	assert_int_equal(op(w, A, &c), 0);
	assert_int_equal(op(w, A, &c), -ENOENT);
	for (size_t i = A; i <= B; i++) {
		const struct ch_bytes name = {name_of(w, C),
					      strlen(name_of(w, C))};
		struct view v;

		sees(w, i, VIEW_SITES, "web", "", "nantes\nparis\n+nantes\n");
		world_run(w, 5000);
		v = site_view(&w->site[i]);
		assert_int_equal(view_member(&v, name), -ENOENT);
		/* Nothing is owed to it: the deletion is forgotten. */
		assert_int_equal(ledger_stored(&w->site[i], ch_str("old"), &r),
				 -ENOENT);
	}
	/* Those that the declaring site does not hold lose it, too. */
	sees(w, B, VIEW_SITES, "theirs", "", "+paris\n");
	world_crash(w, B);
	world_start(w, B);
	world_start(w, C);
	world_run(w, 20000);
	assert_int_equal(spec(w, A, "web", "a: 2\n"), 0);
	assert_int_equal(spec(w, C, "web", "a: 3\n"), 0);
	assert_int_equal(spec(w, C, "old", "a: 3\n"), 0);
	world_run(w, 20000);
	sees(w, B, VIEW_SPEC, "web", "", "a: 2\n");
	sees(w, A, VIEW_SPEC, "old", "", NULL);
	sees(w, C, VIEW_SPEC, "web", "", "a: 3\n");
	good(w);
	record_release(&r);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_site),
		cmocka_unit_test(held_back_until_quiet),
		cmocka_unit_test(spec_arrives),
		cmocka_unit_test(not_everywhere),
		cmocka_unit_test(conflict_and_resolved),
		cmocka_unit_test(equal_bytes_are_no_conflict),
		cmocka_unit_test(write_wins_over_delete),
		cmocka_unit_test(bodies_are_shared),
		cmocka_unit_test(deleted_and_restored),
		cmocka_unit_test(undone_within_grace),
		cmocka_unit_test(withdrawn_and_added_again),
		cmocka_unit_test(last_site_is_witness),
		cmocka_unit_test(sites_file),
		cmocka_unit_test(patches),
		cmocka_unit_test(drivers),
		cmocka_unit_test(waiting),
		cmocka_unit_test(idle_is_idle),
		cmocka_unit_test(ailing_is_not_busy),
		cmocka_unit_test(limits),
		cmocka_unit_test(many_lives),
		cmocka_unit_test(tampered),
		cmocka_unit_test(broken_off),
		cmocka_unit_test(guard_and_drivers),
		cmocka_unit_test(guard_and_deletion),
		cmocka_unit_test(hold_and_crash),
		cmocka_unit_test(back_after_long),
		cmocka_unit_test(declared_gone),
	};

	return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
