/* world.c -- time, sites, rounds, commits and crashes; see world.h. */
#include "tests/sim/world.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/mem.h"
#include "core/rng.h"

#define WALL_START_MS 1700000000000u
#define ROUNDS_NOW_MAX 400 /* Caused by time alone, and in one moment. */

struct happening {
	uint64_t at_ms, no;
	size_t site;
	world_call_fn *fn;
	void *arg;
};

/* What comes next. */

static bool is_before(const struct happening *a, const struct happening *b)
{
	if (a->at_ms != b->at_ms)
		return a->at_ms < b->at_ms;
	if (a->site != b->site)
		return a->site < b->site;
	return a->no < b->no;
}

struct happening *world_schedule(struct world *w, uint64_t at_ms, size_t site,
				 world_call_fn *fn, void *arg)
{
	struct happening *h = calloc(1, sizeof(*h));
	size_t i = w->n_heap;

	CHECK(h);
	h->at_ms = at_ms < w->now ? w->now : at_ms;
	h->no = ++w->last_no;
	h->site = site;
	h->fn = fn;
	h->arg = arg;
	if (w->n_heap == w->alloc_heap) {
		w->alloc_heap = w->alloc_heap ? 2 * w->alloc_heap : 256;
		w->heap = realloc(w->heap,
				  w->alloc_heap * sizeof(struct happening *));
		CHECK(w->heap);
	}
	w->n_heap++;
	while (i && is_before(h, w->heap[(i - 1) / 2])) {
		w->heap[i] = w->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	w->heap[i] = h;
	return h;
}

static struct happening *take_first(struct world *w)
{
	struct happening *first = w->heap[0], *last = w->heap[--w->n_heap];
	size_t i = 0;

	for (;;) {
		size_t k = 2 * i + 1;

		if (k >= w->n_heap)
			break;
		if (k + 1 < w->n_heap && is_before(w->heap[k + 1], w->heap[k]))
			k++;
		if (!is_before(w->heap[k], last))
			break;
		w->heap[i] = w->heap[k];
		i = k;
	}
	if (w->n_heap)
		w->heap[i] = last;
	return first;
}

void world_at(struct world *w, uint64_t at_ms, world_call_fn *fn, void *arg)
{
	world_schedule(w, at_ms, WORLD_SITES_MAX, fn, arg);
}

bool world_until(struct world *w, world_test_fn *fn, void *arg, uint64_t ms)
{
	uint64_t end = w->now + ms;

	while (!w->failed) {
		struct happening *h;

		if (fn && fn(w, arg))
			return true;
		if (!w->n_heap || w->heap[0]->at_ms > end)
			break;
		h = take_first(w);
		w->now = h->at_ms;
		h->fn(w, h->arg);
		free(h);
	}
	if (!w->failed)
		w->now = end;
	return false;
}

void world_run(struct world *w, uint64_t ms)
{
	(void)world_until(w, NULL, NULL, ms);
}

/* What is told. */

void world_digest(struct world *w, const void *p, size_t len)
{
	const unsigned char *b = p;

	for (size_t i = 0; i < len; i++)
		w->hash = (w->hash ^ b[i]) * 0x100000001b3u;
}

uint64_t world_hash(const struct world *w)
{
	return w->hash;
}

void world_trace(struct world *w, const struct site *s, const char *fmt, ...)
{
	char line[400];
	va_list ap;
	int n;

	n = snprintf(line, sizeof(line), "%9llu.%03llu %-7s ",
		     (unsigned long long)(w->now / 1000),
		     (unsigned long long)(w->now % 1000), s ? s->name : "-");
	va_start(ap, fmt);
	(void)vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	va_end(ap);
	world_digest(w, line, strlen(line));
	if (w->o.verbose)
		fprintf(stderr, "%s\n", line);
	free(w->trace[w->n_trace % WORLD_TRACE_MAX]);
	w->trace[w->n_trace++ % WORLD_TRACE_MAX] = strdup(line);
}

void world_print_trace(const struct world *w, size_t n)
{
	size_t have =
		w->n_trace < WORLD_TRACE_MAX ? w->n_trace : WORLD_TRACE_MAX;

	if (n > have)
		n = have;
	for (size_t i = w->n_trace - n; i < w->n_trace; i++)
		fprintf(stderr, "    %s\n", w->trace[i % WORLD_TRACE_MAX]);
}

void world_fail(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (w->failed)
		return;
	w->failed = true;
	va_start(ap, fmt);
	(void)vsnprintf(w->why, sizeof(w->why), fmt, ap);
	va_end(ap);
	world_trace(w, NULL, "FAILED: %s", w->why);
}

/* Sites. */

uint64_t site_now(const struct site *s)
{
	return s->w->now + s->mono;
}

uint64_t site_wall(const struct site *s)
{
	return (uint64_t)((int64_t)(WALL_START_MS + s->w->now) + s->skew_ms);
}

struct view site_view(const struct site *s)
{
	return (struct view){
		.store = store_reader(s->store),
		.self = s->id,
		.wall_ms = site_wall(s),
	};
}

static void item_free(struct item *it)
{
	codec_release(&it->msg);
	free(it->mem);
	free(it->more);
	free(it);
}

static void run_round(struct world *w, void *arg);

/* Run a round at @at_ms, unless one runs earlier and asks for another. */
static void wake(struct site *s, uint64_t at_ms)
{
	world_schedule(s->w, at_ms, s->no, run_round, s);
}

void site_post(struct site *s, struct item *it)
{
	if (!s->engine) {
		network_refuse(s, it);
		item_free(it);
		return;
	}
	it->next = NULL;
	*s->inbox_last = it;
	s->inbox_last = &it->next;
	if (!s->busy)
		wake(s, s->w->now);
}

static struct answer *answer_of(struct world *w, uint64_t token)
{
	struct answer *a = w->answers;

	while (a && a->token != token)
		a = a->next;
	return a;
}

struct answer *world_answer(struct world *w, uint64_t token)
{
	return answer_of(w, token);
}

static void settle(struct world *w, uint64_t token, int err, const char *text)
{
	struct answer *a = answer_of(w, token);

	if (!a) {
		world_fail(w, "an answer to nobody: token %llu",
			   (unsigned long long)token);
		return;
	}
	if (a->done)
		world_fail(w, "a second answer to token %llu",
			   (unsigned long long)token);
	if ((err != 0) != (text[0] != '\0'))
		world_fail(w, "answer %d with the text '%s'", err, text);
	a->done = true;
	a->err = err;
	(void)snprintf(a->text, sizeof(a->text), "%s", text);
}

/* The engine is gone, and what it had not let out with it. */
static void end_engine(struct site *s, bool crashed)
{
	struct item *lists[2] = {s->round, s->inbox};

	s->life++;
	s->busy = false;
	ch_engine_free(s->engine);
	s->engine = NULL;
	ch_update_reset(&s->u);
	for (int i = 0; i < 2; i++)
		while (lists[i]) {
			struct item *it = lists[i];

			lists[i] = it->next;
			if (!crashed)
				network_refuse(s, it);
			item_free(it);
		}
	s->round = NULL;
	s->inbox = NULL;
	s->inbox_last = &s->inbox;
	for (struct answer *a = s->w->answers; a; a = a->next)
		if (a->site == s->no && !a->done && a->life < s->life) {
			a->done = true;
			a->err = -EIO;
		}
	network_ended(s);
	platform_ended(s);
}

static int forget_live(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	(void)value;
	batch_del(arg, COL_LIVE, key);
	return 0;
}

/* What a restart forgets. */
static void drop_live(struct site *s)
{
	const struct ch_reader *r = store_reader(s->store);
	struct ch_batch b;

	batch_init(&b);
	CHECK(r->scan(r, COL_LIVE, ch_str(""), ch_str(""), forget_live, &b) ==
	      0);
	if (b.n)
		CHECK(store_commit(s->store, &b, false, NULL) == 0);
	batch_release(&b);
}

/* What puts back what a batch changed. */
struct undo {
	struct undo *next;
	struct ch_batch batch;
};

static void undo_pop(struct site *s, bool apply)
{
	struct undo *u = s->undo;

	s->undo = u->next;
	if (apply)
		CHECK(store_commit(s->store, &u->batch, false, NULL) == 0);
	batch_release(&u->batch);
	free(u);
}

static void undo_none(struct site *s)
{
	while (s->undo)
		undo_pop(s, false);
}

static void undo_push(struct site *s, const struct ch_batch *b)
{
	const struct ch_reader *r = store_reader(s->store);
	struct undo *u = calloc(1, sizeof(*u));
	struct strbuf old = STRBUF_INIT;
	struct ch_batch_op op;
	size_t pos = 0;

	CHECK(u);
	batch_init(&u->batch);
	while (batch_next(b, &pos, &op)) {
		if (op.col == COL_LIVE)
			continue;
		if (r->get(r, op.col, op.key, &old) == 0)
			batch_put(&u->batch, op.col, op.key,
				  strbuf_bytes(&old));
		else
			batch_del(&u->batch, op.col, op.key);
	}
	CHECK(batch_error(&u->batch) == 0);
	strbuf_release(&old);
	u->next = s->undo;
	s->undo = u;
}

/* A sync is of all that came before, too. */
static void commit(struct site *s)
{
	if (s->u.durable)
		undo_none(s);
	else
		undo_push(s, &s->u.store);
	CHECK(store_commit(s->store, &s->u.store, s->u.durable, NULL) == 0);
}

static void put_u32(struct site *s, const char *key, uint32_t v)
{
	struct ch_batch b;

	batch_init(&b);
	batch_put(&b, COL_SYS, ch_str(key), (struct ch_bytes){&v, sizeof(v)});
	CHECK(store_commit(s->store, &b, true, NULL) == 0);
	undo_none(s);
	batch_release(&b);
}

static uint32_t next_epoch(struct site *s)
{
	const struct ch_reader *r = store_reader(s->store);
	struct strbuf sb = STRBUF_INIT;
	uint32_t epoch = 0;

	if (r->get(r, COL_SYS, ch_str("sim/epoch"), &sb) == 0)
		memcpy(&epoch, sb.buf, sizeof(epoch));
	strbuf_release(&sb);
	epoch++;
	if (epoch < s->life_least)
		epoch = s->life_least;
	put_u32(s, "sim/epoch", epoch);
	return epoch;
}

void world_start(struct world *w, size_t site)
{
	struct site *s = &w->site[site];
	struct item *start;
	uint64_t rng;

	if (s->engine)
		return;
	s->frozen = false;
	s->life++;
	s->cfg.store = store_reader(s->store);
	s->cfg.epoch = next_epoch(s);
	/* Never the same twice, also where a store was lost. */
	rng = w->o.seed ^ (site << 32) ^ s->cfg.epoch ^ s->life << 16;
	s->cfg.nonce = (uint32_t)rng_next(&rng);
	s->cfg.seed = rng_next(&rng);
	CHECK(ch_engine_new(&s->cfg, &s->engine) == 0);
	ledger_load(s);
	world_trace(w, s, "starts, epoch %u", (unsigned)s->cfg.epoch);
	start = calloc(1, sizeof(*start));
	CHECK(start);
	start->ev.type = CH_START;
	site_post(s, start);
}

static void start_again(struct world *w, void *arg)
{
	struct site *s = arg;

	world_start(w, s->no);
}

/* A batch that was under way when it ended may be there, or not. */
static void end_commit(struct site *s, bool is_there)
{
	if (is_there && s->u.store.n) {
		commit(s);
		ledger_committed(s, false);
	} else {
		ledger_lost(s);
	}
}

void world_crash(struct world *w, size_t site)
{
	struct site *s = &w->site[site];

	if (!s->engine)
		return;
	world_trace(w, s, "crashes%s", s->busy ? " while it commits" : "");
	if (s->busy)
		end_commit(s, rng_below(&w->rng_disk, 2));
	if (s->undo)
		world_trace(w, s, "loses what was not synced");
	while (s->undo && rng_below(&w->rng_disk, 4))
		undo_pop(s, true);
	undo_none(s);
	end_engine(s, true);
	drop_live(s);
}

struct copier {
	struct ch_batch *b;
	enum ch_col col;
};

static int copy_one(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct copier *c = arg;

	batch_put(c->b, c->col, key, value);
	return 0;
}

void world_backup(struct world *w, size_t site, struct ch_batch *ret_backup)
{
	struct site *s = &w->site[site];
	const struct ch_reader *r = store_reader(s->store);

	batch_init(ret_backup);
	for (enum ch_col col = COL_SYS; col < COL_LIVE; col++) {
		struct copier c = {ret_backup, col};

		CHECK(r->scan(r, col, ch_str(""), ch_str(""), copy_one, &c) ==
		      0);
	}
}

void world_restore(struct world *w, size_t site, const struct ch_batch *backup)
{
	struct site *s = &w->site[site];

	world_crash(w, site);
	world_trace(w, s, backup ? "is restored" : "loses its store");
	store_close(s->store);
	CHECK(store_memory_open(&s->store, NULL) == 0);
	s->life_least = 0;
	w->stores_lost = true;
	if (backup)
		CHECK(store_commit(s->store, backup, true, NULL) == 0);
}

void world_cut(struct world *w, size_t a, size_t b, bool cut)
{
	world_trace(w, &w->site[a], "%s %s", cut ? "cut from" : "joined to",
		    w->site[b].name);
	w->cut[a][b] = cut;
	w->cut[b][a] = cut;
}

void world_freeze(struct world *w, size_t site, bool frozen)
{
	struct site *s = &w->site[site];

	s->frozen = frozen;
	if (!frozen)
		wake(s, w->now);
}

void world_heal(struct world *w)
{
	memset(w->cut, 0, sizeof(w->cut));
	w->o.loss = w->o.twice = 0;
	w->o.job_fails = w->o.job_ails = w->o.commit_fails = 0;
	for (size_t i = 0; i < w->o.n_sites; i++) {
		world_freeze(w, i, false);
		world_start(w, i);
	}
	world_trace(w, NULL, "all is healed");
}

/* Rounds. */

static void release_round(struct world *w, void *arg);

static void tell_notices(struct site *s)
{
	struct world *w = s->w;

	for (const struct ch_notice *n = s->u.notice.first; n; n = n->next)
		world_trace(w, s, "%s %s %s %s %s", n->event, n->resource,
			    n->site, n->version, n->message);
}

static void digest_update(struct site *s)
{
	const struct ch_update *u = &s->u;
	struct world *w = s->w;

	world_digest(w, u->store.ops.buf, u->store.ops.len);
	world_digest(w, &u->next_ms, sizeof(u->next_ms));
	for (const struct ch_done *d = u->done.first; d; d = d->next)
		world_digest(w, &d->err, sizeof(d->err));
	for (const struct ch_job *j = u->run.first; j; j = j->next) {
		world_digest(w, &j->id, sizeof(j->id));
		world_digest(w, j->spec.b, sizeof(j->spec.b));
	}
	for (const struct ch_stale *t = u->stale.first; t; t = t->next) {
		world_digest(w, &t->what, sizeof(t->what));
		world_digest(w, t->name, strlen(t->name));
		world_digest(w, t->site, strlen(t->site));
	}
}

static void engine_failed(struct site *s, int err, uint32_t again_ms)
{
	struct world *w = s->w;

	world_trace(w, s, "the engine ends: %d", err);
	end_engine(s, false);
	drop_live(s);
	world_schedule(w, w->now + again_ms, s->no, start_again, s);
}

/* Is the number of allocations that may succeed used up? */
static bool is_exhausted(void)
{
	void *p = mem_alloc(1);

	mem_free(p);
	return !p;
}

static int step_all(struct site *s, struct item *list)
{
	struct ch_event tick = {.type = CH_TIMEOUT};
	int rc = 0;

	tick.now_ms = site_now(s);
	tick.wall_ms = site_wall(s);
	if (!list)
		rc = ch_step(s->engine, &tick, &s->u);
	for (struct item *it = list; rc == 0 && it; it = it->next) {
		size_t from = s->u.store.ops.len;

		it->ev.now_ms = tick.now_ms;
		it->ev.wall_ms = tick.wall_ms;
		rc = ch_step(s->engine, &it->ev, &s->u);
		if (rc == 0 && s->w->fail_round != s->w->rounds)
			ledger_step(s, &it->ev, from);
	}
	return rc;
}

static int step_and_finish(struct site *s, struct item *list)
{
	bool fail = s->w->fail_round == s->w->rounds;
	size_t from;
	int rc;

	if (fail)
		mem_fail_after(s->w->fail_n);
	rc = step_all(s, list);
	from = s->u.store.ops.len;
	if (rc == 0)
		rc = ch_finish(s->engine, &s->u);
	if (fail) {
		s->w->fail_spent = is_exhausted();
		s->w->fail_hit = rc < 0;
		mem_fail_after(-1);
	}
	if (rc == 0 && !fail) {
		struct ch_event none = {.type = CH_TIMEOUT};

		ledger_step(s, &none, from);
	}
	return rc;
}

/* An entry of an outbox may come back after a crash, and what a site (whose key
 * is 16 bytes, and more for that) has acknowledged be forgotten; nothing else
 * may. */
static bool is_durable(const struct ch_batch *b)
{
	struct ch_batch_op op;
	size_t pos = 0;

	while (batch_next(b, &pos, &op))
		if (op.col != COL_LIVE && (op.put || op.col != COL_OUT) &&
		    (op.col != COL_PEER || op.key.len == 16))
			return true;
	return false;
}

static bool is_for_sure(const struct item *list)
{
	return list && list->ev.type == CH_START;
}

static void run_round(struct world *w, void *arg)
{
	struct site *s = arg;
	struct item *list = s->inbox;
	uint32_t ms = 0;
	int rc;

	if (!s->engine || s->busy || s->frozen)
		return;
	if (!list && w->now < s->next_ms)
		return;
	if (list && !w->o.together && list->next) {
		s->inbox = list->next;
		list->next = NULL;
	} else {
		s->inbox = NULL;
		s->inbox_last = &s->inbox;
	}
	if (s->round_ms != w->now)
		s->rounds_now = 0;
	s->round_ms = w->now;
	s->n_rounds++;
	w->rounds++;
	if (!list && ++s->rounds_now > ROUNDS_NOW_MAX) {
		world_fail(w, "%s: a busy loop", s->name);
		return;
	}
	ch_update_reset(&s->u);
	s->round = list;
	rc = step_and_finish(s, list);
	digest_update(s);
	if (rc == 0 && w->fail_round == w->rounds) {
		/* Not hit: run on as if nothing had been asked for. */
		struct ch_event none = {.type = CH_TIMEOUT};

		ledger_step(s, list ? &list->ev : &none, 0);
	}
	if (rc < 0) {
		if (rc != -ENOMEM || w->fail_round != w->rounds)
			world_fail(w, "%s: the engine says %d", s->name, rc);
		ledger_lost(s);
		engine_failed(s, rc, 10);
		return;
	}
	if (s->u.durable != is_durable(&s->u.store))
		world_fail(w, "%s: durable says %d, and the batch not", s->name,
			   s->u.durable);
	if (w->o.commit_ms && s->u.durable)
		ms = (uint32_t)rng_below(&w->rng_disk, w->o.commit_ms + 1);
	if (w->o.slow >> s->no & 1)
		ms *= 10;
	s->busy = true;
	world_schedule(w, w->now + ms, s->no, release_round, s);
}

static void let_out(struct site *s)
{
	struct world *w = s->w;

	tell_notices(s);
	for (const struct ch_done *d = s->u.done.first; d; d = d->next)
		settle(w, d->token, d->err, d->text);
	network_let_out(s);
	platform_let_out(s);
}

static void release_round(struct world *w, void *arg)
{
	struct site *s = arg;
	struct item *list;
	uint64_t next;

	if (!s->busy)
		return; /* It crashed meanwhile. */
	if (s->frozen) {
		world_schedule(w, w->now + 100, s->no, release_round, s);
		return;
	}
	if (s->u.durable && !is_for_sure(s->round) && w->o.commit_fails &&
	    rng_below(&w->rng_disk, 1000) < w->o.commit_fails) {
		end_commit(s, rng_below(&w->rng_disk, 2));
		engine_failed(s, -EIO, 500);
		return;
	}
	s->busy = false;
	if (s->u.store.n)
		commit(s);
	list = s->round;
	s->round = NULL;
	let_out(s);
	ledger_committed(s, true);
	/* A submission is answered in its round, but for those who wait. */
	for (struct item *it = list; it; it = it->next) {
		struct answer *a;

		if (it->ev.type != CH_SUBMIT || it->ev.u.submit.op == CH_WAIT)
			continue;
		a = answer_of(w, it->ev.u.submit.token);
		if (!a->done)
			world_fail(w, "%s: operation %d is not answered",
				   s->name, (int)a->op);
	}
	next = s->u.next_ms;
	s->next_ms = next == CH_NEVER     ? CH_NEVER
		     : next > site_now(s) ? next - s->mono
					  : w->now;
	while (list) {
		struct item *it = list;

		list = it->next;
		item_free(it);
	}
	if (s->u.new_life) {
		s->life_least = s->u.new_life;
		world_trace(w, s, "begins anew");
		end_engine(s, false);
		world_start(w, s->no);
	} else if (s->inbox) {
		wake(s, w->now);
	} else if (s->next_ms != CH_NEVER) {
		wake(s, s->next_ms);
	}
}

/* Users. */

static struct ch_bytes keep(char **to, struct ch_bytes b)
{
	struct ch_bytes kept = {*to, b.len};

	if (b.len)
		memcpy(*to, b.p, b.len);
	*to += b.len + 1;
	return kept;
}

uint64_t world_submit(struct world *w, size_t site,
		      const struct ch_submit *submit)
{
	struct item *it = calloc(1, sizeof(*it));
	struct answer *a = calloc(1, sizeof(*a));
	struct site *s = &w->site[site];
	struct ch_submit *to;
	char *mem;

	CHECK(it && a);
	it->ev.type = CH_SUBMIT;
	to = &it->ev.u.submit;
	*to = *submit;
	to->token = ++w->last_token;
	mem = calloc(1, submit->name.len + submit->site.len +
				submit->trash.len + submit->context.len +
				submit->body.len + submit->user.len +
				submit->owner.len + submit->group.len + 8);
	CHECK(mem);
	it->mem = mem;
	to->name = keep(&mem, submit->name);
	to->site = keep(&mem, submit->site);
	to->trash = keep(&mem, submit->trash);
	to->context = keep(&mem, submit->context);
	to->body = keep(&mem, submit->body);
	to->user = keep(&mem, submit->user);
	to->owner = keep(&mem, submit->owner);
	to->group = keep(&mem, submit->group);
	a->token = to->token;
	a->site = site;
	a->op = submit->op;
	a->life = s->life;
	a->until_ms = w->now + submit->timeout_ms;
	a->next = w->answers;
	w->answers = a;
	if (!s->engine) {
		a->done = true;
		a->err = -EIO;
	}
	site_post(s, it);
	return a->token;
}

void world_quiet(struct world *w, size_t site, const char *name)
{
	struct item *it = calloc(1, sizeof(*it));

	CHECK(it);
	it->ev.type = CH_QUIET;
	it->mem = strdup(name);
	it->ev.u.quiet.name = ch_str(it->mem);
	site_post(&w->site[site], it);
}

/* The beginning and the end. */

static void site_init(struct world *w, size_t no)
{
	static const char *const name[] = {"nantes", "paris", "lyon",
					   "lille",  "brest", "metz",
					   "rennes", "dijon"};
	struct site *s = &w->site[no];
	uint64_t rng = w->o.seed ^ 0x517e ^ no << 40;

	s->w = w;
	s->no = no;
	(void)snprintf(s->name, sizeof(s->name), "%s", name[no]);
	if (!(w->o.dial_only >> no & 1))
		(void)snprintf(s->address, sizeof(s->address), "%s:7421",
			       name[no]);
	/* In no order that has to do with the sites' numbers. */
	for (size_t i = 0; i < 16; i++) {
		s->id.b[i] = (uint8_t)rng_next(&rng);
		s->store_id.b[i] = (uint8_t)rng_next(&rng);
	}
	s->mono = 1000 + no * 7777777;
	if (w->o.skewed)
		s->skew_ms = (int64_t)rng_below(&rng, 20000000) - 10000000;
	s->drivers[0] = "directory";
	s->drivers[1] = "other";
	s->inbox_last = &s->inbox;
	CHECK(ch_update_init(&s->u) == 0);
	CHECK(store_memory_open(&s->store, NULL) == 0);
}

static void site_config(struct world *w, size_t no)
{
	struct site *s = &w->site[no];

	s->cfg = (struct ch_config){
		.self = s->id,
		.store_id = s->store_id,
		.federation = {{0xfe, 0xde}},
		.name = s->name,
		.address = s->address,
		.labels = "",
		.version = "0.1",
		.heartbeat_ms = w->o.heartbeat_ms,
		.grace_ms = WORLD_GRACE_MS,
		.peers = s->peers,
		.driver_default = "directory",
		.drivers = s->drivers,
		.n_drivers = w->o.lacks_other >> no & 1 ? 1 : 2,
	};
	for (size_t i = 0; i < (w->o.star ? 1 : w->o.n_sites); i++)
		if (i != no && w->site[i].address[0])
			s->peers[s->cfg.n_peers++] = (struct ch_peer){
				w->site[i].name, w->site[i].address};
}

struct world *world_new(const struct world_options *o)
{
	struct world *w = calloc(1, sizeof(*w));

	CHECK(w);
	CHECK(o->n_sites >= 1 && o->n_sites <= WORLD_SITES_MAX);
	w->outstanding = mem_outstanding();
	w->o = *o;
	if (!w->o.heartbeat_ms)
		w->o.heartbeat_ms = 1000;
	if (!w->o.delay_ms)
		w->o.delay_ms = 3;
	if (!w->o.job_ms)
		w->o.job_ms = 5;
	w->now = 1000;
	w->hash = 0xcbf29ce484222325u;
	w->rng_net = o->seed ^ 0x6e6574;
	w->rng_disk = o->seed ^ 0x6469736b;
	w->rng_job = o->seed ^ 0x6a6f62;
	map_init(&w->dots);
	for (size_t i = 0; i < o->n_sites; i++)
		site_init(w, i);
	for (size_t i = 0; i < o->n_sites; i++)
		site_config(w, i);
	for (size_t i = 0; i < o->n_sites; i++)
		world_start(w, i);
	return w;
}

static void site_release(struct site *s)
{
	end_engine(s, true);
	ch_update_release(&s->u);
	platform_release(s);
	ledger_release_site(s);
	undo_none(s);
	store_close(s->store);
}

void world_free(struct world *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->o.n_sites; i++)
		site_release(&w->site[i]);
	network_release(w);
	ledger_release(w);
	while (w->answers) {
		struct answer *a = w->answers;

		w->answers = a->next;
		free(a);
	}
	for (size_t i = 0; i < w->n_heap; i++)
		free(w->heap[i]);
	free(w->heap);
	for (size_t i = 0; i < WORLD_TRACE_MAX; i++)
		free(w->trace[i]);
	/* What was under way when it failed is not given back. */
	CHECK(w->failed || mem_outstanding() == w->outstanding);
	free(w);
}
