/* act.c -- see act.h. A binary heap by due_ms, and two lists. */
#include "core/act.h"

#include <errno.h>
#include <string.h>

#include "core/mem.h"

/* The heap, by due_ms. */

static void heap_swap(struct ch_engine *e, size_t i, size_t k)
{
	struct act *a = e->due[i], *b = e->due[k];

	e->due[i] = b;
	e->due[k] = a;
	b->heap_idx = i;
	a->heap_idx = k;
}

static void heap_up(struct ch_engine *e, size_t i)
{
	while (i && e->due[i]->due_ms < e->due[(i - 1) / 2]->due_ms) {
		heap_swap(e, i, (i - 1) / 2);
		i = (i - 1) / 2;
	}
}

static void heap_down(struct ch_engine *e, size_t i)
{
	for (;;) {
		size_t least = i, l = 2 * i + 1;

		for (size_t k = l; k < l + 2 && k < e->n_due; k++)
			if (e->due[k]->due_ms < e->due[least]->due_ms)
				least = k;
		if (least == i)
			return;
		heap_swap(e, i, least);
		i = least;
	}
}

void act_undue(struct ch_engine *e, struct act *a)
{
	size_t i = a->heap_idx;

	if (a->due_ms == CH_NEVER)
		return;
	a->due_ms = CH_NEVER;
	heap_swap(e, i, e->n_due - 1);
	e->n_due--;
	if (i < e->n_due) {
		heap_down(e, i);
		heap_up(e, i);
	}
}

/* Look at @a again by @ms, unless that happens earlier anyway. */
int act_due(struct ch_engine *e, struct act *a, uint64_t ms)
{
	if (ms >= a->due_ms)
		return 0;
	if (a->due_ms == CH_NEVER) {
		if (e->n_due == e->alloc_due) {
			size_t n = e->alloc_due ? 2 * e->alloc_due : 64;
			struct act **v = mem_realloc(e->due, n * sizeof(*v));

			if (!v)
				return -ENOMEM;
			e->due = v;
			e->alloc_due = n;
		}
		a->heap_idx = e->n_due;
		e->due[e->n_due++] = a;
	}
	a->due_ms = ms;
	heap_up(e, a->heap_idx);
	return 0;
}

void act_look(struct ch_engine *e, struct act *a)
{
	if (a->looking)
		return;
	a->looking = true;
	a->look_next = NULL;
	*e->look_last = a;
	e->look_last = &a->look_next;
}

/* It has a job for a driver, and all are busy. Looking at it again each round
 * would cost as much as there is to do, squared. */
void act_await_slot(struct ch_engine *e, struct act *a)
{
	if (a->queued)
		return;
	a->queued = true;
	a->slot_next = NULL;
	*e->slot_last = a;
	e->slot_last = &a->slot_next;
}

struct act *act_find(const struct ch_engine *e, struct ch_bytes name)
{
	return map_get(&e->acts, name);
}

int act_get(struct ch_engine *e, struct ch_bytes name, struct act **ret_act)
{
	struct act *a = act_find(e, name);

	if (!a) {
		a = mem_alloc(sizeof(*a) + name.len);
		if (!a)
			return -ENOMEM;
		memcpy(a + 1, name.p, name.len);
		a->name = (struct ch_bytes){a + 1, name.len};
		a->due_ms = CH_NEVER;
		if (map_put(&e->acts, name, a) < 0) {
			mem_free(a);
			return -ENOMEM;
		}
	}
	*ret_act = a;
	return 0;
}

void act_free(void *value)
{
	struct act *a = value;

	while (a->removed) {
		struct removed *x = a->removed;

		a->removed = x->next;
		mem_free(x);
	}
	while (a->discards) {
		struct discard *d = a->discards;

		a->discards = d->next;
		mem_free(d);
	}
	mem_free(a->merge);
	mem_free(a);
}

void plan_release(struct ch_engine *e)
{
	map_release(&e->acts, act_free);
	mem_free(e->due);
}

int plan_touch(struct ch_engine *e, struct ch_bytes name)
{
	struct act *a;
	int rc = act_get(e, name, &a);

	if (rc == 0)
		act_look(e, a);
	return rc;
}

int plan_fresh(struct ch_engine *e, struct ch_bytes name)
{
	struct act *a;
	int rc = act_get(e, name, &a);

	if (rc < 0)
		return rc;
	a->fresh_until_ms = e->now_ms + CHANGE_FRESH_MS;
	return act_due(e, a, a->fresh_until_ms);
}

int plan_quiet(struct ch_engine *e, struct ch_bytes name)
{
	struct act *a = act_find(e, name);

	if (a && a->fresh_until_ms) {
		a->fresh_until_ms = 0;
		act_look(e, a);
	}
	return 0;
}

bool plan_is_fresh(const struct ch_engine *e, struct ch_bytes name)
{
	const struct act *a = act_find(e, name);

	return a && e->now_ms < a->fresh_until_ms;
}

int plan_removed(struct ch_engine *e, struct ch_bytes name, uint64_t group_id,
		 const struct ch_id *site)
{
	struct removed *x;
	struct act *a;
	int rc = act_get(e, name, &a);

	if (rc < 0)
		return rc;
	x = mem_alloc(sizeof(*x));
	if (!x)
		return -ENOMEM;
	x->group_id = group_id;
	x->site = *site;
	x->until_ms = e->now_ms + e->cfg.grace_ms;
	x->next = a->removed;
	a->removed = x;
	return act_due(e, a, x->until_ms);
}

size_t plan_removed_by(const struct ch_engine *e, struct ch_bytes name,
		       uint64_t group_id, struct ch_id *v, size_t max)
{
	const struct act *a = act_find(e, name);
	size_t n = 0;

	for (const struct removed *x = a ? a->removed : NULL; x; x = x->next) {
		bool have = false;

		if (x->group_id != group_id || x->until_ms < e->now_ms)
			continue;
		for (size_t i = 0; i < n; i++)
			have |= id_cmp(&v[i], &x->site) == 0;
		if (!have && n < max)
			v[n++] = x->site;
	}
	return n;
}

bool plan_is_in_grace(const struct ch_engine *e, struct ch_bytes name,
		      const struct ch_id *site)
{
	const struct act *a = act_find(e, name);

	for (const struct removed *x = a ? a->removed : NULL; x; x = x->next)
		if (id_cmp(&x->site, site) == 0 && x->until_ms >= e->now_ms)
			return true;
	return false;
}

void act_forget_removed(struct ch_engine *e, struct act *a)
{
	struct removed **at = &a->removed;

	while (*at) {
		struct removed *x = *at;

		if (x->until_ms >= e->now_ms) {
			at = &x->next;
			continue;
		}
		*at = x->next;
		mem_free(x);
	}
}
