/*
 * script.h -- what will happen in a random life of a random world.
 *
 * A seed gives a script: the world's options, and a list of deeds, each an
 * operation of a user or a fault, with its time and a generator of its own.
 * So a deed can be left out, and the others stay what they were: which is how
 * a script that fails is made shorter (shrink.h).
 */
#ifndef CHEOPS_TESTS_SIM_SCRIPT_H
#define CHEOPS_TESTS_SIM_SCRIPT_H

#include "tests/sim/world.h"

enum deed_kind {
	DEED_MKDIR,
	DEED_MAKE, /* mkdir, its sites and a spec. */
	DEED_SPEC,
	DEED_SITE_ADD,
	DEED_SITE_DEL,
	DEED_RM_R,
	DEED_RMDIR,
	DEED_TRASH, /* Restored from there, or removed from it. */
	DEED_SITES,
	DEED_LEAVE, /* Nothing of it stays here; it is made again later. */
	DEED_CROSS, /* Two sites each keep it to themselves, at once. */
	DEED_DRIVER,
	DEED_PATCH,
	DEED_DISCARD, /* rm conflicts/X */
	DEED_MODE,
	DEED_WAIT,
	DEED_LABELS,
	DEED_CRASH, /* From here on: faults. */
	DEED_CUT,
	DEED_SHAPE, /* Halves, one alone, a ring, a star. */
	DEED_ONE_WAY,
	DEED_JOIN,
	DEED_FLAP,
	DEED_TAMPER,
	DEED_FREEZE,
	DEED_CLOG,
	DEED_FULL,
	DEED_CLOCK,
	DEED_REPLAY,
	DEED_N,
};

#define DEED_FIRST_FAULT DEED_CRASH

struct deed {
	uint64_t at_ms, rng;
	enum deed_kind kind;
	size_t site, other, name;
	bool off; /* Left out. */
};

struct script {
	uint64_t seed, end_ms;
	struct world_options o;
	unsigned int big; /* Of 1000 specs. */
	bool rest;	  /* A minute of rest: all is observed again. */
	bool replays;	  /* Old batches come again when all is quiet. */
	bool again;	  /* All sites start once more. */
	bool spares;	  /* Half an hour: what came for nothing is gone. */
	struct deed *v;
	size_t n;
};

void script_draw(uint64_t seed, struct script *ret);
void script_release(struct script *s);
/* KEY=NUMBER,... over the options of @s; false: that makes no sense. */
bool script_option(struct script *s, const char *text);
/* Leave out all deeds but those of a list as 1,4-7. */
bool script_keep(struct script *s, const char *text);
/* What script_option() and script_keep() need to make @s of its seed. */
void script_print(const struct script *s);

struct verdict { /* What came of a run. No pointers: it crosses processes. */
	bool failed;
	char check[120], why[600];
	uint64_t hash, tally[TALLY_N];
};

/* One life, from the first start to the last judgement. */
void run_script(const struct script *s, struct verdict *ret);
/* Its world, for whoever tells of it; until run_end(). */
struct world *run_world(void);
void run_end(void);

/* deed.c: do it. Of 1000 specs @big are large. */
void deed_do(struct world *w, const struct deed *d, unsigned int big);

#endif
