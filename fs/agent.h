/*
 * agent.h -- the agent: one loop that owns the engine and its store.
 *
 * It turns what users, sites and drivers do into events, commits what the
 * engine answers, and only then lets answers, messages and jobs out. Reads
 * never wait for it: they take a snapshot of the store.
 *
 * A failed commit, or a store that cannot be opened, makes the agent ailing:
 * it goes on showing what it has, refuses writes with -EAGAIN or -ENOSPC, and
 * opens the store again until that works. It never exits for that.
 */
#ifndef CHEOPS_FS_AGENT_H
#define CHEOPS_FS_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/cheops.h"
#include "core/err.h"
#include "core/view.h"

struct agent;
struct config;

/*
 * Open the store and start the loop, the network and the drivers. Call it
 * after the last fork, with signals blocked. A store that ails is no error.
 * The sentence names file and line where the config is at fault.
 */
int agent_open(const struct config *cfg, const char *mountpoint,
	       struct agent **ret_agent, struct err *reterr);
/* Answers who still waits with -EINTR, stops all threads, closes the store. */
void agent_close(struct agent *a);

/* The store at one moment. Free with agent_view_put(), soon. 0, -ENOMEM. While
 * the store is not open, every read of the view gives -EIO. */
struct agent_view {
	struct view v;
	void *hold;
};
int agent_view_get(struct agent *a, struct agent_view *ret_view);
void agent_view_put(struct agent *a, struct agent_view *v);

/* May a user write now: 0, -EAGAIN (the store ails), -ENOSPC. */
int agent_writable(struct agent *a, struct err *reterr);

/* Called once, from the loop's thread, with no lock held: must be quick.
 * @context: as in struct ch_done, often empty. */
typedef void agent_done_fn(void *arg, int err, const char *text,
			   struct ch_bytes context);

/*
 * Ask for something; all of @s is copied, its token is set here. 0, and @fn
 * will be called; -EAGAIN: too many wait; -EAGAIN, -ENOSPC as
 * agent_writable(). A commit that does not come within 2 s is answered with
 * -EAGAIN (CH_WAIT excepted). @ret_token may be NULL.
 */
int agent_submit(struct agent *a, struct ch_submit *s, agent_done_fn *fn,
		 void *arg, uint64_t *ret_token);
/* @fn of that token is called with -EINTR, unless it has been called: soon,
 * and not by the caller, who may hold locks. */
void agent_interrupt(struct agent *a, uint64_t token);

/* Whoever made @name (see CH_QUIET) has closed everything: put it in force. */
void agent_quiet(struct agent *a, struct ch_bytes name);

/* view_prepare(), and then the check of the resource's driver. */
int agent_prepare(struct agent *a, const struct view *v, struct ch_bytes name,
		  enum ch_file file, struct ch_bytes site, struct ch_bytes body,
		  struct ch_prepared *ret_prepared, struct err *reterr);
/* The same of a spec whose resource has been looked at. */
int agent_prepare_spec(struct agent *a, const struct view_spec *spec,
		       struct ch_bytes name, struct ch_bytes body,
		       struct ch_prepared *ret_prepared, struct err *reterr);
/* Could more bytes still make that spec right? -EINVAL: no, whatever follows.
 * Only where the driver of @name asks for more than bytes. */
int agent_check_prefix(struct agent *a, const struct view_spec *spec,
		       struct ch_bytes name, struct ch_bytes body,
		       struct err *reterr);

/* The file error of a resource: remember, and append what is remembered.
 * @file: the path below the resource's directory. */
void agent_refused(struct agent *a, struct ch_bytes name, const char *file,
		   int err, const char *text);
void agent_error_text(struct agent *a, struct ch_bytes name,
		      struct strbuf *out);

/* .drivers: names in order, NULL behind the last; a driver's status. */
const char *const *agent_drivers(struct agent *a);
int agent_driver_status(struct agent *a, const char *driver,
			struct strbuf *out);

/* The name of this site; valid until agent_close(). */
const char *agent_site(const struct agent *a);

/* Free and all bytes of the store's filesystem, for statfs. */
void agent_space(struct agent *a, uint64_t *ret_free, uint64_t *ret_total);

/*
 * Who wants to know what changed. @stale is called from the loop's thread,
 * @events from that and the network's, one at a time; they must call neither
 * the kernel nor the agent. @events: a line was added to .events (events.h).
 * When it returns, none that was set before is running or will run.
 */
struct agent_watch {
	void (*stale)(void *arg, const struct ch_stale *s);
	void (*events)(void *arg);
	void *arg;
};
void agent_watch(struct agent *a, const struct agent_watch *w);

struct events;
struct events *agent_events(struct agent *a);

#endif
