/*
 * notify.h -- the thread that tells the kernel what it did not ask for, and
 * that hears of signals and of the ends of processes.
 *
 * A notification may wait for a lock that the kernel holds while it waits for
 * an answer of the FUSE thread: so it has a thread of its own, and holds no
 * lock of ours. The queue is bounded: what does not fit any more becomes one
 * order to look at everything that the kernel knows.
 */
#ifndef CHEOPS_FS_NOTIFY_H
#define CHEOPS_FS_NOTIFY_H

#include <stdbool.h>

#include "core/cheops.h"
#include "core/err.h"
#include "fs/ops.h"

struct notify;

/* @main: the FUSE thread, to be taken out of its read by SIGUSR2 after TERM,
 * INT or HUP (blocked in all threads). */
int notify_new(struct mnt *m, pthread_t main, struct notify **ret_notify,
	       struct err *reterr);
/* The FUSE loop has ended: SIGUSR2 is sent no more. */
void notify_loop_ended(struct notify *nt);
/* Joins the thread; takes NULL. Nothing may wait for notify_then() any more. */
void notify_free(struct notify *nt);

/* From any thread, quick, without the mount's lock: something changed. What no
 * kernel has cached and nobody polls does not wake the notifier. */
void notify_stale(struct notify *nt, const struct ch_stale *s);
void notify_events(struct notify *nt);
/* A maker was added to m->makers. */
void notify_makers(struct notify *nt);

/* Look at which sites @name still has, tell the kernel, and then call @fn from
 * the notifier's thread. Without memory: @fn is called at once. Not for who
 * holds a directory's lock (rename, mkdir ...): it would never be called. */
void notify_then(struct notify *nt, const char *name, void (*fn)(void *arg),
		 void *arg);

#endif
