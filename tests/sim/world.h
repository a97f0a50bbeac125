/*
 * world.h -- many sites in one process, and all that may happen to them.
 *
 * A world has N sites. Each is the engine as it ships, on a store in memory;
 * messages go as bytes through the codec that ships. What the world stands in
 * for is time, the network, the disk's failures, and the platform that a
 * driver would look after. One queue of what comes next, ordered by (time,
 * site, number): time jumps from one to the next.
 *
 *	world.c     time, what is told, the beginning and the end
 *	site.c      the lives of a site: starts, crashes, commits
 *	round.c     rounds of an engine
 *	user.c      what users ask for, and what becomes of it
 *	network.c   requests and answers: delayed, lost, doubled, cut
 *	platform.c  jobs carried out on a map from names to bytes
 *	release.c   users who let go of what the guard holds
 *	ledger.c    what was written and by whom it was seen: after each step
 *	judge.c     what must hold when all is quiet
 *	tally.h     what happened, counted
 *
 * The same options give the same run, to the byte: world_hash() tells.
 */
#ifndef CHEOPS_TESTS_SIM_WORLD_H
#define CHEOPS_TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/cheops.h"
#include "core/map.h"
#include "core/record.h"
#include "core/resource.h"
#include "core/stored.h"
#include "core/view.h"
#include "drivers/net/codec.h"
#include "drivers/store/store.h"
#include "tests/sim/tally.h"

#define WORLD_SITES_MAX 50
#define WORLD_TRACE_MAX 100
#define WORLD_GRACE_MS 5000u

struct world;

struct world_options {
	uint64_t seed;
	size_t n_sites;
	uint32_t heartbeat_ms; /* 0: 1000 */
	uint64_t dial_only;    /* Bit i: site i does not listen. */
	uint64_t lacks_other;  /* Bit i: site i has no driver "other". */
	uint64_t older;	       /* Bit i: site i's hello knows of no lives. */
	bool star;	       /* Configs name site 0 alone, not all. */
	bool skewed;	       /* Wall clocks are wrong. */
	/* Faults, of 1000. */
	unsigned int loss, twice, resets, job_fails, job_ails, commit_fails;
	uint32_t late_ms;     /* A doubled message comes up to so much later. */
	uint32_t delay_ms;    /* Messages take up to so long. */
	uint32_t commit_ms;   /* A commit takes up to so long. */
	uint64_t slow;	      /* Bit i: ten times as long there. */
	uint32_t job_ms;      /* A job takes up to so long. */
	bool together;	      /* Many events a round, as when it is busy. */
	unsigned int audits;  /* Audit the store each so many rounds; 0: no. */
	bool verbose;	      /* Print the trace as it happens. */
	bool told;	      /* Keep what a diagram is drawn from. */
	bool told_all;	      /* The records that are stored, too. */
};

struct item { /* An event that waits, with the memory it points at. */
	struct item *next;
	struct ch_event ev;
	struct codec_message msg;
	void *mem, *more;
};

struct note { /* A row of a diagram. */
	uint64_t at_ms;
	size_t from, to; /* To itself: something that happens there. */
	char text[240];	 /* Begins with a space: what came of it. */
};

struct shadow { /* A record as the engine of a site has it. */
	struct shadow *next;
	struct record r;
	uint64_t step; /* In which it was stored. */
};

struct thing { /* Something on a platform. */
	struct thing *next;
	char *driver, *name;
	char *bytes;
	size_t len;
	struct ch_id lineage;
	bool orphan; /* Left there on purpose. */
	uint64_t unwanted_ms; /* Since then; 0: it should be there. */
	bool tampered; /* By somebody else. */
};

struct work { /* A job under way. */
	struct work *next;
	struct site *s;
	uint64_t id;
	bool dead; /* Its site ended; nobody hears of it. */
	enum ch_verb verb;
	char *driver, *name, *resource;
	struct ch_id lineage;
	struct ch_hash spec, patch, effective;
	bool owned;
	struct ch_hash before[CH_BEFORE_MAX + 1];
	size_t n_before;
	struct ch_ran ran; /* How it went, once it did. */
	char *message;
};

struct proof { /* What a platform confirmed last of a resource. */
	struct proof *next;
	char *driver, *name;
	bool healthy;
	struct ch_hash effective;
	uint64_t said; /* Number of the report that was checked. */
};

struct site {
	struct world *w;
	size_t no;
	struct ch_id id, store_id;
	char name[32], address[32];
	struct ch_peer peers[WORLD_SITES_MAX];
	const char *drivers[2];
	struct ch_config cfg;
	struct store *store;
	struct ch_engine *engine;
	struct ch_update u;
	uint64_t life; /* Grows at each start and each end. */
	uint32_t life_least; /* The next epoch is not below it. */
	uint64_t mono;
	int64_t skew_ms;
	uint64_t next_ms; /* The engine's wish, in the world's time. */
	bool busy;	  /* A commit is under way. */
	struct undo *undo; /* What a crash may undo, newest first. */
	bool frozen;	  /* Stopped, its connections open. */
	uint64_t full_until_ms; /* Its disk takes nothing until then. */
	struct version_known **pending; /* Of the round under way. */
	size_t n_pending, alloc_pending;
	struct item *inbox, **inbox_last, *round;
	size_t n_rounds, rounds_now;
	uint64_t n_steps;
	uint64_t round_ms;
	struct shadow *shadows;
	struct thing *things;
	struct work *works;
	struct proof *proofs;
};

struct answer { /* What became of a submission. */
	struct answer *next;
	uint64_t token;
	size_t site;
	uint64_t life;
	enum ch_op op;
	bool done;
	int err;
	uint64_t until_ms; /* World's time by which it must be answered. */
	char text[200];
};

struct happening;     /* world.c */
struct exchange;      /* network.c */
struct delivery;      /* network.c */
struct version_known; /* ledger.c */

struct world {
	struct world_options o;
	bool stores_lost; /* Some: what only they had is lost with them. */
	uint64_t now;
	struct site site[WORLD_SITES_MAX];
	bool cut[WORLD_SITES_MAX][WORLD_SITES_MAX]; /* From, to. */
	uint64_t clog_ms[WORLD_SITES_MAX][WORLD_SITES_MAX]; /* Until then. */
	uint64_t rng_net, rng_disk, rng_job;
	struct happening **heap;
	size_t n_heap, alloc_heap;
	uint64_t last_no, last_token, last_wire;
	struct exchange *exchanges; /* network.c */
	struct delivery *deliveries;
	uint64_t injected_token;
	unsigned int injected_status;
	struct map held; /* Site, name: it held that once. */
	struct answer *answers;
	struct version_known *known;
	struct map dots; /* Dot -> the write that has it. */
	struct map forgot; /* Site, name: it had that, and forgot it. */
	uint64_t hash;
	long outstanding; /* mem_outstanding() before it began. */
	bool failed;
	const char *check; /* Which one: its format. */
	char why[600];
	uint64_t tally[TALLY_N];
	struct note *notes;
	size_t n_notes, alloc_notes;
	struct strbuf old[8]; /* Requests with a batch, to be sent again. */
	size_t old_from[8], old_to[8], n_old;
	char *trace[WORLD_TRACE_MAX];
	size_t n_trace;
	/* Fail the @fail_n-th allocation of round @fail_round (from 1). */
	uint64_t rounds, fail_round;
	long fail_n;
	bool fail_hit, fail_spent;
	size_t n_changes; /* Jobs that may change what is on a platform. */
};

struct world *world_new(const struct world_options *o);
/* Ends all engines; checks that nothing is held in core. */
void world_free(struct world *w);
uint64_t world_hash(const struct world *w);

/* Let time pass. Ends early when something has failed. */
void world_run(struct world *w, uint64_t ms);
typedef bool world_test_fn(struct world *w, void *arg);
/* Until @fn is true: true; or @ms have passed: false. */
bool world_until(struct world *w, world_test_fn *fn, void *arg, uint64_t ms);
/* Call @fn at that time. */
typedef void world_call_fn(struct world *w, void *arg);
void world_at(struct world *w, uint64_t at_ms, world_call_fn *fn, void *arg);

/* Remember the first failure. */
void world_fail(struct world *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void world_trace(struct world *w, const struct site *s, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* A row of the diagram, when it is drawn. */
void world_note(struct world *w, size_t from, size_t to, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void world_print_trace(const struct world *w, size_t n);
void world_digest(struct world *w, const void *p, size_t len);

/* Sites. A crash loses what is not stored, and all that is under way. */
void world_start(struct world *w, size_t site);
void world_crash(struct world *w, size_t site);
/* It is stopped, while its connections stand. */
void world_freeze(struct world *w, size_t site, bool frozen);
/* All that is stored at a site, and the same put back there, or (NULL) nothing:
 * it crashes first, and has to be started. */
void world_backup(struct world *w, size_t site, struct ch_batch *ret_backup);
void world_restore(struct world *w, size_t site, const struct ch_batch *backup);
void world_cut(struct world *w, size_t a, size_t b, bool cut);
void world_cut_one_way(struct world *w, size_t from, size_t to);
void world_join_all(struct world *w);
/* What is sent comes when that is over, all at once. */
void world_clog(struct world *w, size_t from, size_t to, uint32_t ms);
/* Its disk takes nothing for so long. */
void world_fill_disk(struct world *w, size_t site, uint32_t ms);
void world_set_clock(struct world *w, size_t site, int64_t skew_ms);
/* Nothing fails, is lost or cut any more; all sites are up. */
void world_heal(struct world *w);
uint64_t site_now(const struct site *s);
uint64_t site_wall(const struct site *s);
void site_post(struct site *s, struct item *it);
struct view site_view(const struct site *s);

/* Run a round at @at_ms, unless one runs earlier and asks for another. */
void site_wake(struct site *s, uint64_t at_ms);
/* The engine is gone, and what it had not let out with it. */
void site_end(struct site *s, bool crashed);
/* It ends because of @err, and starts again after @again_ms. */
void site_failed(struct site *s, int err, uint32_t again_ms);
/* A batch that was under way when it ended may be there, or not. */
void site_end_commit(struct site *s, bool is_there);
void item_free(struct item *it);
/* A sync is of all that came before, too. */
void site_commit(struct site *s);
void site_synced(struct site *s);

/* Users. Strings are copied. Returns the token. */
uint64_t world_submit(struct world *w, size_t site,
		      const struct ch_submit *submit);
struct answer *world_answer(struct world *w, uint64_t token);
void world_quiet(struct world *w, size_t site, const char *name);
void user_answered(struct world *w, uint64_t token, int err, const char *text);
/* An engine hears of it: its time runs from now on. */
void user_begins(struct world *w, const struct ch_submit *s);
/* An engine ended: who waited for it gets -EIO. */
void user_ended(const struct site *s);

/* network.c */
void network_let_out(struct site *s);
void network_refuse(struct site *s, const struct item *it);
void network_ended(struct site *s);
void network_release(struct world *w);
/* A message as it would come from @from, whoever that says it is. */
void network_inject(struct world *w, size_t to, const struct ch_from *from,
		    const struct ch_message *msg);
/* The HTTP status that the last one injected got; 0: none yet. */
unsigned int network_injected(const struct world *w);
/* Send an earlier request again. */
void network_replay(struct world *w, size_t which);

/* platform.c */
void platform_let_out(struct site *s);
void platform_ended(struct site *s);
void platform_release(struct site *s);
struct thing *platform_find(const struct site *s, const char *driver,
			    const char *name);
/* Someone else changes what is there; the driver notices. */
void platform_tamper(struct site *s, struct thing *t);
/* After a round: since when is what is there not wanted any more? */
void platform_wanted(struct site *s);
/* What it confirmed of @name; @number: of the report that says so. */
struct proof *platform_proof(const struct site *s, struct ch_bytes name,
			     uint64_t number);
/* What the resource @name is called on that platform; freed by the caller. */
char *platform_object(const struct site *s, struct ch_bytes name,
		      const char *driver);
/* Is that another's there, that was renamed? */
bool platform_is_others(const struct site *s, const char *driver,
			struct ch_bytes name);

/* ledger.c */
void ledger_load(struct site *s);
/* The record as the engine has it, stored or not; NULL: none. */
const struct record *ledger_now(const struct site *s, struct ch_bytes name);
void ledger_step(struct site *s, const struct ch_event *ev, size_t from);
void ledger_committed(struct site *s);
void ledger_lost(struct site *s);
void ledger_release(struct world *w);
void ledger_release_site(struct site *s);
/* Every write that was answered is there, or was seen by what replaced it. */
void ledger_judge(struct world *w);
bool ledger_held(const struct world *w, size_t site, struct ch_bytes name);
/* Trace what it has of @name. */
void ledger_show(const struct site *s, struct ch_bytes name);
/* The record that the store of @s has. 0, -ENOENT. */
/* Has another name than @but a job of it that was carried out? */
bool ledger_in_force(const struct site *s, const struct ch_id *lineage,
		     struct ch_bytes but);
/* What is in force under the name of @r moved to where two have one name. */
bool ledger_stays(const struct site *s, const struct record *r);
/* Is that lineage alive under some name at @s, and to be in force there? */
bool ledger_wants(const struct site *s, const struct ch_id *lineage,
		  struct ch_bytes driver);
int ledger_stored(const struct site *s, struct ch_bytes name,
		  struct record *ret);

/* judge.c */
/* Nothing is under way any more, as far as that can be seen. */
bool judge_is_quiet(struct world *w, void *arg);
/* Say who is not quiet, and why: a failure. */
void judge_unrest(struct world *w);
/* All that should be in force is said to be. */
void judge_ready(struct world *w);
/* All that must hold then. */
void judge_all(struct world *w);
/* After half an hour of rest: no body is left that came for nothing. */
void judge_spares(struct world *w);
/* One site's store by itself: at any time between rounds. */
void judge_store(struct site *s);

/* release.c: from now on users see to what the guard holds. */
void release_held(struct world *w, void *arg);

/* As world_at(), in the order of sites. */
struct happening *world_schedule(struct world *w, uint64_t at_ms, size_t site,
				 world_call_fn *fn, void *arg);

#endif
