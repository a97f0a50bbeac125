/* script.c -- what a seed makes happen; see script.h. */
#include "tests/sim/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/rng.h"

#define FIRST_MS 1300u /* The world begins at 1000. */

static const unsigned char weight_of[DEED_N] = {
	[DEED_MKDIR] = 12,    [DEED_MAKE] = 6,      [DEED_SPEC] = 25,
	[DEED_SITE_ADD] = 15, [DEED_SITE_DEL] = 10, [DEED_RM_R] = 7,
	[DEED_RMDIR] = 3,     [DEED_TRASH] = 6,     [DEED_SITES] = 6,
	[DEED_LEAVE] = 4,     [DEED_CROSS] = 3,     [DEED_DISCARD] = 3,
	[DEED_DRIVER] = 3,    [DEED_PATCH] = 4,     [DEED_MODE] = 2,
	[DEED_WAIT] = 4,      [DEED_LABELS] = 1,    [DEED_CRASH] = 8,
	[DEED_CUT] = 4,       [DEED_SHAPE] = 4,     [DEED_ONE_WAY] = 4,
	[DEED_JOIN] = 4,      [DEED_FLAP] = 2,      [DEED_TAMPER] = 4,
	[DEED_FREEZE] = 4,    [DEED_CLOG] = 4,      [DEED_FULL] = 2,
	[DEED_CLOCK] = 1,     [DEED_REPLAY] = 6,
};

/* A swarm: each seed has its own taste, and leaves some deeds out. */
static void draw_taste(uint64_t *rng, unsigned int taste[DEED_N])
{
	static const unsigned int times[] = {0, 1, 1, 2, 5};

	for (size_t i = 0; i < DEED_N; i++)
		taste[i] = weight_of[i] * times[rng_below(rng, 5)];
	if (!taste[DEED_MKDIR] && !taste[DEED_MAKE])
		taste[DEED_MAKE] = weight_of[DEED_MAKE];
}

static enum deed_kind pick(uint64_t *rng, const unsigned int *taste,
			   size_t first, size_t end)
{
	unsigned int sum = 0, at;

	for (size_t i = first; i < end; i++)
		sum += taste[i];
	if (!sum)
		return (enum deed_kind)(end - 1);
	at = (unsigned int)rng_below(rng, sum);
	for (size_t i = first; i < end; i++) {
		if (at < taste[i])
			return (enum deed_kind)i;
		at -= taste[i];
	}
	return (enum deed_kind)(end - 1);
}

static unsigned int sometimes(uint64_t *rng, unsigned int max)
{
	return rng_below(rng, 2) ? (unsigned int)rng_below(rng, max) : 0;
}

static void draw_options(uint64_t *rng, struct world_options *o)
{
	uint64_t size = rng_below(rng, 200);

	o->n_sites = size == 0  ? 13 + rng_below(rng, 38)
		     : size < 8 ? 7 + rng_below(rng, 6)
				: 2 + rng_below(rng, 5);
	o->heartbeat_ms = 1000 + (uint32_t)rng_below(rng, 3) * 2000;
	if (rng_below(rng, 3) == 0)
		o->dial_only = 1ull << (1 + rng_below(rng, o->n_sites - 1));
	if (rng_below(rng, 4) == 0)
		o->lacks_other = rng_next(rng);
	o->star = rng_below(rng, 2);
	o->skewed = rng_below(rng, 2);
	o->loss = sometimes(rng, 300);
	o->twice = sometimes(rng, 500);
	o->late_ms = sometimes(rng, 60000);
	o->resets = sometimes(rng, 200);
	o->job_fails = sometimes(rng, 400);
	o->job_ails = sometimes(rng, 400);
	o->commit_fails = rng_below(rng, 3) ? 0 : sometimes(rng, 20);
	o->delay_ms = 1 + (uint32_t)rng_below(rng, 4) * 40;
	o->commit_ms = (uint32_t)rng_below(rng, 30);
	o->slow = rng_next(rng) & rng_next(rng) & rng_next(rng);
	o->job_ms = 1 + (uint32_t)rng_below(rng, 300);
	o->together = rng_below(rng, 2);
	o->audits = rng_below(rng, 16) ? 64 : 1;
}

static void add(struct script *s, uint64_t *rng, uint64_t at_ms,
		enum deed_kind kind, size_t names)
{
	struct deed *d = &s->v[s->n++];

	d->at_ms = at_ms;
	d->kind = kind;
	d->site = rng_below(rng, s->o.n_sites);
	d->other = rng_below(rng, s->o.n_sites);
	d->name = rng_below(rng, names);
	d->rng = rng_next(rng);
}

void script_draw(uint64_t seed, struct script *ret)
{
	uint64_t options = seed * 0x9e3779b97f4a7c15u + 1;
	uint64_t load = seed ^ 0x6c6f6164, chaos = seed ^ 0x6368616f;
	unsigned int taste[DEED_N];
	struct script s = {.seed = seed};
	size_t n_ops, n_faults, names;
	uint64_t ms;

	s.o.seed = seed;
	draw_options(&options, &s.o);
	s.big = rng_below(&options, 12) ? 0 : 100;
	s.rest = rng_below(&options, 4) == 0;
	s.again = rng_below(&options, 4) == 0;
	s.replays = rng_below(&options, 4) == 0;
	s.spares = rng_below(&options, 32) == 0;
	draw_taste(&options, taste);
	names = 1 + rng_below(&options, 4);
	n_ops = 10 + rng_below(&options, 50);
	if (rng_below(&options, 10) == 0)
		n_ops += 300;
	n_faults = rng_below(&options, 4) ? 1 + rng_below(&options, 12) : 0;
	ms = 3000 + rng_below(&options, 12000);
	if (rng_below(&options, 8) == 0)
		ms *= 4;
	s.end_ms = FIRST_MS + ms;
	s.v = calloc(n_ops + n_faults, sizeof(*s.v));
	CHECK(s.v);
	for (size_t i = 0; i < n_ops; i++)
		add(&s, &load, FIRST_MS + rng_below(&load, ms),
		    pick(&load, taste, 0, DEED_FIRST_FAULT), names);
	for (size_t i = 0; i < n_faults; i++)
		add(&s, &chaos, FIRST_MS + rng_below(&chaos, ms),
		    pick(&chaos, taste, DEED_FIRST_FAULT, DEED_N), names);
	/* Early on there is something to work with. */
	for (size_t i = 0; i < names && i < n_ops; i++) {
		s.v[i].kind = DEED_MAKE;
		s.v[i].name = i;
		s.v[i].at_ms = FIRST_MS + rng_below(&load, 1000);
	}
	*ret = s;
}

void script_release(struct script *s)
{
	free(s->v);
	s->v = NULL;
	s->n = 0;
}

/* Options that a user can set, and that are tried at nothing. */
#define OPTIONS(X)      \
	X(loss)         \
	X(twice)        \
	X(late_ms)      \
	X(resets)       \
	X(job_fails)    \
	X(job_ails)     \
	X(commit_fails) \
	X(commit_ms)    \
	X(job_ms)       \
	X(delay_ms)     \
	X(heartbeat_ms) \
	X(dial_only)    \
	X(lacks_other)  \
	X(slow)         \
	X(star)         \
	X(skewed)       \
	X(together)     \
	X(audits)

static bool set_option(struct script *s, const char *key, size_t len,
		       uint64_t v)
{
#define SET(name)                                                       \
	if (len == sizeof(#name) - 1 && memcmp(key, #name, len) == 0) { \
		s->o.name = (__typeof__(s->o.name))v;                   \
		return true;                                            \
	}
	OPTIONS(SET)
#undef SET
	if (len == 5 && memcmp(key, "sites", 5) == 0 && v >= 1 &&
	    v <= WORLD_SITES_MAX)
		s->o.n_sites = v;
	else if (len == 3 && memcmp(key, "big", 3) == 0)
		s->big = (unsigned int)v;
	else if (len == 4 && memcmp(key, "rest", 4) == 0)
		s->rest = v;
	else if (len == 5 && memcmp(key, "again", 5) == 0)
		s->again = v;
	else if (len == 7 && memcmp(key, "replays", 7) == 0)
		s->replays = v;
	else if (len == 6 && memcmp(key, "spares", 6) == 0)
		s->spares = v;
	else
		return false;
	return true;
}

bool script_option(struct script *s, const char *text)
{
	while (*text) {
		const char *eq = strchr(text, '=');
		char *end;
		uint64_t v;

		if (!eq || eq[1] < '0' || eq[1] > '9')
			return false;
		v = strtoull(eq + 1, &end, 10);
		if ((*end && *end != ',') ||
		    !set_option(s, text, (size_t)(eq - text), v))
			return false;
		text = *end ? end + 1 : end;
	}
	return true;
}

bool script_keep(struct script *s, const char *text)
{
	for (size_t i = 0; i < s->n; i++)
		s->v[i].off = true;
	while (*text) {
		char *end;
		uint64_t a = strtoull(text, &end, 10), b = a;

		if (end == text)
			return false;
		if (*end == '-') {
			text = end + 1;
			b = strtoull(text, &end, 10);
			if (end == text)
				return false;
		}
		if (*end && *end != ',')
			return false;
		for (uint64_t i = a; i <= b && i < s->n; i++)
			s->v[i].off = false;
		text = *end ? end + 1 : end;
	}
	return true;
}

void script_print(const struct script *s)
{
	const char *comma = "";

	printf(" -o sites=%zu,big=%u,rest=%d,again=%d,replays=%d,spares=%d",
	       s->o.n_sites, s->big, s->rest, s->again, s->replays, s->spares);
#define PRINT(name) printf("," #name "=%llu", (unsigned long long)s->o.name);
	OPTIONS(PRINT)
#undef PRINT
	printf(" -k ");
	for (size_t i = 0; i < s->n; i++)
		if (!s->v[i].off) {
			printf("%s%zu", comma, i);
			comma = ",";
		}
	printf(" %llu", (unsigned long long)s->seed);
}
