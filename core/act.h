/*
 * act.h -- what memory knows of a resource that is not settled: a job under
 * way, a time when it must be looked at again, who removed what lately.
 *
 * plan.c decides; this file only keeps. An act with nothing left is freed.
 */
#ifndef CHEOPS_CORE_ACT_H
#define CHEOPS_CORE_ACT_H

#include "core/engine.h"

struct removed {
	struct removed *next;
	uint64_t group_id, until_ms;
	struct ch_id site;
};

/* A version that a user here has discarded: it goes once grace is over. */
struct discard {
	struct discard *next;
	struct dot dot;
	uint64_t until_ms;
};

struct act {
	struct ch_bytes name; /* Behind the struct. */
	uint64_t due_ms;      /* CH_NEVER: not in the heap. */
	size_t heap_idx;

	bool looking; /* On the list of those to be looked at. */
	struct act *look_next;
	bool queued; /* On the list of those that wait for a slot. */
	struct act *slot_next;

	uint64_t job; /* Running: its id; else 0. */
	enum ch_verb verb;
	struct stored_job asked;    /* What it was asked; driver is not kept. */
	struct ch_hash spec, patch; /* The bodies that it was handed. */

	bool observe;
	uint64_t look_again_ms;  /* It was not healthy: not before then. */
	uint64_t fresh_until_ms; /* 0: not held back. */
	uint64_t withdraw_ms;    /* Grace ends; 0: nothing to withdraw. */
	uint64_t left_ms; /* Since when others leave here what moved; 0. */

	uint32_t tries; /* Failed ones, of this verb and version. */
	uint64_t retry_ms;
	bool retry_never;
	enum ch_verb tried;
	struct version tried_version;

	struct removed *removed;
	struct discard *discards;
	struct merge *merge; /* Of concurrent versions: merge.c. NULL: none. */
};

/* NULL: it is settled. */
struct act *act_find(const struct ch_engine *e, struct ch_bytes name);
/* Made when it is not there. 0, -ENOMEM. */
int act_get(struct ch_engine *e, struct ch_bytes name, struct act **ret_act);
void act_free(void *act);

/* Look at it in this round, or the next when this one has looked already. */
void act_look(struct ch_engine *e, struct act *a);
/* Look at it by @ms, unless that happens earlier anyway. 0, -ENOMEM. */
int act_due(struct ch_engine *e, struct act *a, uint64_t ms);
void act_undue(struct ch_engine *e, struct act *a);
/* Look at it once a driver is free. */
void act_await_slot(struct ch_engine *e, struct act *a);

/* discard.c: carry out what is due, and come back for the rest. */
int discard_run(struct ch_engine *e, struct act *a);
/* merge.c: write down what concurrent versions come to, when it is our turn.
 * @seen: the record, as it may still be; NULL: unknown. */
int merge_run(struct ch_engine *e, struct act *a, const struct record *seen);

/* Removals whose grace is over. */
void act_forget_removed(struct ch_engine *e, struct act *a);

#endif
