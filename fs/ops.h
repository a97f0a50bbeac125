/*
 * ops.h -- what the files of the mounted tree share: the mount itself, and the
 * handlers that ops_*.c put into the table of mount.c.
 *
 * Threads, and what each may do:
 *
 *   the FUSE thread   all handlers. It never waits: a request that needs a
 *                     commit is parked (reply.h).
 *   the agent's loop  ends parked requests: changes tables, replies.
 *   the worker        checks and submits what is too much for the FUSE
 *                     thread, and appends whose turn has come (handle.h).
 *   the notifier      all that is told to the kernel unasked (notify.h).
 *
 * One lock, mnt.lock, for node table, handles and makers. It is never held
 * while the kernel, the agent or the store is called.
 */
#ifndef CHEOPS_FS_OPS_H
#define CHEOPS_FS_OPS_H

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "fs/agent.h"
#include "fs/inode.h"
#include "fs/maker.h"
#include "fs/options.h"

#define MNT_REMOVED_MAX 16
#define MNT_STALE_N 512

struct notify;
struct reply_queue;

/* A file of the tree that stays was "removed" by that process: to it, the name
 * is free for a while. */
struct removed {
	uint64_t who; /* proc_number() */
	uint64_t ino;
	int64_t until_ms; /* Monotonic. */
};

struct mnt {
	struct agent *agent;
	const struct options *opts;
	struct fuse_session *se;
	struct notify *notify;
	struct reply_queue *replies;
	const char *site; /* This site's name: the agent's. */
	uid_t uid;
	gid_t gid;
	int64_t mounted_ns;
	_Atomic uint64_t n_changes; /* Of resources: came, went. */
	_Atomic uint64_t n_stale;   /* What was said to be stale; from 1. */
	/* What n_stale was at the last of those whose name falls there. */
	_Atomic uint64_t stale_at[MNT_STALE_N];
	void (*ready)(void *arg);
	void *ready_arg;
	struct err *init_err;

	pthread_mutex_t lock;
	struct inodes inodes;
	struct makers makers;
	struct removed removed[MNT_REMOVED_MAX]; /* A ring. */
	size_t n_removed;
	struct list handles; /* Open files: struct handle, by link. */
	struct list polled;  /* Of them, by poll_link. */
	struct list dirs;    /* Open directories. */
};

static inline void mnt_lock(struct mnt *m)
{
	pthread_mutex_lock(&m->lock);
}

static inline void mnt_unlock(struct mnt *m)
{
	pthread_mutex_unlock(&m->lock);
}

static inline struct mnt *mnt_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* The node of a number that the kernel sent. It stays for the request: only
 * the FUSE thread forgets. */
struct node *mnt_node(struct mnt *m, fuse_ino_t ino);
/* Its identity now (N4). */
const struct node_id *mnt_id(struct mnt *m, struct node *n);

/*
 * What the kernel may keep. Its attributes are taken back by mnt_stale(), but
 * only of a node that was given out for longer than the moment: node.cached.
 * So that none is missed, whoever answers with attributes takes its view by
 * mnt_view_get(); what went stale since then is given for no time at all.
 */
int mnt_view_get(struct mnt *m, struct agent_view *ret_view);
/* What was read of @name in a view of that stamp has not gone stale since, nor
 * has, if @name is "", anything. */
bool mnt_is_fresh(struct mnt *m, uint64_t stamp, const char *name);
/* @n, which the caller holds, has other attributes now. Not with the lock. */
void mnt_stale(struct mnt *m, struct node *n);

int64_t mnt_now_ns(void); /* Wall clock. */
int64_t mnt_monotonic_ms(void);

void ops_dir(struct fuse_lowlevel_ops *ops);  /* ops_dir.c */
void ops_dir_release(struct mnt *m);          /* What the kernel left open. */
void ops_attr(struct fuse_lowlevel_ops *ops); /* ops_attr.c */
void ops_file(struct fuse_lowlevel_ops *ops); /* ops_file.c */
void ops_name(struct fuse_lowlevel_ops *ops); /* ops_name.c */

#endif
