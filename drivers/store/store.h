/*
 * store.h -- where a site keeps what concerns it.
 *
 * A store applies batches (core/reader.h) atomically and answers reads while
 * it does. COL_LIVE is kept in memory by every store, and is gone with it.
 * One thread commits; any thread reads.
 */
#ifndef CHEOPS_DRIVERS_STORE_STORE_H
#define CHEOPS_DRIVERS_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/id.h"
#include "core/reader.h"

/* Of what a store holds; a greater number is refused, untouched. */
#define STORE_FORMAT 1

struct store;

struct store_figures {
	uint64_t disk_bytes;   /* What the database takes on disk. */
	uint64_t memory_bytes; /* Caches and buffers. */
};

/*
 * Open the database in the directory @path, made if it is not there. 0;
 * -EPROTO: it is of a newer format, or not ours; -EUCLEAN: damaged; -EIO: the
 * disk fails; -ENOSPC; -EBUSY: another process has it. Must be called after the
 * last fork of the process. Free with store_close(), which takes NULL.
 */
int store_rocks_open(const char *path, struct store **ret_store,
		     struct err *reterr);
/*
 * Save what can be read of a damaged one, a copy of which is put aside as
 * PATH.damaged-N, and open that. @opens: it could be opened; a read met the
 * damage. 0, with the sentence what was done: then it is older than it was.
 * -EIO: it was damaged too often; else as above.
 */
int store_rocks_salvage(const char *path, bool opens, struct store **ret_store,
			struct err *reterr);
/* The same in memory, for tests and for volatile sites. */
int store_memory_open(struct store **ret_store, struct err *reterr);
void store_close(struct store *s);

/*
 * Apply @b as a whole. With @sync it is on disk when this returns 0. Any
 * error means that it is unknown whether @b was applied, and that the store
 * takes no further batch (-EIO): -EIO, -ENOSPC, -ENOMEM. Then close and open
 * it again. Of COL_LIVE, and of nothing, there is nothing to sync.
 */
int store_commit(struct store *s, const struct ch_batch *b, bool sync,
		 struct err *reterr);

/* The store as it is at each call; valid until store_close(). */
const struct ch_reader *store_reader(struct store *s);

/*
 * The store as it was at one moment (COL_LIVE: as it is). Cheap; hold it for
 * one request, not longer. Free with store_snapshot_free() before
 * store_close().
 */
int store_snapshot(struct store *s, const struct ch_reader **ret_reader);
void store_snapshot_free(struct store *s, const struct ch_reader *r);

/* Grows with each commit that is not of COL_LIVE alone, over all openings. */
uint64_t store_seq(struct store *s);
/* Has a read met damage? Then it should be salvaged. */
bool store_is_damaged(struct store *s);

void store_figures(struct store *s, struct store_figures *ret_figures);

/*
 * The directory of a site: DIR/db, DIR/lock, DIR/ballast, DIR/fence.
 *
 * lock holds "PID MOUNTPOINT\n" of the agent that uses the directory, and is
 * locked while it runs. ballast is a file of the smaller of 64 MiB and 5 % of
 * the filesystem; giving it back makes room to open a store on a full disk.
 */
struct store_dir;

enum store_space {
	STORE_SPACE_OK,
	STORE_SPACE_LOW, /* Under twice the ballast is free: refuse users. */
};

/*
 * Make @path (0700) if it is not there, lock it, make the ballast (a disk too
 * full for it is no error). -EBUSY with the holder's pid and mount point in
 * the sentence, after 3 s: one that is ending may finish; else the errno of
 * what failed. Call it after the last fork.
 */
int store_dir_open(const char *path, const char *mountpoint,
		   struct store_dir **ret_dir, struct err *reterr);
void store_dir_close(struct store_dir *d);
/* DIR/db, borrowed. */
const char *store_dir_db(const struct store_dir *d);
enum store_space store_dir_space(const struct store_dir *d);
/* Free and total bytes of the filesystem. */
void store_dir_bytes(const struct store_dir *d, uint64_t *ret_free,
		     uint64_t *ret_total);
/* Give the ballast back; make it again (0, or -ENOSPC). Both may repeat. */
void store_dir_ballast_drop(struct store_dir *d);
int store_dir_ballast_make(struct store_dir *d);

/* Outside of the database, how far it had come: a log that was cut off or
 * emptied opens without a word, and is told from one that is whole by this. */
struct store_fence {
	struct ch_id store; /* Which one. */
	uint64_t seq;	    /* store_seq() after a commit that is synced. */
};

/* 0; -ENOENT: there is none; -EIO: it is damaged, or cannot be read. */
int store_fence_read(const struct store_dir *d, struct store_fence *ret_fence);
/* Written and synced, beside the one before: a crash leaves either. 0 or the
 * errno. */
int store_fence_write(const struct store_dir *d,
		      const struct store_fence *fence);

/* 0 when a file can be written and synced there now, else the errno. */
int store_dir_probe(const struct store_dir *d);

#endif
