/*
 * private.h -- what the stores have in common, and how they plug in.
 *
 * store.c does what is the same for all: COL_LIVE, and the rule that a store
 * that failed once takes no more. An implementation keeps the columns before
 * COL_LIVE, and embeds struct store first.
 */
#ifndef CHEOPS_DRIVERS_STORE_PRIVATE_H
#define CHEOPS_DRIVERS_STORE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "drivers/store/cowmap.h"
#include "drivers/store/store.h"

/* The columns that an implementation keeps: all before this one. */
#define COL_KEPT_N COL_LIVE

struct store_ops {
	/* Frees @s as well. */
	void (*close)(struct store *s);
	/* Apply what @b says of kept columns, of which there is something. */
	int (*commit)(struct store *s, const struct ch_batch *b, bool sync,
		      struct err *reterr);
	const struct ch_reader *(*reader)(struct store *s);
	int (*snapshot)(struct store *s, const struct ch_reader **ret_reader);
	void (*snapshot_free)(struct store *s, const struct ch_reader *r);
	void (*figures)(struct store *s, struct store_figures *ret_figures);
	uint64_t (*seq)(struct store *s);
};

struct store {
	const struct store_ops *ops;
	/* Guards which nodes the maps of this store have as their roots, for
	 * as long as it takes to copy that. Never held over anything else. */
	pthread_rwlock_t lock;
	struct cowmap live;
	bool failed; /* Of the thread that commits. */
	atomic_bool damaged; /* A read met that. */
};

/* 0 or -ENOMEM. release() may be called only after that. */
int store_base_init(struct store *s, const struct store_ops *ops);
void store_base_release(struct store *s);

/* What readers do with COL_LIVE; see struct ch_reader. */
int store_live_get(struct store *s, struct ch_bytes key,
		   struct strbuf *ret_value);
int store_live_scan(struct store *s, struct ch_bytes prefix,
		    struct ch_bytes from, ch_scan_fn *fn, void *arg);

/* The directory of a site, open. */
int store_dir_fd(const struct store_dir *d);

/* Answer a get from @m. */
int store_map_get(const struct cowmap *m, struct ch_bytes key,
		  struct strbuf *ret_value);

/* A copy of @m, which is of this store and guarded by its lock. */
struct cowmap store_map_copy(struct store *s, const struct cowmap *m);

#endif
