/*
 * test_rename.c -- stories of mv: one resource under another name, everywhere,
 * and no driver hears of it; whatever others do meanwhile.
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

static struct ch_id lineage_of(struct world *w, size_t site, const char *name)
{
	struct ch_id id = {{0}};
	struct record r;

	record_init(&r);
	if (ledger_stored(&w->site[site], ch_str(name), &r) == 0)
		id = resource_lineage(&r);
	record_release(&r);
	return id;
}

/* The version word of that site's status, as A shows it. */
static void word_of(struct world *w, size_t at, const char *name, size_t of,
		    char word[64])
{
	struct view v = site_view(&w->site[at]);
	struct strbuf sb = STRBUF_INIT;
	const char *p, *end;

	assert_int_equal(view_content(&v, VIEW_SITE_STATUS, ch_str(name),
				      ch_str(name_of(w, of)), &sb, NULL),
			 0);
	p = strstr(sb.buf, "healthy: ");
	assert_non_null(p);
	p += strlen("healthy: ");
	end = strchr(p, '\n');
	assert_true(end - p < 64);
	memcpy(word, p, (size_t)(end - p));
	word[end - p] = '\0';
	strbuf_release(&sb);
}

/* The status of @of contains that. */
static void says(struct world *w, size_t at, const char *name, size_t of,
		 const char *text)
{
	struct view v = site_view(&w->site[at]);
	struct strbuf sb = STRBUF_INIT;

	assert_int_equal(view_content(&v, VIEW_SITE_STATUS, ch_str(name),
				      ch_str(name_of(w, of)), &sb, NULL),
			 0);
	if (!strstr(sb.buf, text))
		fail_msg("no '%s' in: %s", text, sb.buf);
	strbuf_release(&sb);
}

/* @name is what @was was: everywhere, and on the same object; NULL: on any. */
static void lives_as(struct world *w, const char *name, const char *was,
		     const char *object, const char *text)
{
	for (size_t i = 0; i < w->o.n_sites; i++) {
		sees(w, i, VIEW_SPEC, was, "", NULL);
		sees(w, i, VIEW_SPEC, name, "", text);
		for (size_t of = 0; of < w->o.n_sites; of++)
			sees_state(w, i, name, of, "ready");
		if (!object)
			continue;
		has(w, i, "directory", object, text);
		if (strcmp(object, name) != 0)
			has(w, i, "directory", name, NULL);
	}
}

static void no_driver_acts(void **state)
{
	struct world *w = boot(3);
	char before[64], after[64];
	struct ch_id lineage;
	size_t n;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	assert_int_equal(put(w, A, "web", CH_FILE_PATCH, "paris",
			     ch_str("b: 2\n"), NULL),
			 0);
	sees_state(w, A, "web", B, "ready");
	world_run(w, 3000);
	word_of(w, A, "web", B, before);
	lineage = lineage_of(w, A, "web");
	n = w->n_changes;
	assert_int_equal(move(w, A, "web", "web2"), 0);
	for (size_t i = A; i <= C; i++) {
		sees(w, i, VIEW_SPEC, "web", "", NULL);
		sees_state(w, A, "web2", i, "ready");
		sees(w, i, VIEW_SITE_PATCH, "web2", "paris", "b: 2\n");
	}
	sees_state(w, B, "web2", B, "ready");
	word_of(w, A, "web2", B, after);
	assert_string_equal(before, after);
	assert_non_null(strchr(after, '+'));
	for (size_t i = A; i <= C; i++) {
		struct ch_id its = lineage_of(w, i, "web2");

		assert_memory_equal(&its, &lineage, sizeof(its));
	}
	world_run(w, 60000);
	assert_int_equal(w->n_changes, n);
	has(w, A, "directory", "web", "a: 1\n");
	/* It is written and withdrawn as ever, under the object's old name. */
	assert_int_equal(spec(w, C, "web2", "a: 5\n"), 0);
	sees_state(w, C, "web2", C, "ready");
	has(w, C, "directory", "web", "a: 5\n");
	has(w, C, "directory", "web2", NULL);
	assert_int_equal(withdraw(w, A, "web2", "lyon", 4), 0);
	world_run(w, 20000);
	has(w, C, "directory", "web", NULL);
	has(w, A, "directory", "web", "a: 5\n");
	end(w);
}

static void refused(void **state)
{
	struct world *w = boot(1);

	(void)state;
	assert_int_equal(make(w, A, "web"), 0);
	assert_int_equal(make(w, A, "db"), 0);
	assert_int_equal(move(w, A, "web", "db"), -EEXIST);
	assert_int_equal(move(w, A, "none", "x"), -ENOENT);
	assert_int_equal(move(w, A, "web", ".x"), -EPERM);
	assert_int_equal(move(w, A, "web", "a/b"), -EINVAL);
	assert_int_equal(move(w, A, "web", "web"), 0);
	assert_int_equal(move(w, A, "web", "web2"), 0);
	assert_int_equal(move(w, A, "web", "web3"), -ENOENT);
	end(w);
}

/* The record that A has of @name, told to B in the name of C, who is down. */
static void tell_b(struct world *w, const char *name)
{
	static uint64_t no = 1000;
	const struct site *c = &w->site[C];
	const struct ch_from from = {
		.site = c->id,
		.federation = c->cfg.federation,
		.name = ch_str(c->name),
	};
	struct ch_frame v[2] = {{.type = FRAME_HELLO}, {.type = FRAME_BATCH}};
	struct strbuf sb = STRBUF_INIT;
	struct ch_item item;
	struct record r;

	record_init(&r);
	assert_int_equal(ledger_stored(&w->site[A], ch_str(name), &r), 0);
	record_encode(&r, &sb);
	record_release(&r);
	item = (struct ch_item){ITEM_RECORD, strbuf_bytes(&sb)};
	v[0].u.hello.proto_min = v[0].u.hello.proto_max = MSG_PROTO;
	v[0].u.hello.federation = c->cfg.federation;
	v[0].u.hello.site = c->id;
	v[0].u.hello.epoch = c->cfg.epoch;
	v[0].u.hello.nonce = c->cfg.nonce;
	v[0].u.hello.name = c->name;
	v[0].u.hello.address = c->address;
	v[0].u.hello.version = "0.1";
	v[0].u.hello.labels = "";
	v[0].u.hello.heartbeat_ms = 1000;
	v[1].u.batch.epoch = c->cfg.epoch;
	v[1].u.batch.nonce = c->cfg.nonce;
	v[1].u.batch.no = ++no;
	v[1].u.batch.v = &item;
	v[1].u.batch.n = 1;
	network_inject(w, B, &from, &(struct ch_message){v, 2});
	world_run(w, 100);
	assert_int_equal(network_injected(w), 200);
	strbuf_release(&sb);
}

/* B hears of one of the two records, is restarted, and hears of the other. */
static void either_order(void **state)
{
	for (int first = 0; first < 2; first++) {
		struct world *w = boot(3);
		size_t n;

		(void)state;
		everywhere(w, "web", "a: 1\n");
		world_run(w, 3000);
		n = w->n_changes;
		world_crash(w, C);
		world_cut(w, A, B, true);
		assert_int_equal(move(w, A, "web", "web2"), 0);
		tell_b(w, first ? "web2" : "web");
		world_run(w, 20000);
		assert_int_equal(w->n_changes, n);
		has(w, B, "directory", "web", "a: 1\n");
		has(w, B, "directory", "web2", NULL);
		if (first) {
			/* The new name is there, and waits for the old. */
			sees(w, B, VIEW_SPEC, "web2", "", "a: 1\n");
			sees_state(w, B, "web2", B, "pending");
			says(w, B, "web2", B, "\nmessage: moves from 'web'\n");
		} else {
			sees(w, B, VIEW_SPEC, "web", "", NULL);
		}
		world_crash(w, B);
		world_run(w, 1000);
		world_start(w, B);
		world_run(w, 20000);
		assert_int_equal(w->n_changes, n);
		world_cut(w, A, B, false);
		world_start(w, C);
		lives_as(w, "web2", "web", "web", "a: 1\n");
		assert_int_equal(w->n_changes, n);
		end(w);
	}
}

static void concurrent_write(void **state)
{
	struct world *w = boot(3);

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_cut(w, A, B, true);
	world_cut(w, B, C, true);
	assert_int_equal(move(w, A, "web", "web2"), 0);
	assert_int_equal(spec(w, B, "web", "a: 2\n"), 0);
	sees_state(w, B, "web", B, "ready");
	assert_int_equal(
		put(w, B, "web", CH_FILE_PATCH, "lyon", ch_str("b: 2\n"), NULL),
		0);
	world_run(w, 5000);
	world_cut(w, A, B, false);
	world_cut(w, B, C, false);
	for (size_t i = A; i <= C; i++) {
		sees(w, i, VIEW_SPEC, "web", "", NULL);
		sees(w, i, VIEW_SPEC, "web2", "", "a: 2\n");
		sees(w, i, VIEW_SITE_PATCH, "web2", "lyon", "b: 2\n");
		/* He had seen what he wrote over. */
		assert_int_equal(versions(w, i, "web2"), 1);
		for (size_t of = A; of <= C; of++)
			sees_state(w, i, "web2", of, "ready");
		has(w, i, "directory", "web2", NULL);
	}
	has(w, B, "directory", "web", "a: 2\n");
	has(w, C, "directory", "web", "a: 2\nb: 2\n");
	end(w);
}

static void concurrent_with_both(void **state)
{
	struct world *w = boot(3);

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_cut(w, A, B, true);
	world_cut(w, B, C, true);
	assert_int_equal(move(w, A, "web", "web2"), 0);
	assert_int_equal(spec(w, A, "web2", "a: 3\n"), 0);
	assert_int_equal(spec(w, B, "web", "a: 2\n"), 0);
	world_run(w, 5000);
	world_cut(w, A, B, false);
	world_cut(w, B, C, false);
	/* Neither had seen the other. */
	for (size_t i = A; i <= C; i++) {
		sees(w, i, VIEW_STATE, "web2", "", "conflict\n");
		assert_int_equal(versions(w, i, "web2"), 2);
	}
	assert_int_equal(spec(w, C, "web2", "a: 4\n"), 0);
	lives_as(w, "web2", "web", "web", "a: 4\n");
	end(w);
}

/* Its author does not come back: another brings it. */
static void author_is_gone(void **state)
{
	struct world *w = boot(3);

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_cut(w, A, B, true);
	world_cut(w, A, C, true);
	assert_int_equal(move(w, A, "web", "web2"), 0);
	assert_int_equal(spec(w, B, "web", "a: 2\n"), 0);
	sees(w, C, VIEW_SPEC, "web", "", "a: 2\n");
	world_crash(w, B);
	world_cut(w, A, C, false);
	world_cut(w, A, B, false);
	sees(w, A, VIEW_SPEC, "web2", "", "a: 2\n");
	sees(w, C, VIEW_SPEC, "web2", "", "a: 2\n");
	assert_int_equal(versions(w, A, "web2"), 1);
	world_start(w, B);
	lives_as(w, "web2", "web", "web", "a: 2\n");
	end(w);
}

static void sites_meanwhile(void **state)
{
	struct world *w = boot(4);

	(void)state;
	assert_int_equal(make(w, A, "web"), 0);
	for (size_t i = A; i <= C; i++)
		assert_int_equal(add(w, A, "web", name_of(w, i)), 0);
	assert_int_equal(spec(w, A, "web", "a: 1\n"), 0);
	for (size_t i = A; i <= C; i++)
		sees_state(w, A, "web", i, "ready");
	world_cut(w, A, B, true);
	assert_int_equal(move(w, A, "web", "web2"), 0);
	world_cut(w, B, C, true);
	assert_int_equal(add(w, B, "web", name_of(w, 3)), 0);
	assert_int_equal(withdraw(w, B, "web", name_of(w, C), 9), 0);
	world_run(w, 2000);
	world_cut(w, A, B, false);
	world_cut(w, B, C, false);
	sees_state(w, A, "web2", 3, "ready");
	sees_state(w, B, "web2", 3, "ready");
	sees(w, A, VIEW_SITE_STATE, "web2", name_of(w, C), NULL);
	world_run(w, 20000);
	has(w, C, "directory", "web", NULL);
	has(w, B, "directory", "web", "a: 1\n");
	end(w);
}

static void two_renames(void **state)
{
	struct world *w = boot(3);
	const char *name = "x", *other = "y";
	size_t n;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_run(w, 3000);
	n = w->n_changes;
	world_cut(w, A, B, true);
	assert_int_equal(move(w, A, "web", "x"), 0);
	assert_int_equal(move(w, B, "web", "y"), 0);
	world_run(w, 10000);
	assert_int_equal(w->n_changes, n);
	world_cut(w, A, B, false);
	world_run(w, 20000);
	if (lineage_of(w, A, "x").b[0] == 0 &&
	    lineage_of(w, A, "x").b[1] == 0) {
		name = "y";
		other = "x";
	}
	lives_as(w, name, "web", "web", "a: 1\n");
	for (size_t i = A; i <= C; i++) {
		sees(w, i, VIEW_SPEC, other, "", NULL);
		assert_int_equal(versions(w, i, name), 1);
	}
	assert_int_equal(w->n_changes, n);
	end(w);
}

/* Both went on writing under their names. */
static void two_renames_written(void **state)
{
	for (int who = 0; who < 2; who++) {
		struct world *w = boot(3);
		size_t at = who ? A : B;
		const char *name = who ? "x" : "y";

		(void)state;
		everywhere(w, "web", "a: 1\n");
		world_cut(w, A, B, true);
		world_cut(w, B, C, true);
		assert_int_equal(move(w, A, "web", "x"), 0);
		assert_int_equal(move(w, B, "web", "y"), 0);
		/* Two steps on: what it had seen is no base any more. */
		assert_int_equal(spec(w, at, name, "a: 2\n"), 0);
		assert_int_equal(spec(w, at, name, "a: 3\n"), 0);
		world_run(w, 5000);
		world_cut(w, A, B, false);
		world_cut(w, B, C, false);
		world_run(w, 20000);
		name = versions(w, A, "x") ? "x" : "y";
		lives_as(w, name, who ? (name[0] == 'x' ? "y" : "web") : "web",
			 "web", "a: 3\n");
		assert_int_equal(versions(w, A, name), 1);
		end(w);
	}
}

static void delete_meanwhile(void **state)
{
	struct world *w = boot(3);
	char name[100];

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_cut(w, A, B, true);
	world_cut(w, A, C, true);
	assert_int_equal(move(w, A, "web", "web2"), 0);
	for (size_t i = A; i <= C; i++)
		assert_int_equal(withdraw(w, B, "web", name_of(w, i), 5), 0);
	assert_int_equal(unmake(w, B, "web", 5), 0);
	assert_string_not_equal(trash(w, B, name), "");
	world_run(w, 1000);
	world_cut(w, A, B, false);
	world_cut(w, A, C, false);
	/* On platforms that had removed it by then it is made again. */
	lives_as(w, "web2", "web", NULL, "a: 1\n");
	assert_string_equal(trash(w, B, name), "");
	assert_string_equal(trash(w, A, name), "");
	end(w);
}

static void chain(void **state)
{
	struct world *w = boot(3);
	size_t n;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_run(w, 3000);
	n = w->n_changes;
	world_cut(w, A, B, true);
	world_cut(w, B, C, true);
	assert_int_equal(move(w, A, "web", "web2"), 0);
	sees(w, C, VIEW_SPEC, "web2", "", "a: 1\n");
	assert_int_equal(move(w, C, "web2", "web3"), 0);
	sees(w, A, VIEW_SPEC, "web3", "", "a: 1\n");
	assert_int_equal(move(w, A, "web3", "web4"), 0);
	world_run(w, 20000);
	assert_int_equal(w->n_changes, n);
	assert_int_equal(spec(w, B, "web", "a: 2\n"), 0);
	world_crash(w, B);
	world_start(w, B);
	world_cut(w, A, B, false);
	world_cut(w, B, C, false);
	lives_as(w, "web4", "web", "web", "a: 2\n");
	assert_int_equal(versions(w, A, "web4"), 1);
	sees(w, B, VIEW_SPEC, "web2", "", NULL);
	sees(w, B, VIEW_SPEC, "web3", "", NULL);
	end(w);
}

static void there_and_back(void **state)
{
	struct world *w = boot(3);
	size_t n;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_run(w, 3000);
	n = w->n_changes;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(move(w, A, "web", "web2"), 0);
		lives_as(w, "web2", "web", "web", "a: 1\n");
		assert_int_equal(move(w, (size_t)i % 3, "web2", "web"), 0);
		lives_as(w, "web", "web2", "web", "a: 1\n");
	}
	assert_int_equal(w->n_changes, n);
	/* Another goes while it comes back. */
	world_cut(w, A, B, true);
	world_cut(w, B, C, true);
	assert_int_equal(move(w, A, "web", "web2"), 0);
	assert_int_equal(move(w, A, "web2", "web"), 0);
	assert_int_equal(move(w, B, "web", "web3"), 0);
	assert_int_equal(spec(w, B, "web3", "a: 2\n"), 0);
	world_run(w, 10000);
	world_cut(w, A, B, false);
	world_cut(w, B, C, false);
	/* Who renamed more often counts. */
	lives_as(w, "web", "web3", "web", "a: 2\n");
	sees(w, B, VIEW_SPEC, "web2", "", NULL);
	end(w);
}

/* The name is free for another, but what is on the platforms is not. */
static void name_taken_again(void **state)
{
	struct world *w = boot(2);

	(void)state;
	everywhere(w, "web", "a: 1\n");
	assert_int_equal(move(w, A, "web", "web2"), 0);
	assert_int_equal(make(w, A, "web"), 0);
	assert_int_equal(add(w, A, "web", "nantes"), 0);
	/* The same bytes: no reason to share them. */
	assert_int_equal(spec(w, A, "web", "a: 1\n"), 0);
	sees_state(w, A, "web", A, "failed");
	says(w, A, "web", A, "belongs to the resource 'web2'");
	sees_state(w, A, "web2", B, "ready");
	says(w, A, "web2", A, "\nobject: web\n");
	says(w, A, "web2", B, "\nobject: web\n");
	/* Once the other is gone, it has its place. */
	for (size_t i = A; i <= B; i++)
		assert_int_equal(withdraw(w, A, "web2", name_of(w, i), 5), 0);
	assert_int_equal(unmake(w, A, "web2", 5), 0);
	sees_state(w, A, "web", A, "ready");
	has(w, A, "directory", "web", "a: 1\n");
	end(w);
}

/* A write to the old name, that another resource has by now. */
static void late_write_to_a_new_owner(void **state)
{
	struct world *w = boot(2);

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_cut(w, A, B, true);
	assert_int_equal(spec(w, B, "web", "a: 2\n"), 0);
	assert_int_equal(move(w, A, "web", "web2"), 0);
	assert_int_equal(make(w, A, "web"), 0);
	assert_int_equal(spec(w, A, "web", "new: 1\n"), 0);
	world_cut(w, A, B, false);
	sees(w, A, VIEW_SPEC, "web2", "", "a: 2\n");
	sees(w, B, VIEW_SPEC, "web2", "", "a: 2\n");
	sees(w, A, VIEW_SPEC, "web", "", "new: 1\n");
	assert_int_equal(versions(w, A, "web"), 1);
	assert_int_equal(versions(w, A, "web2"), 1);
	end(w);
}

static void restored_elsewhere(void **state)
{
	char name[100];

	for (int late = 0; late < 2; late++) {
		struct world *w = boot(3);
		struct ch_submit c = {.op = CH_RESTORE};
		struct ch_id lineage;
		size_t n;

		(void)state;
		everywhere(w, "web", "a: 1\n");
		world_run(w, 3000);
		lineage = lineage_of(w, A, "web");
		n = w->n_changes;
		for (size_t i = A; i <= C; i++)
			assert_int_equal(
				withdraw(w, A, "web", name_of(w, i), 5), 0);
		assert_int_equal(unmake(w, A, "web", 5), 0);
		if (late)
			world_run(w, 20000);
		c.trash = ch_str(trash(w, A, name));
		c.name = ch_str("web2");
		assert_int_equal(op(w, A, &c), 0);
		lives_as(w, "web2", "web", late ? "web2" : "web", "a: 1\n");
		for (size_t i = A; i <= C; i++) {
			struct ch_id its = lineage_of(w, i, "web2");

			/* Nobody knew of it any more: it is another one. */
			assert_int_equal(id_cmp(&its, &lineage) == 0, !late);
			if (i == A || !late)
				assert_string_equal(trash(w, i, name), "");
		}
		world_run(w, 20000);
		assert_true(late ? w->n_changes > n
				 : platform_find(&w->site[B], "directory",
						 "web") != NULL);
		end(w);
	}
}

/* A hold goes on where it was, it does not begin anew. */
static void hold_goes_on(void **state)
{
	struct world *w = boot(3);
	uint64_t start;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	start = w->now;
	assert_int_equal(
		put(w, A, "web", CH_FILE_HOLD, "", ch_str("60s\n"), NULL), 0);
	assert_int_equal(spec(w, A, "web", "a: 2\n"), 0);
	for (size_t i = A; i <= C; i++)
		sees_state(w, A, "web", i, "held");
	world_run(w, 45000 - (w->now - start));
	assert_int_equal(move(w, A, "web", "web2"), 0);
	for (size_t i = A; i <= C; i++)
		sees_state(w, A, "web2", i, "held");
	world_run(w, 70000 - (w->now - start));
	lives_as(w, "web2", "web", "web", "a: 2\n");
	assert_true(w->now - start < 90000);
	end(w);
}

/* What policy left on a platform is what the resource finds there again. */
static void left_and_found(void **state)
{
	struct world *w = boot(3);

	(void)state;
	everywhere(w, "web", "a: 1\n");
	assert_int_equal(put(w, A, "web", CH_FILE_POLICY, "",
			     ch_str("on-remove keep\n"), NULL),
			 0);
	assert_int_equal(withdraw(w, A, "web", name_of(w, C), 5), 0);
	world_run(w, 20000);
	has(w, C, "directory", "web", "a: 1\n");
	assert_int_equal(move(w, A, "web", "web2"), 0);
	assert_int_equal(add(w, A, "web2", name_of(w, C)), 0);
	assert_int_equal(spec(w, A, "web2", "a: 2\n"), 0);
	lives_as(w, "web2", "web", "web", "a: 2\n");
	end(w);
}

static int count_held(void *arg, struct ch_bytes name,
		      const struct view_resource *info)
{
	(void)name;
	(void)info;
	++*(size_t *)arg;
	return 0;
}

static size_t n_held(struct world *w, size_t site)
{
	struct view v = site_view(&w->site[site]);
	size_t n = 0;

	assert_true(view_helds(&v, count_held, &n) >= 0);
	return n;
}

/* A removal that is held stands in .held under the name that it has now. */
static void held_along(void **state)
{
	struct ch_submit c = {.op = CH_LET_GO, .user = ch_str("ann")};
	struct world *w = boot(2);
	char name[8];
	struct view v;
	int i;

	(void)state;
	for (i = 0; i < 8; i++) {
		(void)snprintf(name, sizeof(name), "r%d", i);
		everywhere(w, name, "a: 1\n");
	}
	world_run(w, 70000);
	for (i = 0; i < 8; i++) {
		(void)snprintf(name, sizeof(name), "r%d", i);
		assert_int_equal(withdraw(w, A, name, name_of(w, B), 5), 0);
	}
	world_run(w, 20000);
	assert_int_equal(n_held(w, B), 5);
	v = site_view(&w->site[B]);
	for (i = 0; i < 8; i++) {
		(void)snprintf(name, sizeof(name), "r%d", i);
		if (view_held(&v, ch_str(name)) == 0)
			break;
	}
	assert_int_equal(move(w, A, name, "x"), 0);
	world_run(w, 20000);
	v = site_view(&w->site[B]);
	assert_int_equal(view_held(&v, ch_str(name)), -ENOENT);
	assert_int_equal(view_held(&v, ch_str("x")), 0);
	assert_int_equal(n_held(w, B), 5);
	has(w, B, "directory", name, "a: 1\n");
	has(w, A, "directory", name, "a: 1\n");
	c.name = ch_str("x");
	assert_int_equal(op(w, B, &c), 0);
	world_run(w, 20000);
	has(w, B, "directory", name, NULL);
	assert_int_equal(n_held(w, B), 4);
	for (i = 0; i < 8; i++) {
		(void)snprintf(name, sizeof(name), "r%d", i);
		c.name = ch_str(name);
		v = site_view(&w->site[B]);
		if (view_held(&v, c.name) == 0)
			assert_int_equal(op(w, B, &c), 0);
	}
	end(w);
}

/* Two resources of one name come back under it, and nowhere else. */
static void restored_not_elsewhere(void **state)
{
	struct ch_submit c = {.op = CH_RESTORE, .name = ch_str("web2")};
	struct world *w = boot(2);
	char name[100];

	(void)state;
	world_cut(w, A, B, true);
	assert_int_equal(make(w, A, "web"), 0);
	assert_int_equal(spec(w, A, "web", "a: 1\n"), 0);
	assert_int_equal(make(w, B, "web"), 0);
	assert_int_equal(add(w, B, "web", name_of(w, A)), 0);
	assert_int_equal(spec(w, B, "web", "a: 2\n"), 0);
	world_cut(w, A, B, false);
	world_run(w, 30000);
	assert_int_equal(versions(w, A, "web"), 2);
	assert_int_equal(withdraw(w, A, "web", name_of(w, A), 5), 0);
	assert_int_equal(unmake(w, A, "web", 5), 0);
	c.trash = ch_str(trash(w, A, name));
	assert_int_equal(op(w, A, &c), -EBUSY);
	c.name = ch_str("web");
	assert_int_equal(op(w, A, &c), 0);
	end(w);
}

/* Write to @now, as who opened it under the name @then. */
static int put_to(struct world *w, size_t site, const char *now,
		  const char *then, enum ch_file file, const char *text,
		  struct strbuf *seen)
{
	static const char *const drivers[] = {"directory", "other"};
	struct ch_submit c = {.op = CH_WRITE, .name = ch_str(then)};
	struct view v = site_view(&w->site[site]);
	int rc;

	c.file = file;
	c.context = strbuf_bytes(seen);
	c.body = ch_str(text);
	rc = view_prepare(&v, ch_str(now), file, ch_str(""), c.body, drivers, 2,
			  &c.prepared, NULL);
	if (rc == 0)
		rc = op(w, site, &c);
	strbuf_release(seen);
	return rc;
}

/* A file that was opened under the old name. */
static void open_file_follows(void **state)
{
	struct world *w = boot(2);
	struct strbuf mine, theirs;

	(void)state;
	everywhere(w, "web", "a: 1\n");
	open_file(w, A, "web", CH_FILE_SPEC, &mine);
	open_file(w, B, "web", CH_FILE_SITES, &theirs);
	assert_int_equal(move(w, A, "web", "web2"), 0);
	sees(w, B, VIEW_SPEC, "web2", "", "a: 1\n");
	assert_int_equal(
		put_to(w, A, "web2", "web", CH_FILE_SPEC, "a: 2\n", &mine), 0);
	assert_int_equal(put_to(w, B, "web2", "web", CH_FILE_SITES,
				"paris\n+nantes\n", &theirs),
			 0);
	sees(w, B, VIEW_SPEC, "web2", "", "a: 2\n");
	assert_int_equal(versions(w, A, "web2"), 1);
	sees(w, A, VIEW_SITES, "web2", "", "paris\n+nantes\n");
	end(w);
}

/* Two resources of one name, one of them renamed to it. */
static void name_made_meanwhile(void **state)
{
	struct world *w = boot(2);

	(void)state;
	everywhere(w, "web", "a: 1\n");
	world_cut(w, A, B, true);
	assert_int_equal(move(w, A, "web", "web2"), 0);
	assert_int_equal(make(w, B, "web2"), 0);
	assert_int_equal(add(w, B, "web2", "nantes"), 0);
	assert_int_equal(spec(w, B, "web2", "other: 1\n"), 0);
	world_run(w, 3000);
	world_cut(w, A, B, false);
	sees(w, A, VIEW_STATE, "web2", "", "conflict\n");
	sees(w, B, VIEW_STATE, "web2", "", "conflict\n");
	world_run(w, 20000);
	/* Neither replaces the other. */
	has(w, A, "directory", "web", "a: 1\n");
	has(w, B, "directory", "web", "a: 1\n");
	assert_int_equal(move(w, A, "web2", "web3"), -EBUSY);
	assert_int_equal(spec(w, A, "web2", "a: 9\n"), 0);
	sees(w, B, VIEW_SPEC, "web2", "", "a: 9\n");
	sees_state(w, B, "web2", B, "ready");
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_driver_acts),
		cmocka_unit_test(refused),
		cmocka_unit_test(either_order),
		cmocka_unit_test(concurrent_write),
		cmocka_unit_test(concurrent_with_both),
		cmocka_unit_test(author_is_gone),
		cmocka_unit_test(sites_meanwhile),
		cmocka_unit_test(two_renames),
		cmocka_unit_test(two_renames_written),
		cmocka_unit_test(delete_meanwhile),
		cmocka_unit_test(chain),
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(name_taken_again),
		cmocka_unit_test(late_write_to_a_new_owner),
		cmocka_unit_test(restored_elsewhere),
		cmocka_unit_test(restored_not_elsewhere),
		cmocka_unit_test(hold_goes_on),
		cmocka_unit_test(left_and_found),
		cmocka_unit_test(held_along),
		cmocka_unit_test(open_file_follows),
		cmocka_unit_test(name_made_meanwhile),
	};

	return cmocka_run_group_tests_name("rename", tests, NULL, NULL);
}
