/*
 * reply.h -- requests that wait for a commit.
 *
 * Such a request is parked: the agent is asked, and what it answers ends it,
 * in the agent's thread. Each is answered exactly once. An interrupt goes on
 * to the agent where the user may break off (.wait), or where the caller is
 * being killed; else a commit is as little interruptible as a disk's.
 */
#ifndef CHEOPS_FS_REPLY_H
#define CHEOPS_FS_REPLY_H

#include <stdatomic.h>
#include <stdbool.h>

#include "fs/handle.h"
#include "fs/ops.h"

struct parked;

/* Change tables as the outcome wants it, reply, and then, or later from another
 * thread, call parked_done(). Called once, without the lock, from the agent's
 * thread, or from the caller's when nothing was asked. It may not read views,
 * nor wait. */
typedef void parked_fn(struct parked *p, int err);

struct parked {
	struct list link;
	atomic_int refs;
	atomic_bool interrupted;
	_Atomic uint64_t token;
	struct mnt *m;
	fuse_req_t req; /* NULL: nobody is waiting. */
	parked_fn *end;
	bool breakable;       /* An interrupt breaks it off. */
	pid_t tid;            /* Who waits. */
	struct proc who;      /* Its process, where that matters. */
	struct node *node;    /* Held. */
	struct node *to;      /* Held; or NULL. */
	struct handle *h;     /* Held; or NULL. */
	char *word, *to_word; /* Names in directories; NULL. */
	char *resource;       /* Whose error file hears of a failure; NULL. */
	char *label;          /* What failed, below its directory. */
	enum node_kind kind;  /* Of what is made or moved. */
	struct stat st;       /* For a reply with attributes. */
	double timeout;
	bool append;
	bool version; /* The agent was asked for one. */
	bool again;   /* That it is there already is no failure. */
	bool empty;   /* Nothing stands in .held. */
	struct strbuf body;    /* For what waits in a queue. */
	struct strbuf context; /* Of the writer's next version, at the end. */
	struct list turn;            /* more->waiting */
	struct list job;             /* The worker's queue. */
	void (*run)(struct parked *p);
	int err;
};

struct reply_queue;

/* The list of what is parked, and the worker. */
int replies_new(struct mnt *m, struct reply_queue **ret_queue);
/* Break off what can be, and wait until all is answered. */
void replies_drain(struct reply_queue *q);
void replies_free(struct reply_queue *q); /* Takes NULL. Joins the worker. */

/* NULL: no memory. Takes references on @node and @h; owns nothing else yet.
 * Freed by parked_done(). */
struct parked *parked_new(struct mnt *m, fuse_req_t req, parked_fn *end,
			  struct node *node, struct handle *h);
/* Whose `error` hears of it: "NAME/error" says "LABEL: text". */
int parked_label(struct parked *p, const char *resource, const char *label);

/* It is answered, and what it led to is done: frees it. */
void parked_done(struct parked *p);

/* Ask the agent. @p is no longer the caller's: end() is called, whatever
 * happens. */
void parked_submit(struct parked *p, struct ch_submit *s);
/* Nothing to ask: call end() with @err now; @text for the error file. */
void parked_end(struct parked *p, int err, const char *text);

/* Let the worker call @run(p). */
void parked_work(struct parked *p, void (*run)(struct parked *p));

#endif
