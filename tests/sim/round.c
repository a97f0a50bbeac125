/* round.c -- rounds of an engine: step, finish, commit, let out; see world.h.
 */
#include <errno.h>
#include <string.h>

#include "core/check.h"
#include "core/mem.h"
#include "core/rng.h"
#include "tests/sim/world.h"

#define ROUNDS_NOW_MAX 400 /* Caused by time alone, and in one moment. */

static void release_round(struct world *w, void *arg);

static void count_notice(struct site *s, const char *event)
{
	static const struct {
		const char *event;
		enum tally tally;
	} of[] = {
		{"conflict", TALLY_CONFLICTS},    {"resolved", TALLY_RESOLVED},
		{"deleted", TALLY_DELETES},       {"restored", TALLY_RESTORES},
		{"withdrawn", TALLY_WITHDRAWALS}, {"drift", TALLY_DRIFTS},
	};

	for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++)
		if (strcmp(of[i].event, event) == 0)
			s->w->tally[of[i].tally]++;
}

static void tell_notices(struct site *s)
{
	struct world *w = s->w;

	for (const struct ch_notice *n = s->u.notice.first; n; n = n->next) {
		world_trace(w, s, "%s %s %s %s %s", n->event, n->resource,
			    n->site, n->version, n->message);
		count_notice(s, n->event);
		if (n->resource[0])
			world_note(w, s->no, s->no, " %s: %s %s", n->resource,
				   n->event, n->version);
	}
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
	if (!list) {
		rc = ch_step(s->engine, &tick, &s->u);
		s->w->tally[TALLY_STEPS]++;
	}
	for (struct item *it = list; rc == 0 && it; it = it->next) {
		size_t from = s->u.store.ops.len;

		if (it->ev.type == CH_SUBMIT)
			user_begins(s->w, &it->ev.u.submit);
		it->ev.now_ms = tick.now_ms;
		it->ev.wall_ms = tick.wall_ms;
		rc = ch_step(s->engine, &it->ev, &s->u);
		s->w->tally[TALLY_STEPS]++;
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
	w->tally[TALLY_ROUNDS]++;
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
		site_failed(s, rc, 10);
		return;
	}
	platform_wanted(s);
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
		user_answered(w, d->token, d->err, d->text);
	network_let_out(s);
	platform_let_out(s);
}

static bool commit_fails(struct site *s)
{
	struct world *w = s->w;

	return w->now < s->full_until_ms ||
	       (w->o.commit_fails &&
		rng_below(&w->rng_disk, 1000) < w->o.commit_fails);
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
	if (s->u.durable && !is_for_sure(s->round) && commit_fails(s)) {
		w->tally[TALLY_COMMIT_FAILS]++;
		world_note(w, s->no, s->no, "a commit fails");
		site_end_commit(s, w->now >= s->full_until_ms &&
					   rng_below(&w->rng_disk, 2));
		site_failed(s, -EIO, 500);
		return;
	}
	s->busy = false;
	if (s->u.store.n)
		site_commit(s);
	list = s->round;
	s->round = NULL;
	let_out(s);
	ledger_committed(s);
	if (w->o.audits && s->n_rounds % w->o.audits == 0) {
		w->tally[TALLY_AUDITS]++;
		judge_store(s);
	}
	/* A submission is answered in its round, but for those who wait. */
	for (struct item *it = list; it; it = it->next) {
		struct answer *a;

		if (it->ev.type != CH_SUBMIT || it->ev.u.submit.op == CH_WAIT)
			continue;
		a = world_answer(w, it->ev.u.submit.token);
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
		world_note(w, s->no, s->no, "begins anew");
		site_end(s, false);
		world_start(w, s->no);
	} else if (s->inbox) {
		site_wake(s, w->now);
	} else if (s->next_ms != CH_NEVER) {
		site_wake(s, s->next_ms);
	}
}

void site_wake(struct site *s, uint64_t at_ms)
{
	world_schedule(s->w, at_ms, s->no, run_round, s);
}
