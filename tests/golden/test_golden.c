/*
 * test_golden.c -- ten stories of the engine, as traces to read.
 *
 * Each is told by a run of the engine as it ships, and compared with
 * NAME.trace beside this file: time in ms, site, what happened; indented, what
 * came of it. GOLDEN_WRITE=1 (make golden) writes them anew: read the
 * difference before you commit it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/story.h"

struct tale {
	const char *name, *what;
	struct world_options o;
	void (*tell)(struct world *w);
};

static void add_line(struct strbuf *sb, const char *line)
{
	size_t n = strlen(line);

	while (n && line[n - 1] == ' ')
		n--;
	strbuf_add(sb, line, n);
	strbuf_add_char(sb, '\n');
}

static void print_note(const struct world *w, const struct note *n,
		       struct strbuf *sb)
{
	unsigned int ms = (unsigned int)n->at_ms;
	const char *to = w->site[n->to].name;
	char line[400];

	if (n->text[0] == ' ')
		(void)snprintf(line, sizeof(line), "           %s:%s", to,
			       n->text);
	else if (n->from == n->to)
		(void)snprintf(line, sizeof(line), "[%6u] %s > %s", ms, to,
			       n->text);
	else
		(void)snprintf(line, sizeof(line), "[%6u] %s > from %s: %s", ms,
			       to, w->site[n->from].name, n->text);
	add_line(sb, line);
}

static void compare(const struct tale *t, const struct strbuf *is)
{
	static char was[1 << 20];
	char path[200];
	size_t n = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "tests/golden/%s.trace", t->name);
	if (getenv("GOLDEN_WRITE")) {
		f = fopen(path, "w");
		assert_non_null(f);
		assert_int_equal(fwrite(is->buf, 1, is->len, f), is->len);
		assert_int_equal(fclose(f), 0);
		return;
	}
	f = fopen(path, "r");
	if (!f)
		fail_msg("%s cannot be read: make golden writes it", path);
	n = fread(was, 1, sizeof(was) - 1, f);
	fclose(f);
	was[n] = '\0';
	for (size_t i = 0, line = 1; i < n || i < is->len; i++) {
		if (i >= n || i >= is->len || was[i] != is->buf[i])
			fail_msg("%s:%zu: it goes otherwise now: see make "
				 "golden, and git diff",
				 path, line);
		line += was[i] == '\n';
	}
}

static void tell(void **state)
{
	const struct tale *t = *state;
	struct strbuf sb = STRBUF_INIT;
	struct world_options o = t->o;
	struct world *w;
	size_t from;

	o.seed = 1;
	o.told = o.told_all = true;
	o.n_sites = o.n_sites ? o.n_sites : 2;
	o.delay_ms = 10;
	w = boot_with(&o);
	from = w->n_notes;
	t->tell(w);
	if (!world_until(w, judge_is_quiet, NULL, 300000))
		judge_unrest(w);
	if (!w->failed)
		judge_all(w);
	good(w);
	strbuf_addf(&sb, "# %s\n", t->what);
	for (size_t i = from; i < w->n_notes; i++)
		print_note(w, &w->notes[i], &sb);
	compare(t, &sb);
	strbuf_release(&sb);
	world_free(w);
}

/* A resource at nantes and paris, in force. */
static void start(struct world *w)
{
	assert_int_equal(make(w, A, "web"), 0);
	assert_int_equal(add(w, A, "web", name_of(w, A)), 0);
	assert_int_equal(add(w, A, "web", name_of(w, B)), 0);
	assert_int_equal(spec(w, A, "web", "a: 1\n"), 0);
	sees_state(w, A, "web", A, "ready");
	sees_state(w, A, "web", B, "ready");
}

static void created(struct world *w)
{
	start(w);
}

static void cut_off(struct world *w)
{
	start(w);
	world_cut(w, A, B, true);
	assert_int_equal(spec(w, A, "web", "a: 2\n"), 0);
	assert_int_equal(spec(w, A, "web", "a: 3\n"), 0);
	sees_heart(w, A, B, "dead");
	world_cut(w, A, B, false);
	sees(w, B, VIEW_SPEC, "web", "", "a: 3\n");
}

static void conflict(struct world *w)
{
	start(w);
	world_cut(w, A, B, true);
	assert_int_equal(spec(w, A, "web", "a: 2\n"), 0);
	assert_int_equal(spec(w, B, "web", "a: 3\n"), 0);
	world_cut(w, A, B, false);
	sees(w, A, VIEW_STATE, "web", "", "conflict\n");
	sees(w, B, VIEW_STATE, "web", "", "conflict\n");
	assert_int_equal(spec(w, B, "web", "a: 4\n"), 0);
	sees(w, A, VIEW_STATE, "web", "", "ready\n");
}

static void remove_web(struct world *w)
{
	assert_int_equal(withdraw(w, A, "web", name_of(w, A), 1), 0);
	assert_int_equal(withdraw(w, A, "web", name_of(w, B), 1), 0);
	assert_int_equal(unmake(w, A, "web", 1), 0);
}

static void deleted(struct world *w)
{
	start(w);
	remove_web(w);
	world_run(w, 8000);
}

static void overruled(struct world *w)
{
	start(w);
	world_cut(w, A, B, true);
	remove_web(w);
	assert_int_equal(spec(w, B, "web", "a: 2\n"), 0);
	world_cut(w, A, B, false);
	sees(w, A, VIEW_SPEC, "web", "", "a: 2\n");
}

static void lost_answer(struct world *w)
{
	start(w);
	world_cut_one_way(w, B, A);
	assert_int_equal(spec(w, A, "web", "a: 2\n"), 0);
	sees(w, B, VIEW_SPEC, "web", "", "a: 2\n");
	world_run(w, 4000);
	world_join_all(w);
	sees_state(w, A, "web", B, "ready");
}

static void crash(struct world *w)
{
	struct ch_submit c = {.op = CH_MKDIR, .name = ch_str("db")};

	start(w);
	c.user = ch_str("ann");
	c.mode = 0755;
	world_submit(w, A, &c);
	world_run(w, 1);
	world_crash(w, A);
	world_run(w, 1000);
	world_start(w, A);
	assert_int_equal(spec(w, A, "web", "a: 2\n"), 0);
	sees_state(w, A, "web", B, "ready");
}

static void large_body(struct world *w)
{
	struct strbuf sb = STRBUF_INIT;

	start(w);
	while (sb.len < 700000)
		strbuf_addf(&sb, "line %zu\n", sb.len);
	assert_int_equal(
		put(w, A, "web", CH_FILE_SPEC, "", strbuf_bytes(&sb), NULL), 0);
	strbuf_release(&sb);
	world_run(w, 3000);
	sees_state(w, A, "web", B, "ready");
}

static void withdrawn(struct world *w)
{
	start(w);
	assert_int_equal(withdraw(w, A, "web", name_of(w, B), 1), 0);
	world_run(w, 8000);
	sees(w, B, VIEW_SPEC, "web", "", NULL);
}

static void let_go(struct world *w)
{
	start(w);
	assert_int_equal(sites(w, A, "web", "nantes\n+lyon\n"), 0);
	sees(w, C, VIEW_SPEC, "web", "", "a: 1\n");
	world_cut(w, A, C, true);
	world_cut(w, B, C, true);
	assert_int_equal(sites(w, A, "web", "nantes\n!+lyon\n"), 0);
	assert_int_equal(spec(w, A, "web", "a: 2\n"), 0);
	world_run(w, 4000);
	world_join_all(w);
	sees(w, C, VIEW_SPEC, "web", "", NULL);
}

int main(void)
{
	static struct tale tales[] = {
		{"created",
		 "a resource is made, and put in force on two sites",
		 {.n_sites = 2},
		 created},
		{"cut-off",
		 "one site is cut off, hears of the last of two "
		 "writes once it is back",
		 {.n_sites = 2},
		 cut_off},
		{"conflict",
		 "two sites write while apart; someone who saw "
		 "both settles it",
		 {.n_sites = 2},
		 conflict},
		{"deleted",
		 "deleted: the tombstone goes once all know, and a "
		 "certificate stays",
		 {.n_sites = 2},
		 deleted},
		{"overruled",
		 "deleted at one site and written at another: the "
		 "write wins",
		 {.n_sites = 2},
		 overruled},
		{"lost-answer",
		 "a batch is taken, its acknowledgement is "
		 "lost, and it comes again",
		 {.n_sites = 2},
		 lost_answer},
		{"crash",
		 "a site dies while it commits what nobody was "
		 "promised",
		 {.n_sites = 2, .commit_ms = 50},
		 crash},
		{"large-body",
		 "a body of several chunks: the batch waits for "
		 "it",
		 {.n_sites = 2},
		 large_body},
		{"withdrawn",
		 "one site is withdrawn: grace, the driver, and "
		 "then the record goes",
		 {.n_sites = 2},
		 withdrawn},
		{"let-go",
		 "a witness is let go while it is cut off, and hears "
		 "of that later",
		 {.n_sites = 3},
		 let_go},
	};
	struct CMUnitTest tests[sizeof(tales) / sizeof(tales[0])];
	size_t n = sizeof(tales) / sizeof(tales[0]);

	memset(tests, 0, sizeof(tests));
	for (size_t i = 0; i < n; i++) {
		tests[i].name = tales[i].name;
		tests[i].test_func = tell;
		tests[i].initial_state = &tales[i];
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
