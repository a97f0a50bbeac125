/* engine.c -- the door of core: cheops.h says what it promises. */
#include <errno.h>
#include <string.h>

#include "core/check.h"
#include "core/engine.h"
#include "core/gone.h"
#include "core/mem.h"
#include "core/rng.h"

#define HLC_LEAD_MS 300000u /* So far may a site's clock pull ours ahead. */
#define RUN_SAVE_MS 600000u /* How often the running time is stored. */
#define RUN_CLOSE_MS 10000u /* The same while something counts by it. */

int ch_engine_new(const struct ch_config *cfg, struct ch_engine **ret_engine)
{
	struct ch_engine *e = mem_alloc(sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->cfg = *cfg;
	e->me.site = cfg->self;
	e->me.epoch = cfg->epoch;
	e->me.nonce = cfg->nonce;
	e->writer = e->me;
	/* Sequences of the outbox grow over all lives of the site. */
	e->out_seq = (uint64_t)cfg->epoch << 40;
	e->last_id = (uint64_t)cfg->epoch << 40;
	e->rng = cfg->seed;
	db_init(&e->db, cfg->store);
	map_init(&e->acts);
	map_init(&e->parcels);
	strbuf_init(&e->scrub);
	e->look_last = &e->look_first;
	e->slot_last = &e->slot_first;
	*ret_engine = e;
	return 0;
}

void ch_engine_free(struct ch_engine *e)
{
	if (!e)
		return;
	db_release(&e->db);
	plan_release(e);
	parcel_release(e);
	member_release(e);
	wait_release(e);
	gone_release(e);
	mem_free(e->sweep);
	mem_free(e->fresh);
	mem_free(e->lost);
	strbuf_release(&e->scrub);
	mem_free(e);
}

/* Kulkarni et al.: Logical Physical Clocks (OPODIS 2014), 48 bits of
 * milliseconds and a counter of 16. For display and for the shown version:
 * no causality rests on it. */
uint64_t engine_hlc(struct ch_engine *e)
{
	uint64_t wall = e->wall_ms << 16;

	e->hlc = wall > e->hlc ? wall : e->hlc + 1;
	return e->hlc;
}

void engine_see_hlc(struct ch_engine *e, uint64_t hlc)
{
	uint64_t max = (e->wall_ms + HLC_LEAD_MS) << 16;

	if (hlc > max)
		hlc = max;
	if (hlc > e->hlc)
		e->hlc = hlc;
}

struct dot engine_dot(struct ch_engine *e)
{
	if (e->writer_spent)
		e->writer.nonce++;
	e->writer_spent = false;
	return (struct dot){.actor = e->writer, .seq = ++e->seq};
}

uint64_t engine_id(struct ch_engine *e)
{
	return ++e->last_id;
}

struct ch_bytes engine_name(const struct ch_engine *e)
{
	return ch_str(e->cfg.name);
}

uint64_t engine_run(const struct ch_engine *e)
{
	return e->run_ms + (e->now_ms - e->start_ms);
}

void engine_save_run_until(struct ch_engine *e, uint64_t ms)
{
	if (ms > e->run_close_ms)
		e->run_close_ms = ms;
}

static int start(struct ch_engine *e)
{
	int rc;

	CHECK(!e->started);
	rc = rejoin_note_life(e);
	if (rc < 0)
		return rc;
	e->started = true;
	e->start_ms = e->now_ms;
	e->run_saved_ms = e->now_ms;
	e->tended_ms = e->now_ms;
	rc = db_get_u64(e, COL_SYS, "count", &e->count);
	if (rc == 0)
		rc = db_get_u64(e, COL_SYS, "run", &e->run_ms);
	if (rc == 0)
		rc = body_start(e);
	if (rc == 0)
		rc = gone_start(e);
	if (rc == 0)
		rc = member_start(e);
	if (rc == 0)
		rc = rejoin_start(e);
	if (rc == 0)
		rc = discard_start(e);
	return rc < 0 ? rc : plan_start(e);
}

static int dispatch(struct ch_engine *e, const struct ch_event *ev)
{
	switch (ev->type) {
	case CH_START:
		return start(e);
	case CH_SUBMIT:
		return change_submit(e, &ev->u.submit);
	case CH_INTERRUPT:
		wait_interrupt(e, ev->u.interrupt.token);
		return 0;
	case CH_QUIET:
		return plan_quiet(e, ev->u.quiet.name);
	case CH_RECV:
		return exchange_recv(e, ev);
	case CH_ANSWER:
		return exchange_answer(e, ev);
	case CH_UNSENT:
		return exchange_unsent(e, ev);
	case CH_RAN:
		return plan_ran(e, &ev->u.ran);
	case CH_CHANGED:
		return plan_object(e, ev->u.changed.name);
	case CH_TIMEOUT:
		return 0; /* What is due is done in ch_finish(). */
	}
	return 0;
}

int ch_step(struct ch_engine *e, const struct ch_event *ev,
	    struct ch_update *u)
{
	int rc = 0;

	e->u = u;
	e->now_ms = ev->now_ms;
	e->wall_ms = ev->wall_ms;
	if (u->store.n == 0) {
		/* A new round: what the last one changed is stored. */
		db_round(&e->db);
		if (e->started)
			rc = body_sweep(e);
		if (rc == 0)
			rc = outbox_round(e);
	}
	if (rc == 0)
		rc = dispatch(e, ev);
	if (rc == 0)
		rc = arena_error(u->arena);
	e->u = NULL;
	return rc;
}

static int save_run(struct ch_engine *e)
{
	uint64_t every =
		e->now_ms < e->run_close_ms ? RUN_CLOSE_MS : RUN_SAVE_MS;
	int rc = 0;

	update_by(e, e->run_saved_ms + every);
	if (e->now_ms - e->run_saved_ms < every)
		return 0;
	e->run_saved_ms = e->now_ms;
	if (e->now_ms - e->tended_ms >= RUN_SAVE_MS) {
		e->tended_ms = e->now_ms;
		rc = trash_expire(e);
		if (rc == 0)
			rc = body_start(e); /* What came, and was not needed. */
	}
	return rc < 0 ? rc : db_put_u64(e, COL_SYS, "run", engine_run(e));
}

int ch_finish(struct ch_engine *e, struct ch_update *u)
{
	int rc;

	e->u = u;
	rc = member_tick(e);
	if (rc == 0)
		rc = plan_run(e);
	if (rc == 0)
		rc = wait_check(e, ch_str(""));
	if (rc == 0)
		rc = rejoin_tick(e);
	if (rc == 0)
		rc = exchange_pump(e);
	if (rc == 0)
		rc = save_run(e);
	if (rc == 0)
		rc = body_settle(e);
	if (rc == 0)
		rc = rejoin_note_life(e);
	if (rc == 0)
		rc = arena_error(u->arena);
	if (rc == 0)
		rc = batch_error(&u->store);
	e->u = NULL;
	return rc;
}
