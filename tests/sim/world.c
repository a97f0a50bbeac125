/* world.c -- time, what is told, the beginning and the end; see world.h. */
#include "tests/sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/mem.h"
#include "core/rng.h"

const char *const tally_text[TALLY_N] = {
#define TALLY_TEXT(name, text) text,
	TALLIES(TALLY_TEXT)
#undef TALLY_TEXT
};

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

void world_note(struct world *w, size_t from, size_t to, const char *fmt, ...)
{
	struct note *n;
	va_list ap;

	if (!w->o.told)
		return;
	if (w->n_notes == w->alloc_notes) {
		w->alloc_notes = w->alloc_notes ? 2 * w->alloc_notes : 256;
		w->notes = realloc(w->notes, w->alloc_notes * sizeof(*n));
		CHECK(w->notes);
	}
	n = &w->notes[w->n_notes++];
	n->at_ms = w->now;
	n->from = from;
	n->to = to;
	va_start(ap, fmt);
	(void)vsnprintf(n->text, sizeof(n->text), fmt, ap);
	va_end(ap);
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
	w->check = fmt;
	va_start(ap, fmt);
	(void)vsnprintf(w->why, sizeof(w->why), fmt, ap);
	va_end(ap);
	world_trace(w, NULL, "FAILED: %s", w->why);
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
	if (no < sizeof(name) / sizeof(name[0]))
		(void)snprintf(s->name, sizeof(s->name), "%s", name[no]);
	else
		(void)snprintf(s->name, sizeof(s->name), "site%zu", no);
	if (!(w->o.dial_only >> no & 1))
		(void)snprintf(s->address, sizeof(s->address), "%s:7421",
			       s->name);
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
	map_init(&w->forgot);
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
	site_end(s, true);
	ch_update_release(&s->u);
	platform_release(s);
	ledger_release_site(s);
	site_synced(s);
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
	free(w->notes);
	/* What was under way when it failed is not given back. */
	CHECK(w->failed || mem_outstanding() == w->outstanding);
	free(w);
}
