/*
 * agent_private.h -- the inside of the agent.
 *
 *	agent.c        what fs/ calls, and the start and the end
 *	agent_loop.c   the loop: events to updates, one commit a round
 *	agent_store.c  the store: opened, failed, opened again
 *	agent_job.c    jobs for drivers, and what they answer
 *	agent_net.c    messages for sites, and theirs
 *	agent_notice.c what happened: .events and the log
 *
 * Threads: the loop owns the engine and commits; the timer answers users whose
 * commit takes too long; the worker makes what drivers are handed. Drivers,
 * server and client have their own, and only put events on the queue.
 *
 * Locks, none held while another is taken: queue.lock (events that wait),
 * pending.lock (users who wait), gate.lock (who reads the store), misc.lock.
 * watch_lock is held while whoever watches is told.
 */
#ifndef CHEOPS_FS_AGENT_PRIVATE_H
#define CHEOPS_FS_AGENT_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "drivers/net/codec.h"
#include "drivers/net/net.h"
#include "drivers/platform/platform.h"
#include "drivers/store/store.h"
#include "fs/agent.h"
#include "fs/config.h"
#include "fs/events.h"

#define AGENT_QUEUE_MAX 4096   /* Events that wait. */
#define AGENT_COMMIT_MS 2000   /* So long a user waits for a commit. */
#define AGENT_ERRORS_MAX 1024  /* Resources whose last error is kept. */
#define AGENT_EVENTS_LEN (512u * 1024u)
#define AGENT_REFUSALS_MAX 64 /* Kinds that are told of sparingly. */

struct item { /* An event, with the memory it points at. */
	struct item *next;
	struct ch_event ev;
	void *mem;
	struct codec_message msg; /* RECV and ANSWER. */
	struct net_request *req;  /* RECV: token is its address. */
	struct held *held;	  /* RECV: for agent_net_held(). */
};

/*
 * What is let out has an answer, even without memory: the event that carries
 * it is allocated before the commit, with what is asked.
 */
#define AGENT_TEXT_LEN 512 /* Of a message that there is no more room for. */

struct pending { /* A user who waits. */
	struct pending *next;
	uint64_t token, until_ms; /* 0: without end. */
	agent_done_fn *fn;
	void *arg;
};

struct held { /* A request that the engine has not answered. */
	struct held *next;
	struct net_request *req;
};

struct sent { /* An exchange that we began. */
	struct sent *next;
	uint64_t id, at_ms;
	struct item *answer;
};

struct order { /* A job: ready, or waiting for the worker, or at its driver. */
	struct order *next;
	struct ch_job job; /* Strings in mem. */
	void *mem;
	struct ch_hash effective; /* APPLY: of the bytes that were handed over. */
	struct item *answer; /* Its mem has AGENT_TEXT_LEN bytes. */
};

struct refusal {        /* Of one address or site, for one reason. */
	uint64_t kind;  /* A hash; 0: free. */
	uint64_t at_ms; /* When it was told. */
	uint32_t n;     /* Times since. */
};

struct last_error {
	struct last_error *next;
	char *name, *text;
};

struct agent {
	const struct config *cfg;
	struct store_dir *dir;
	struct store *store;
	struct net *net;
	struct platform *platform[4]; /* NULL behind the last. */
	const char *drivers[4];	      /* Their names, likewise. */
	size_t n_drivers;
	char *labels;
	struct ch_peer *peers;
	struct net_identity self;
	struct ch_id store_id;

	pthread_t loop, timer, worker;
	bool has_loop, has_timer, has_worker;
	atomic_bool stop;

	struct {
		pthread_mutex_t lock;
		pthread_cond_t more;
		struct item *first, **last;
		size_t n;
		struct order *order_first, **order_last;
		struct order *running; /* At their drivers. */
		pthread_cond_t orders;
	} queue;

	struct {
		pthread_mutex_t lock;
		pthread_cond_t changed;
		struct pending *first;
		size_t n;
		uint64_t last_token;
		bool timer_rests; /* Nobody waits that it must answer. */
	} pending;

	struct {
		pthread_mutex_t lock;
		pthread_cond_t idle;
		size_t readers;
		bool closed; /* The store is being opened again. */
	} gate;

	struct {
		pthread_mutex_t lock;
		struct sent *sent;
		struct last_error *errors;
		size_t n_errors;
		struct refusal refusals[AGENT_REFUSALS_MAX];
	} misc;

	atomic_int ailing; /* 0, -EAGAIN, -ENOSPC. */
	struct events *events;
	pthread_mutex_t watch_lock; /* Held while a callback runs. */
	struct agent_watch watch;

	/* The loop's own. */
	struct held *held;
	struct order *ready; /* Of the round, newest first, until its commit. */
	struct sent *to_send;
	struct ch_engine *engine;
	struct ch_update update;
	uint32_t life_least; /* The next epoch is not below it. */
	bool restored;	     /* The store is older than it was. */
	uint64_t synced_seq;	      /* store_seq() after the last sync. */
	uint64_t fence_seq, fence_ms; /* Of the last one written. */
	unsigned int fence_commits;   /* Since then. */
	uint64_t next_ms, retry_ms;
	uint32_t retry_wait_ms;
};

uint64_t agent_now_ms(void);
uint64_t agent_wall_ms(void);

/* Put an event on the queue; takes @it. @bounded: -EAGAIN when it is full. */
int agent_post(struct agent *a, struct item *it, bool bounded);
struct item *agent_item(enum ch_event_type type);
void agent_item_free(struct item *it);

/* agent_loop.c */
void *agent_loop(void *arg);
/* The first round of a new engine. 0, or the store ails again. */
int agent_start_engine(struct agent *a);
/* The user's call is over; whoever comes second does nothing. */
void agent_done(struct agent *a, uint64_t token, int err, const char *text);
void agent_written(struct agent *a, uint64_t token, int err, const char *text,
		   struct ch_bytes context);
/* Who waits without end (CH_WAIT) waits for nothing: the engine is gone. */
void agent_done_waits(struct agent *a, int err, const char *text);

/* Whoever watches hears that .events has a new line. */
void agent_tell_events(struct agent *a);

/* agent_notice.c */
/* Into .events and the log. False: it was one refusal too many. Any thread. */
bool agent_notice(struct agent *a, const struct ch_notice *n);
void agent_notices_let_out(struct agent *a, const struct ch_update *u);

/* agent_store.c */
/* At the start: 0, also when the store ails; below: refuse to start. */
int agent_store_open(struct agent *a, struct err *reterr);
/* A commit failed: from now on @err is the answer. */
void agent_store_failed(struct agent *a, int err, const char *why);
/* Try again: 0 and an engine, or below. */
int agent_store_reopen(struct agent *a);
/* A new engine from the store that is open, with an epoch of @life at least. */
int agent_new_life(struct agent *a, uint32_t life, struct err *reterr);
/* A commit was synced: DIR/fence is moved on, now or soon (a->next_ms). */
void agent_store_fence(struct agent *a);
void agent_store_close(struct agent *a);

/* agent_job.c */
int agent_drivers_open(struct agent *a, struct err *reterr);
void agent_drivers_close(struct agent *a);
/* Before the commit: all that its jobs and their answers need. 0, -ENOMEM. */
int agent_jobs_prepare(struct agent *a, const struct ch_update *u);
void agent_jobs_let_out(struct agent *a);
/* The engine is gone: what no driver has begun is dropped. What one has goes
 * on; the next engine's job of that name waits for it. */
void agent_jobs_drop(struct agent *a);
void *agent_worker(void *arg);
void agent_job_done(void *arg, uint64_t id, const struct platform_result *r);
void agent_order_free(struct order *o);

/* agent_net.c */
int agent_net_open(struct agent *a, struct err *reterr);
/* As for jobs. */
int agent_net_prepare(struct agent *a, const struct ch_update *u);
void agent_net_let_out(struct agent *a, const struct ch_update *u);
void agent_net_drop(struct agent *a);
void agent_sent_free(struct sent *s);
void agent_net_refuse(struct item *it);
/* The engine has it, and answers when it likes. */
void agent_net_held(struct agent *a, struct item *it);
/* The engine is gone, and will answer none of those. */
void agent_net_refuse_held(struct agent *a);

#endif
