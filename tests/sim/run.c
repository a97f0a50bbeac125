/* run.c -- one life of a world, as its script says; see script.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "tests/sim/script.h"

#define QUIET_MS 1500000u /* So long it may take to become quiet. */
#define LOOK_MS 200u      /* How often it is looked whether it is. */

static struct world *now_running;

struct world *run_world(void)
{
	return now_running;
}

struct cue {
	const struct script *script;
	const struct deed *deed;
};

static void on_cue(struct world *w, void *arg)
{
	const struct cue *cue = arg;

	deed_do(w, cue->deed, cue->script->big);
}

static void become_quiet(struct world *w)
{
	uint64_t end = w->now + QUIET_MS;

	while (!w->failed && !judge_is_quiet(w, NULL)) {
		if (w->now >= end) {
			judge_unrest(w);
			return;
		}
		world_run(w, LOOK_MS);
	}
}

/* What is under way must end by itself, and then all must be right. */
static void settle(struct world *w, const struct script *s)
{
	for (size_t i = 0; i < w->o.n_sites && !w->failed; i++)
		if (!w->site[i].busy)
			judge_store(&w->site[i]);
	world_heal(w);
	become_quiet(w);
	if (!w->failed)
		judge_ready(w);
	if (s->again && !w->failed) {
		for (size_t i = 0; i < w->o.n_sites; i++)
			world_crash(w, i);
		for (size_t i = 0; i < w->o.n_sites; i++)
			world_start(w, i);
		become_quiet(w);
	}
	/* Somebody had kept what was said. */
	if (s->replays && !w->failed) {
		for (size_t i = 0; i < 8; i++)
			network_replay(w, i);
		world_run(w, 100);
		become_quiet(w);
	}
	if (s->rest && !w->failed) {
		world_run(w, 70000);
		become_quiet(w);
	}
	if (!w->failed)
		judge_all(w);
	if (s->spares && !w->failed) {
		world_run(w, 1300000);
		judge_spares(w);
	}
	w->tally[TALLY_HEALED] += !w->failed;
}

void run_script(const struct script *s, struct verdict *ret)
{
	struct cue *cues = calloc(s->n + 1, sizeof(*cues));
	struct world *w = world_new(&s->o);

	CHECK(cues);
	now_running = w;
	world_at(w, w->now + 1500, release_held, NULL);
	for (size_t i = 0; i < s->n; i++) {
		cues[i] = (struct cue){s, &s->v[i]};
		if (!s->v[i].off)
			world_at(w, s->v[i].at_ms, on_cue, &cues[i]);
	}
	world_run(w, s->end_ms - w->now);
	world_run(w, 4000); /* The last drafts. */
	settle(w, s);
	free(cues);
	memset(ret, 0, sizeof(*ret));
	ret->failed = w->failed;
	ret->hash = world_hash(w);
	memcpy(ret->tally, w->tally, sizeof(ret->tally));
	if (w->failed) {
		(void)snprintf(ret->check, sizeof(ret->check), "%s", w->check);
		(void)snprintf(ret->why, sizeof(ret->why), "%s", w->why);
	}
}

void run_end(void)
{
	world_free(now_running);
	now_running = NULL;
}
