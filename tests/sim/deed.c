/* deed.c -- what users do, and what goes wrong; see script.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/rng.h"
#include "tests/sim/script.h"

struct doer { /* Who does a deed, and where. */
	struct world *w;
	struct site *s, *other;
	const char *name;
	uint64_t rng;
	unsigned int big;
};

static size_t draw(struct doer *x, size_t n)
{
	return (size_t)rng_below(&x->rng, n);
}

static void submit(struct doer *x, struct ch_submit *c)
{
	c->user = ch_str("ann");
	if (!c->name.len && !c->trash.len)
		c->name = ch_str(x->name);
	if (!c->group_id)
		c->group_id = rng_next(&x->rng) | 1;
	world_submit(x->w, x->s->no, c);
}

/* A write that was begun, and is committed later. */
struct draft {
	size_t site;
	const char *name, *file_site;
	enum ch_file file;
	uint64_t group;
	struct strbuf context, body;
};

static void draft_commit(struct world *w, void *arg)
{
	static const char *const drivers[] = {"directory", "other"};
	struct draft *d = arg;
	struct view v = site_view(&w->site[d->site]);
	struct ch_submit submit = {
		.op = CH_WRITE,
		.name = ch_str(d->name),
		.site = ch_str(d->file_site),
		.file = d->file,
		.context = strbuf_bytes(&d->context),
		.body = strbuf_bytes(&d->body),
		.user = ch_str("ann"),
		.group_id = d->group,
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

/* Open it, and write @body (released) at once or some seconds later. */
static void write_file(struct doer *x, enum ch_file file, struct strbuf *body,
		       bool now)
{
	struct draft *d = calloc(1, sizeof(*d));
	struct view v = site_view(x->s);
	uint64_t ms = 0;

	CHECK(d);
	d->site = x->s->no;
	d->name = x->name;
	d->file_site = file == CH_FILE_PATCH ? x->other->name : "";
	d->file = file;
	d->group = rng_next(&x->rng) | 1;
	strbuf_init(&d->context);
	d->body = *body;
	if (draw(x, 10) && !now)
		(void)view_context(&v, ch_str(d->name), file,
				   ch_str(d->file_site), &d->context);
	if (draw(x, 3) == 0 && !now)
		ms = draw(x, 4000);
	if (ms)
		world_at(x->w, x->w->now + ms, draft_commit, d);
	else
		draft_commit(x->w, d);
}

/* One field of four changes: so that writes at once are often merged. */
static void change_field(struct doer *x, struct strbuf *sb)
{
	static const char fields[] = "{\"f\":0,\"g\":0,\"h\":0,\"i\":0}\n";
	struct view v = site_view(x->s);

	if (view_content(&v, VIEW_SPEC, ch_str(x->name), ch_str(""), sb,
			 NULL) ||
	    sb->len != sizeof(fields) - 1 || memcmp(sb->buf, fields, 5) != 0) {
		strbuf_reset(sb);
		strbuf_add_str(sb, fields);
	}
	sb->buf[5 + 6 * draw(x, 4)] = (char)('0' + draw(x, 10));
}

static void write_spec(struct doer *x, bool now)
{
	struct strbuf sb = STRBUF_INIT;
	size_t kind = draw(x, 14), number = draw(x, 1000000);

	if (kind >= 10)
		change_field(x, &sb);
	else if (kind == 0) /* The same as others may write. */
		strbuf_addf(&sb, "{\"common\":%zu}\n", number % 2);
	else if (kind == 1)
		strbuf_addf(&sb, "just text %zu\n", number);
	else if (kind == 2)
		strbuf_addf(&sb, "kind: Secret\na: %zu\n", number);
	else
		strbuf_addf(&sb, "a: %zu\nb: [1, 2]\n", number);
	if (draw(x, 1000) < x->big) {
		size_t len = 100000 + draw(x, 900000);

		while (sb.len < len)
			strbuf_addf(&sb, "k%zu: \"%0100zu\"\n", sb.len, len);
	}
	write_file(x, CH_FILE_SPEC, &sb, now);
}

static void make(struct doer *x)
{
	struct ch_submit c = {
		.op = CH_MKDIR,
		.mode = draw(x, 8) ? 0755 : 0700,
		.owner = ch_str("ann"),
		.group = ch_str("adm"),
	};

	submit(x, &c);
	if (draw(x, 2))
		world_quiet(x->w, x->s->no, x->name);
}

static void change_site(struct doer *x, enum ch_op op, const struct site *of)
{
	struct ch_submit c = {.op = op, .site = ch_str(of->name)};

	submit(x, &c);
}

static void make_whole(struct doer *x)
{
	make(x);
	for (size_t i = 0; i < x->w->o.n_sites; i++)
		if (draw(x, 4))
			change_site(x, CH_SITE_ADD, &x->w->site[i]);
	write_spec(x, true);
}

struct remover {
	struct doer *x;
	uint64_t group;
	bool half; /* Killed half way. */
};

static int remove_site(void *arg, struct ch_bytes site,
		       const struct view_resource *info)
{
	struct remover *r = arg;
	struct ch_submit c = {
		.op = CH_SITE_DEL, .site = site, .group_id = r->group};

	(void)info;
	if (r->half && draw(r->x, 2))
		return 1;
	submit(r->x, &c);
	return 0;
}

/* rm -r */
static void remove_all(struct doer *x)
{
	struct remover r = {x, rng_next(&x->rng) | 1, draw(x, 5) == 0};
	struct ch_submit c = {.op = CH_RMDIR, .group_id = r.group};
	struct view v = site_view(x->s);

	if (view_sites(&v, ch_str(x->name), remove_site, &r) >= 0 && !r.half)
		submit(x, &c);
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

static void use_trash(struct doer *x)
{
	struct strbuf trash = STRBUF_INIT;
	struct ch_submit c = {.op = CH_RESTORE};
	struct view v = site_view(x->s);
	const char *at;

	if (view_trashes(&v, take_trash, &trash) >= 0 && trash.len) {
		c.trash = strbuf_bytes(&trash);
		at = memchr(trash.buf, '@', trash.len);
		c.name = (struct ch_bytes){trash.buf, (size_t)(at - trash.buf)};
		if (draw(x, 6) == 0)
			c.op = CH_FORGET;
		submit(x, &c);
	}
	strbuf_release(&trash);
}

static void write_sites(struct doer *x)
{
	struct strbuf body = STRBUF_INIT;

	for (size_t i = 0; i < x->w->o.n_sites; i++)
		if (draw(x, 2))
			strbuf_addf(&body, "%s\n", x->w->site[i].name);
	if (draw(x, 4) == 0)
		strbuf_addf(&body, "%s%s\n", draw(x, 2) ? "+" : "!+",
			    x->other->name);
	write_file(x, CH_FILE_SITES, &body, false);
}

static void leave(struct doer *x)
{
	struct strbuf body = STRBUF_INIT;

	for (size_t i = 0; i < x->w->o.n_sites; i++)
		if (i != x->s->no && (i == x->other->no || draw(x, 2)))
			strbuf_addf(&body, "%s\n", x->w->site[i].name);
	strbuf_addf(&body, "!+%s\n", x->s->name);
	write_file(x, CH_FILE_SITES, &body, true);
}

/* Make it anew where it was left, once it is forgotten there. */
static void on_remake(struct world *w, void *arg)
{
	const struct deed *d = arg;

	deed_do(w,
		&(struct deed){
			.rng = ~d->rng,
			.kind = DEED_MAKE,
			.site = d->site,
			.other = d->other,
			.name = d->name,
		},
		0);
}

/* No site but this one, and no witness. */
static void keep_alone(struct doer *x, struct site *s)
{
	struct strbuf body = STRBUF_INIT;
	struct doer there = *x;

	there.s = s;
	strbuf_addf(&body, "%s\n", s->name);
	for (size_t i = 0; i < x->w->o.n_sites; i++)
		strbuf_addf(&body, "!+%s\n", x->w->site[i].name);
	write_file(&there, CH_FILE_SITES, &body, true);
}

static void write_driver(struct doer *x)
{
	static const char *const word[] = {"directory", "directory", "other",
					   "none"};
	struct strbuf body = STRBUF_INIT;

	strbuf_addf(&body, "%s\n", word[draw(x, 4)]);
	write_file(x, CH_FILE_DRIVER, &body, false);
}

static void write_patch(struct doer *x)
{
	struct strbuf body = STRBUF_INIT;

	if (draw(x, 4) == 0)
		strbuf_add_char(&body, '\n');
	else
		strbuf_addf(&body, "{\"p\": %zu}\n", draw(x, 1000000));
	write_file(x, CH_FILE_PATCH, &body, false);
}

static int first_name(void *arg, struct ch_bytes name,
		      const struct view_resource *info)
{
	(void)info;
	strbuf_add(arg, name.p, name.len);
	return 1;
}

/* rm conflicts/X, whatever stands there first. */
static void discard(struct doer *x)
{
	struct ch_submit c = {.op = CH_DISCARD};
	struct strbuf file = STRBUF_INIT, dots = STRBUF_INIT;
	struct view v = site_view(x->s);

	(void)view_conflicts(&v, ch_str(x->name), first_name, &file);
	if (view_discard(&v, ch_str(x->name), strbuf_bytes(&file), &dots) ==
	    0) {
		c.context = strbuf_bytes(&dots);
		submit(x, &c);
	}
	strbuf_release(&dots);
	strbuf_release(&file);
}

static void wait_for(struct doer *x)
{
	struct ch_submit c = {.op = CH_WAIT};

	if (draw(x, 2))
		c.site = ch_str(x->other->name);
	c.timeout_ms = 1000 + (uint32_t)draw(x, 60000);
	submit(x, &c);
}

/* Faults. */

static void restart(struct world *w, void *arg)
{
	world_start(w, ((struct site *)arg)->no);
}

static void thaw(struct world *w, void *arg)
{
	world_freeze(w, ((struct site *)arg)->no, false);
}

/* Some end soon, some late. */
static uint32_t some_time(struct doer *x)
{
	return (uint32_t)draw(x, draw(x, 2) ? 20000 : 1500);
}

static void crash(struct doer *x)
{
	uint64_t at_ms = x->w->now;

	world_crash(x->w, x->s->no);
	at_ms += some_time(x);
	world_at(x->w, at_ms, restart, x->s);
}

/* Which pairs are apart in a network of shape @shape? */
static bool is_apart(size_t shape, size_t n, size_t a, size_t b, size_t alone)
{
	switch (shape) {
	case 0: /* Halves. */
		return (a ^ b) & 1;
	case 1: /* One alone. */
		return a == alone || b == alone;
	case 2: /* A ring. */
		return (a + 1) % n != b && (b + 1) % n != a;
	default: /* A star. */
		return a != alone && b != alone;
	}
}

static void shape(struct doer *x)
{
	size_t n = x->w->o.n_sites, what = draw(x, 4);

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++)
			if (x->w->cut[i][k] !=
			    is_apart(what, n, i, k, x->s->no))
				world_cut(x->w, i, k, !x->w->cut[i][k]);
}

struct flapper {
	struct site *a, *b;
	uint64_t rng;
	unsigned int left;
};

static void on_flap(struct world *w, void *arg)
{
	struct flapper *f = arg;

	world_cut(w, f->a->no, f->b->no, f->left & 1);
	if (f->left-- == 0) {
		free(f);
		return;
	}
	world_at(w, w->now + 100 + rng_below(&f->rng, 900), on_flap, f);
}

static void flap(struct doer *x)
{
	struct flapper *f = calloc(1, sizeof(*f));

	CHECK(f);
	f->a = x->s;
	f->b = x->other;
	f->rng = x->rng;
	f->left = 5;
	on_flap(x->w, f);
}

void deed_do(struct world *w, const struct deed *d, unsigned int big)
{
	static const char *const name[] = {"web", "db", "cache", "a b"};
	struct doer x = {
		.w = w,
		.s = &w->site[d->site % w->o.n_sites],
		.other = &w->site[d->other % w->o.n_sites],
		.name = name[d->name % 4],
		.rng = d->rng,
		.big = big,
	};
	struct ch_submit c = {.op = CH_RMDIR};

	switch (d->kind) {
	case DEED_MKDIR:
		make(&x);
		break;
	case DEED_MAKE:
		make_whole(&x);
		break;
	case DEED_SPEC:
		write_spec(&x, false);
		break;
	case DEED_SITE_ADD:
		change_site(&x, CH_SITE_ADD, x.other);
		break;
	case DEED_SITE_DEL:
		change_site(&x, CH_SITE_DEL, x.other);
		break;
	case DEED_RM_R:
		remove_all(&x);
		break;
	case DEED_RMDIR:
		submit(&x, &c);
		break;
	case DEED_TRASH:
		use_trash(&x);
		break;
	case DEED_SITES:
		write_sites(&x);
		break;
	case DEED_LEAVE:
		leave(&x);
		world_at(w, w->now + draw(&x, 4000), on_remake, (void *)d);
		break;
	case DEED_CROSS:
		keep_alone(&x, x.s);
		keep_alone(&x, x.other);
		break;
	case DEED_DRIVER:
		write_driver(&x);
		break;
	case DEED_PATCH:
		write_patch(&x);
		break;
	case DEED_DISCARD:
		discard(&x);
		break;
	case DEED_MODE:
		c.op = CH_MODE;
		c.mode = draw(&x, 2) ? 0750 : 0644;
		c.of_spec = draw(&x, 2);
		submit(&x, &c);
		break;
	case DEED_WAIT:
		wait_for(&x);
		break;
	case DEED_LABELS:
		c.op = CH_LABELS;
		c.body =
			ch_str(draw(&x, 2) ? "region=west\n" : "region=east\n");
		submit(&x, &c);
		break;
	case DEED_CRASH:
		crash(&x);
		break;
	case DEED_CUT:
		if (x.s != x.other)
			world_cut(w, x.s->no, x.other->no, true);
		break;
	case DEED_SHAPE:
		shape(&x);
		break;
	case DEED_ONE_WAY:
		if (x.s != x.other)
			world_cut_one_way(w, x.s->no, x.other->no);
		break;
	case DEED_JOIN:
		world_join_all(w);
		break;
	case DEED_FLAP:
		if (x.s != x.other)
			flap(&x);
		break;
	case DEED_TAMPER:
		if (x.s->things)
			platform_tamper(x.s, x.s->things);
		break;
	case DEED_FREEZE:
		world_freeze(w, x.s->no, true);
		world_at(w, w->now + some_time(&x), thaw, x.s);
		break;
	case DEED_CLOG:
		if (x.s != x.other)
			world_clog(w, x.s->no, x.other->no,
				   (uint32_t)draw(&x, 10000));
		break;
	case DEED_FULL:
		world_fill_disk(w, x.s->no, (uint32_t)draw(&x, 5000));
		break;
	case DEED_CLOCK: /* By years. */
		world_set_clock(w, x.s->no,
				((int64_t)draw(&x, 20) - 10) * 31536000000);
		break;
	case DEED_REPLAY:
		network_replay(w, d->other);
		break;
	case DEED_N:
		break;
	}
}
