/*
 * sim.c -- random lives of random worlds.
 *
 *	sim [-v] [FIRST [LAST]]
 *	sim -s FILE             seeds in a file, one a line
 *
 * Each seed draws a world, its faults, and users who do what users do, all of
 * them at once. Then all is healed, and when it has become quiet, everything
 * that the design promises must hold. Each seed runs twice: both runs must be
 * the same to the byte. A seed that fails is printed with the end of its
 * trace; -v prints all of it. Exit status 1 when one failed.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/rng.h"
#include "tests/sim/world.h"

#define NAMES 4
#define QUIET_MS 1500000u /* So long it may take to become quiet. */
#define TRACE_LINES 60

struct run {
	struct world *w;
	uint64_t load, chaos; /* Generators. */
	uint64_t end_ms;
	uint64_t last_group, last_body;
	uint32_t pace_ms, chaos_ms;
	unsigned int big; /* Of 1000 specs. */
	bool heavy;       /* Deletes and withdraws most of the time. */
};

static struct world *now_running;
static uint64_t now_seed;

static void on_abort(int sig)
{
	(void)sig;
	fprintf(stderr, "seed %" PRIu64 ": aborted\n", now_seed);
	if (now_running)
		world_print_trace(now_running, TRACE_LINES);
	_Exit(1);
}

static size_t draw(struct run *r, size_t n)
{
	return (size_t)rng_below(&r->load, n);
}

static const char *any_name(struct run *r)
{
	static const char *const name[NAMES] = {"web", "db", "cache", "a b"};

	return name[draw(r, NAMES)];
}

static struct site *any_site(struct run *r)
{
	return &r->w->site[draw(r, r->w->o.n_sites)];
}

/* A write that was begun, and is committed later. */
struct draft {
	struct run *r;
	size_t site;
	char name[32], file_site[16];
	enum ch_file file;
	struct strbuf context, body;
};

static void draft_commit(struct world *w, void *arg)
{
	struct draft *d = arg;
	struct site *s = &w->site[d->site];
	const char *const drivers[] = {"directory", "other"};
	struct view v = site_view(s);
	struct ch_submit submit = {
		.op = CH_WRITE,
		.name = ch_str(d->name),
		.site = ch_str(d->file_site),
		.file = d->file,
		.context = strbuf_bytes(&d->context),
		.body = strbuf_bytes(&d->body),
		.user = ch_str("ann"),
		.group_id = ++d->r->last_group,
	};
	int rc;

	rc = view_prepare(&v, submit.name, d->file, submit.site, submit.body,
			  drivers, 2, &submit.prepared, NULL);
	if (rc == 0)
		world_submit(w, d->site, &submit);
	strbuf_release(&d->context);
	strbuf_release(&d->body);
	free(d);
}

/* One field of four changes: so that writes at once are often merged. */
static void change_field(struct run *r, const struct view *v, const char *name,
			 struct strbuf *sb)
{
	static const char fields[] = "{\"f\":0,\"g\":0,\"h\":0,\"i\":0}\n";

	if (view_content(v, VIEW_SPEC, ch_str(name), ch_str(""), sb, NULL) ||
	    sb->len != sizeof(fields) - 1 || memcmp(sb->buf, fields, 5) != 0) {
		strbuf_reset(sb);
		strbuf_add_str(sb, fields);
	}
	sb->buf[5 + 6 * draw(r, 4)] = (char)('0' + draw(r, 10));
}

static void spec_body(struct run *r, struct site *s, const char *name,
		      struct strbuf *sb)
{
	const struct view v = site_view(s);
	size_t kind = draw(r, 14);

	if (kind >= 10) {
		change_field(r, &v, name, sb);
		return;
	}
	if (kind == 0) { /* The same as others may write. */
		strbuf_addf(sb, "{\"common\":%zu}\n", draw(r, 2));
	} else if (kind == 1) {
		strbuf_addf(sb, "just text %" PRIu64 "\n", ++r->last_body);
	} else if (kind == 2) {
		strbuf_addf(sb, "kind: Secret\na: %" PRIu64 "\n",
			    ++r->last_body);
	} else {
		strbuf_addf(sb, "a: %" PRIu64 "\nb: [1, 2]\n", ++r->last_body);
	}
	if (draw(r, 1000) < r->big) {
		size_t len = 100000 + draw(r, 900000);

		while (sb->len < len)
			strbuf_addf(sb, "k%zu: \"%0100zu\"\n", sb->len, len);
	}
}

static void begin_write(struct run *r, struct site *s, const char *name,
			enum ch_file file, struct strbuf *body)
{
	struct draft *d = calloc(1, sizeof(*d));
	struct view v = site_view(s);
	uint64_t ms = 0;

	CHECK(d);
	d->r = r;
	d->site = s->no;
	(void)snprintf(d->name, sizeof(d->name), "%s", name);
	if (file == CH_FILE_PATCH)
		(void)snprintf(d->file_site, sizeof(d->file_site), "%s",
			       any_site(r)->name);
	d->file = file;
	strbuf_init(&d->context);
	d->body = *body;
	if (draw(r, 10))
		(void)view_context(&v, ch_str(name), file, ch_str(d->file_site),
				   &d->context);
	if (draw(r, 3) == 0)
		ms = draw(r, 4000);
	world_at(r->w, r->w->now + ms, draft_commit, d);
}

static void submit(struct run *r, struct site *s, struct ch_submit *c)
{
	c->user = ch_str("ann");
	if (!c->group_id)
		c->group_id = ++r->last_group;
	world_submit(r->w, s->no, c);
}

struct remover {
	struct run *r;
	struct site *s;
	const char *name;
	uint64_t group;
	bool half; /* Killed half way. */
};

static int remove_site(void *arg, struct ch_bytes site,
		       const struct view_resource *info)
{
	struct remover *x = arg;
	struct ch_submit c = {
		.op = CH_SITE_DEL,
		.name = ch_str(x->name),
		.site = site,
		.group_id = x->group,
	};

	(void)info;
	if (x->half && draw(x->r, 2))
		return 1;
	submit(x->r, x->s, &c);
	return 0;
}

/* rm -r */
static void remove_all(struct run *r, struct site *s, const char *name)
{
	struct remover x = {r, s, name, ++r->last_group, draw(r, 5) == 0};
	struct ch_submit c = {
		.op = CH_RMDIR,
		.name = ch_str(name),
		.group_id = x.group,
	};
	struct view v = site_view(s);

	if (view_sites(&v, c.name, remove_site, &x) >= 0 && !x.half)
		submit(r, s, &c);
}

static int take_trash(void *arg, struct ch_bytes name,
		      const struct view_resource *info)
{
	struct strbuf *sb = arg;

	(void)info;
	strbuf_reset(sb);
	strbuf_add(sb, name.p, name.len);
	return 0;
}

static void use_trash(struct run *r, struct site *s)
{
	struct strbuf trash = STRBUF_INIT;
	struct ch_submit c = {.op = CH_RESTORE};
	struct view v = site_view(s);
	const char *at;

	if (view_trashes(&v, take_trash, &trash) >= 0 && trash.len) {
		c.trash = strbuf_bytes(&trash);
		at = memchr(trash.buf, '@', trash.len);
		c.name = (struct ch_bytes){trash.buf, (size_t)(at - trash.buf)};
		if (draw(r, 6) == 0)
			c.op = CH_FORGET;
		submit(r, s, &c);
	}
	strbuf_release(&trash);
}

static void write_sites(struct run *r, struct site *s, const char *name)
{
	struct strbuf body = STRBUF_INIT;

	for (size_t i = 0; i < r->w->o.n_sites; i++)
		if (draw(r, 2))
			strbuf_addf(&body, "%s\n", r->w->site[i].name);
	if (draw(r, 4) == 0)
		strbuf_addf(&body, "%s%s\n", draw(r, 2) ? "+" : "!+",
			    any_site(r)->name);
	begin_write(r, s, name, CH_FILE_SITES, &body);
}

static void write_driver(struct run *r, struct site *s, const char *name)
{
	static const char *const word[] = {"directory", "directory", "other",
					   "none"};
	struct strbuf body = STRBUF_INIT;

	strbuf_addf(&body, "%s\n", word[draw(r, 4)]);
	begin_write(r, s, name, CH_FILE_DRIVER, &body);
}

static void write_patch(struct run *r, struct site *s, const char *name)
{
	struct strbuf body = STRBUF_INIT;

	if (draw(r, 4) == 0)
		strbuf_add_char(&body, '\n');
	else
		strbuf_addf(&body, "{\"p\": %" PRIu64 "}\n", ++r->last_body);
	begin_write(r, s, name, CH_FILE_PATCH, &body);
}

static int first_name(void *arg, struct ch_bytes name,
		      const struct view_resource *info)
{
	(void)info;
	strbuf_add(arg, name.p, name.len);
	return 1;
}

/* rm conflicts/X, whatever stands there first. */
static void discard(struct run *r, struct site *s, const char *name)
{
	struct ch_submit c = {.op = CH_DISCARD, .name = ch_str(name)};
	struct strbuf file = STRBUF_INIT, dots = STRBUF_INIT;
	struct view v = site_view(s);

	(void)view_conflicts(&v, c.name, first_name, &file);
	if (view_discard(&v, c.name, strbuf_bytes(&file), &dots) == 0) {
		c.context = strbuf_bytes(&dots);
		submit(r, s, &c);
	}
	strbuf_release(&dots);
	strbuf_release(&file);
}

static void act(struct run *r)
{
	struct site *s = any_site(r);
	const char *name = any_name(r);
	struct ch_submit c = {.name = ch_str(name)};
	struct strbuf body = STRBUF_INIT;
	size_t what = draw(r, 100);

	if (r->heavy && what < 45)
		what = 50 + draw(r, 35);
	if (what < 15) {
		c.op = CH_MKDIR;
		c.mode = draw(r, 8) ? 0755 : 0700;
		c.owner = ch_str("ann");
		c.group = ch_str("adm");
		submit(r, s, &c);
		if (draw(r, 2))
			world_quiet(r->w, s->no, name);
	} else if (what < 40) {
		spec_body(r, s, name, &body);
		begin_write(r, s, name, CH_FILE_SPEC, &body);
	} else if (what < 55) {
		c.op = CH_SITE_ADD;
		c.site = ch_str(any_site(r)->name);
		submit(r, s, &c);
	} else if (what < 65) {
		c.op = CH_SITE_DEL;
		c.site = ch_str(any_site(r)->name);
		submit(r, s, &c);
	} else if (what < 72) {
		remove_all(r, s, name);
	} else if (what < 75) {
		c.op = CH_RMDIR;
		submit(r, s, &c);
	} else if (what < 81) {
		use_trash(r, s);
	} else if (what < 87) {
		write_sites(r, s, name);
	} else if (what < 90) {
		write_driver(r, s, name);
	} else if (what < 94) {
		write_patch(r, s, name);
	} else if (what < 96) {
		c.op = CH_MODE;
		c.mode = (uint32_t)(draw(r, 2) ? 0750 : 0644);
		c.of_spec = draw(r, 2);
		submit(r, s, &c);
	} else if (what < 97) {
		discard(r, s, name);
	} else {
		c.op = CH_WAIT;
		if (draw(r, 2))
			c.site = ch_str(any_site(r)->name);
		c.timeout_ms = 1000 + (uint32_t)draw(r, 60000);
		submit(r, s, &c);
	}
}

static void on_act(struct world *w, void *arg)
{
	struct run *r = arg;

	if (w->now >= r->end_ms)
		return;
	act(r);
	world_at(w, w->now + 1 + draw(r, r->pace_ms), on_act, r);
}

static void restart(struct world *w, void *arg)
{
	struct site *s = arg;

	world_start(w, s->no);
}

static void thaw(struct world *w, void *arg)
{
	struct site *s = arg;

	world_freeze(w, s->no, false);
}

static void on_chaos(struct world *w, void *arg)
{
	struct run *r = arg;
	size_t n = w->o.n_sites;
	size_t a = (size_t)rng_below(&r->chaos, n);
	size_t b = (size_t)rng_below(&r->chaos, n);
	struct site *s = &w->site[a];

	if (w->now >= r->end_ms)
		return;
	switch (rng_below(&r->chaos, 8)) {
	case 0:
	case 1:
		world_crash(w, a);
		world_at(w, w->now + rng_below(&r->chaos, 20000), restart, s);
		break;
	case 2:
		if (a != b)
			world_cut(w, a, b, true);
		break;
	case 3: /* Halves. */
		for (size_t i = 0; i < n; i++)
			for (size_t k = 0; k < i; k++)
				world_cut(w, i, k, (i ^ k) & 1);
		break;
	case 4: /* One way. */
		if (a != b)
			w->cut[a][b] = true;
		break;
	case 5:
		memset(w->cut, 0, sizeof(w->cut));
		world_trace(w, NULL, "the network is whole");
		break;
	case 6:
		if (s->things)
			platform_tamper(s, s->things);
		break;
	case 7:
		world_freeze(w, a, true);
		world_at(w, w->now + rng_below(&r->chaos, 20000), thaw, s);
		break;
	}
	world_at(w, w->now + 1 + rng_below(&r->chaos, r->chaos_ms), on_chaos,
		 r);
}

static void draw_options(uint64_t seed, struct world_options *o)
{
	uint64_t rng = seed * 0x9e3779b97f4a7c15u + 1;

	o->seed = seed;
	o->n_sites = 2 + rng_below(&rng, 5);
	o->heartbeat_ms = 1000 + (uint32_t)rng_below(&rng, 3) * 2000;
	if (rng_below(&rng, 3) == 0)
		o->dial_only = 1u << (1 + rng_below(&rng, o->n_sites - 1));
	if (rng_below(&rng, 3) == 0)
		o->lacks_other = (uint32_t)rng_below(&rng, 256);
	o->star = rng_below(&rng, 2);
	o->skewed = rng_below(&rng, 2);
	if (rng_below(&rng, 2))
		o->loss = (unsigned int)rng_below(&rng, 300);
	if (rng_below(&rng, 2))
		o->twice = (unsigned int)rng_below(&rng, 300);
	if (rng_below(&rng, 2))
		o->job_fails = (unsigned int)rng_below(&rng, 400);
	if (rng_below(&rng, 2))
		o->job_ails = (unsigned int)rng_below(&rng, 400);
	if (rng_below(&rng, 3) == 0)
		o->commit_fails = (unsigned int)rng_below(&rng, 20);
	o->delay_ms = 1 + (uint32_t)rng_below(&rng, 4) * 40;
	o->commit_ms = (uint32_t)rng_below(&rng, 30);
	o->slow = (uint32_t)(rng_below(&rng, 256) & rng_below(&rng, 256));
	o->job_ms = 1 + (uint32_t)rng_below(&rng, 300);
	o->together = rng_below(&rng, 2);
}

static bool run_seed(uint64_t seed, bool verbose, uint64_t *ret_hash)
{
	struct world_options o = {.verbose = verbose};
	uint64_t rng = seed ^ 0x72756e;
	struct run r = {.load = seed ^ 0x6c6f6164, .chaos = seed ^ 0x6368616f};
	struct world *w;
	bool good;

	draw_options(seed, &o);
	now_running = w = r.w = world_new(&o);
	r.pace_ms = 20 + (uint32_t)rng_below(&rng, 3) * 300;
	r.chaos_ms = rng_below(&rng, 4) ? 1000 + (uint32_t)rng_below(&rng, 9000)
					: 1000000;
	r.big = rng_below(&rng, 4) ? 0 : 100;
	r.heavy = rng_below(&rng, 4) == 0;
	r.end_ms = w->now + 5000 + rng_below(&rng, 40000);
	world_at(w, w->now + 300, on_act, &r);
	world_at(w, w->now + 1000, on_chaos, &r);
	world_at(w, w->now + 1500, release_held, NULL);
	(void)world_until(w, NULL, NULL, r.end_ms - w->now);
	world_run(w, 4000); /* The last drafts. */
	for (size_t i = 0; i < o.n_sites && !w->failed; i++)
		if (!w->site[i].busy)
			judge_store(&w->site[i]);
	world_heal(w);
	if (!world_until(w, judge_is_quiet, NULL, QUIET_MS))
		judge_unrest(w);
	world_run(w, 70000);
	if (!world_until(w, judge_is_quiet, NULL, QUIET_MS))
		judge_unrest(w);
	if (!w->failed)
		judge_all(w);
	if (!w->failed && seed % 8 == 0) {
		world_run(w, 1300000);
		judge_spares(w);
	}
	*ret_hash = world_hash(w);
	good = !w->failed;
	if (!good) {
		printf("seed %" PRIu64 ": %s\n", seed, w->why);
		fflush(stdout);
		world_print_trace(w, TRACE_LINES);
	}
	now_running = NULL;
	world_free(w);
	return good;
}

static bool parse(const char *s, uint64_t *ret)
{
	char *end;

	*ret = strtoull(s, &end, 10);
	return s[0] >= '0' && s[0] <= '9' && !*end;
}

/* Twice: the same must come of it. */
static bool try_seed(uint64_t seed, bool verbose)
{
	uint64_t one, two;

	now_seed = seed;
	if (!run_seed(seed, verbose, &one) || !run_seed(seed, false, &two))
		return false;
	if (one != two)
		printf("seed %" PRIu64 ": two runs differ\n", seed);
	return one == two;
}

static int end(uint64_t n, uint64_t failed)
{
	printf("%" PRIu64 " seeds, %" PRIu64 " failed\n", n, failed);
	return failed != 0;
}

static int try_file(const char *path)
{
	uint64_t seed, n = 0, failed = 0;
	FILE *f = fopen(path, "r");
	char line[80];

	if (!f) {
		fprintf(stderr, "sim: %s cannot be read\n", path);
		return 2;
	}
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#' || !line[0])
			continue;
		if (!parse(line, &seed)) {
			fprintf(stderr, "sim: %s: '%s' is no seed\n", path,
				line);
			failed++;
			break;
		}
		n++;
		failed += !try_seed(seed, false);
	}
	fclose(f);
	return end(n, failed);
}

int main(int argc, char **argv)
{
	bool verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
	uint64_t first = 1, last = 200, failed = 0;

	signal(SIGABRT, on_abort);
	if (argc == 3 && strcmp(argv[1], "-s") == 0)
		return try_file(argv[2]);

	argv += verbose;
	argc -= verbose;
	if ((argc > 1 && !parse(argv[1], &first)) ||
	    (argc > 2 && !parse(argv[2], &last)) || argc > 3) {
		fprintf(stderr, "usage: sim [-v] [FIRST [LAST]]\n"
				"       sim -s FILE\n");
		return 2;
	}
	if (argc == 2)
		last = first;
	for (uint64_t seed = first; seed <= last; seed++)
		failed += !try_seed(seed, verbose);
	return end(last - first + 1, failed);
}
