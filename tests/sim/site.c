/* site.c -- the lives of a site: starts, crashes, commits; see world.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/rng.h"
#include "tests/sim/world.h"

#define WALL_START_MS 1700000000000u

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

void item_free(struct item *it)
{
	codec_release(&it->msg);
	free(it->mem);
	free(it->more);
	free(it);
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
		site_wake(s, s->w->now);
}

/* The engine is gone, and what it had not let out with it. */
void site_end(struct site *s, bool crashed)
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
	user_ended(s);
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

void site_synced(struct site *s)
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

void site_commit(struct site *s)
{
	if (s->u.durable)
		site_synced(s);
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
	site_synced(s);
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
	world_note(w, site, site, "starts, epoch %u", (unsigned)s->cfg.epoch);
	w->tally[TALLY_STARTS]++;
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
void site_end_commit(struct site *s, bool is_there)
{
	if (is_there && s->u.store.n) {
		site_commit(s);
		ledger_committed(s);
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
	world_note(w, site, site, "CRASHES%s",
		   s->busy ? " while it commits" : "");
	w->tally[s->busy ? TALLY_COMMIT_CRASHES : TALLY_CRASHES]++;
	if (s->busy)
		site_end_commit(s, rng_below(&w->rng_disk, 2));
	if (s->undo)
		world_trace(w, s, "loses what was not synced");
	while (s->undo && rng_below(&w->rng_disk, 4))
		undo_pop(s, true);
	site_synced(s);
	site_end(s, true);
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
	world_note(w, site, site, backup ? "RESTORED" : "STORE LOST");
	if (backup)
		CHECK(store_commit(s->store, backup, true, NULL) == 0);
}

void world_cut(struct world *w, size_t a, size_t b, bool cut)
{
	world_trace(w, &w->site[a], "%s %s", cut ? "cut from" : "joined to",
		    w->site[b].name);
	world_note(w, a, a, "%s %s", cut ? "cut from" : "joined to",
		   w->site[b].name);
	w->cut[a][b] = cut;
	w->cut[b][a] = cut;
	w->tally[TALLY_CUTS] += cut;
}

void world_cut_one_way(struct world *w, size_t from, size_t to)
{
	world_trace(w, &w->site[from], "is not heard by %s any more",
		    w->site[to].name);
	world_note(w, from, from, "not heard by %s", w->site[to].name);
	w->cut[from][to] = true;
	w->tally[TALLY_CUTS]++;
}

void world_join_all(struct world *w)
{
	memset(w->cut, 0, sizeof(w->cut));
	memset(w->clog_ms, 0, sizeof(w->clog_ms));
	world_trace(w, NULL, "the network is whole");
	world_note(w, 0, 0, "the network is whole");
}

void world_clog(struct world *w, size_t from, size_t to, uint32_t ms)
{
	world_trace(w, &w->site[from], "to %s all is held up for %u ms",
		    w->site[to].name, (unsigned)ms);
	world_note(w, from, from, "to %s held up", w->site[to].name);
	w->clog_ms[from][to] = w->now + ms;
	w->tally[TALLY_CLOGS]++;
}

void world_fill_disk(struct world *w, size_t site, uint32_t ms)
{
	struct site *s = &w->site[site];

	world_trace(w, s, "its disk is full for %u ms", (unsigned)ms);
	world_note(w, site, site, "disk full");
	s->full_until_ms = w->now + ms;
}

void world_set_clock(struct world *w, size_t site, int64_t skew_ms)
{
	struct site *s = &w->site[site];

	world_trace(w, s, "its clock is off by %lld s",
		    (long long)(skew_ms / 1000));
	s->skew_ms = skew_ms;
	w->tally[TALLY_CLOCKS]++;
}

void world_freeze(struct world *w, size_t site, bool frozen)
{
	struct site *s = &w->site[site];

	w->tally[TALLY_FREEZES] += frozen;
	world_note(w, site, site, frozen ? "STOPS" : "goes on");
	s->frozen = frozen;
	if (!frozen)
		site_wake(s, w->now);
}

void world_heal(struct world *w)
{
	world_join_all(w);
	w->o.loss = w->o.twice = w->o.resets = 0;
	w->o.job_fails = w->o.job_ails = w->o.commit_fails = 0;
	for (size_t i = 0; i < w->o.n_sites; i++) {
		w->site[i].full_until_ms = 0;
		if (w->site[i].frozen)
			world_freeze(w, i, false);
		world_start(w, i);
	}
	world_trace(w, NULL, "all is healed");
}

void site_failed(struct site *s, int err, uint32_t again_ms)
{
	struct world *w = s->w;

	world_trace(w, s, "the engine ends: %d", err);
	site_end(s, false);
	drop_live(s);
	world_schedule(w, w->now + again_ms, s->no, start_again, s);
}
