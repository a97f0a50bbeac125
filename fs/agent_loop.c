/*
 * agent_loop.c -- the loop: all events that wait make one round, one commit.
 *
 * While the disk syncs, the next events gather: that is the group commit.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/agent_private.h"
#include "fs/log.h"

static struct item *take_all(struct agent *a)
{
	struct item *list;

	pthread_mutex_lock(&a->queue.lock);
	while (!a->queue.first && !atomic_load(&a->stop)) {
		uint64_t now = agent_now_ms();
		uint64_t until = a->engine ? a->next_ms : a->retry_ms;
		struct timespec t;

		if (until <= now)
			break;
		if (until == CH_NEVER) {
			pthread_cond_wait(&a->queue.more, &a->queue.lock);
			continue;
		}
		clock_gettime(CLOCK_MONOTONIC, &t);
		t.tv_sec += (time_t)((until - now) / 1000);
		t.tv_nsec += (long)((until - now) % 1000) * 1000000;
		if (t.tv_nsec >= 1000000000) {
			t.tv_sec++;
			t.tv_nsec -= 1000000000;
		}
		pthread_cond_timedwait(&a->queue.more, &a->queue.lock, &t);
	}
	list = a->queue.first;
	a->queue.first = NULL;
	a->queue.last = &a->queue.first;
	a->queue.n = 0;
	pthread_mutex_unlock(&a->queue.lock);
	return list;
}

static void stamp(struct ch_event *ev)
{
	ev->now_ms = agent_now_ms();
	ev->wall_ms = agent_wall_ms();
}

static int step(struct agent *a, struct ch_event *ev)
{
	stamp(ev);
	return ch_step(a->engine, ev, &a->update);
}

/* Memory for what comes back, before anything is promised. */
static int prepare(struct agent *a, const struct ch_update *u)
{
	int r = agent_jobs_prepare(a, u);

	return r < 0 ? r : agent_net_prepare(a, u);
}

static void let_out(struct agent *a, const struct ch_update *u)
{
	pthread_mutex_lock(&a->watch_lock);
	for (const struct ch_stale *s = u->stale.first; s; s = s->next)
		if (a->watch.stale)
			a->watch.stale(a->watch.arg, s);
	pthread_mutex_unlock(&a->watch_lock);
	for (const struct ch_done *d = u->done.first; d; d = d->next)
		agent_written(a, d->token, d->err, d->text, d->context);
	agent_net_let_out(a, u);
	agent_jobs_let_out(a);
	agent_notices_let_out(a, u);
}

/* Nothing of this round was, or may be, let out. */
static void refuse_round(struct agent *a, struct item *list, int err,
			 const char *why)
{
	for (struct item *it = list; it; it = it->next) {
		if (it->ev.type == CH_SUBMIT)
			agent_done(a, it->ev.u.submit.token, err, why);
		if (it->ev.type == CH_INTERRUPT)
			agent_done(a, it->ev.u.interrupt.token, -EINTR,
				   "interrupted");
		agent_net_refuse(it);
	}
}

static void round_failed(struct agent *a, struct item *list, int err,
			 const char *why)
{
	log_print(LOG_ERR, "the store failed: %s", why);
	ch_engine_free(a->engine);
	a->engine = NULL;
	agent_jobs_drop(a);
	agent_net_drop(a);
	ch_update_reset(&a->update);
	agent_store_failed(a, err, why);
	agent_net_refuse_held(a);
	agent_done_waits(a, -EAGAIN, "the store ails: ask again");
	refuse_round(a, list, err == -ENOSPC ? -ENOSPC : -EIO,
		     "the commit failed; the version may yet appear");
}

/* The engine has found that its life was lived before. */
static void begin_anew(struct agent *a, uint32_t life)
{
	struct err err = ERR_INIT;
	int r;

	ch_engine_free(a->engine);
	a->engine = NULL;
	agent_net_refuse_held(a);
	agent_done_waits(a, -EAGAIN, "the agent begins anew: ask again");
	r = agent_new_life(a, life, &err);
	if (r == 0)
		r = agent_start_engine(a);
	else
		agent_store_failed(a, r, err.text);
}

static void run_round(struct agent *a, struct item *list)
{
	struct ch_event tick = {.type = CH_TIMEOUT};
	struct ch_update *u = &a->update;
	struct err err = ERR_INIT;
	int r = 0;

	ch_update_reset(u);
	if (!list)
		r = step(a, &tick);
	for (struct item *it = list; r == 0 && it; it = it->next) {
		agent_net_held(a, it);
		r = step(a, &it->ev);
		if (it->ev.type == CH_INTERRUPT)
			agent_done(a, it->ev.u.interrupt.token, -EINTR,
				   "interrupted");
	}
	if (r == 0)
		r = ch_finish(a->engine, u);
	if (r == 0)
		r = prepare(a, u);
	if (r < 0)
		err_set(&err, r, "%s",
			r == -ENOMEM ? "no memory" : "it cannot be read");
	else if (u->store.n)
		r = store_commit(a->store, &u->store, u->durable, &err);
	if (r < 0) {
		round_failed(a, list, r, err.text);
		return;
	}
	a->next_ms = u->next_ms;
	let_out(a, u);
	agent_store_fence(a);
	if (u->new_life)
		begin_anew(a, u->new_life);
}

/* CH_START, in a round of its own. */
int agent_start_engine(struct agent *a)
{
	struct ch_event start = {.type = CH_START};
	int r;

	ch_update_reset(&a->update);
	r = step(a, &start);
	if (r == 0)
		r = ch_finish(a->engine, &a->update);
	if (r == 0)
		r = prepare(a, &a->update);
	if (r == 0 && a->update.store.n)
		r = store_commit(a->store, &a->update.store,
				 a->update.durable, NULL);
	if (r < 0) {
		round_failed(a, NULL, r, "it cannot be started from");
		return r;
	}
	a->next_ms = a->update.next_ms;
	let_out(a, &a->update);
	return 0;
}

/* Waiting users of an engine that is gone get no answer from the next one. */
static void revive(struct agent *a)
{
	if (agent_now_ms() < a->retry_ms)
		return;
	if (agent_store_reopen(a) == 0 && agent_start_engine(a) == 0)
		atomic_store(&a->ailing, 0);
}

void *agent_loop(void *arg)
{
	struct agent *a = arg;

	while (!atomic_load(&a->stop)) {
		struct item *list = take_all(a);

		if (atomic_load(&a->stop)) {
			refuse_round(a, list, -EINTR, "the agent ends");
		} else if (!a->engine) {
			refuse_round(a, list, atomic_load(&a->ailing)
						      ? atomic_load(&a->ailing)
						      : -EAGAIN,
				     "the store ails");
			revive(a);
		} else {
			run_round(a, list);
		}
		while (list) {
			struct item *it = list;

			list = it->next;
			agent_item_free(it);
		}
	}
	agent_net_refuse_held(a);
	return NULL;
}
