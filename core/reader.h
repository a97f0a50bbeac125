/*
 * reader.h -- how core reads what is stored, and how it asks for changes.
 *
 * A store is a set of columns, each an ordered map from bytes to bytes. Core
 * never opens one: it is handed a reader (the store as it is now, or a
 * snapshot of it), and hands out batches.
 */
#ifndef CHEOPS_CORE_READER_H
#define CHEOPS_CORE_READER_H

#include <stddef.h>

#include "core/strbuf.h"

/* The numbers are part of the batch encoding; names are the store's. */
enum ch_col {
	COL_SYS,    /* Single facts: format, epoch, counters. */
	COL_RECORD, /* Resource name -> record. */
	COL_REPORT, /* Name, NUL, site -> that site's report. */
	COL_BODY,   /* SHA-256, chunk number (u32) -> at most 256 KiB. */
	COL_REF,    /* SHA-256, name -> nothing: who needs that body. */
	COL_OUT,    /* Site, sequence (u64) -> what that site has to be told. */
	COL_PEER,   /* Site -> cursors of the exchange with it. */
	COL_SITE,   /* Site -> what is known of it. */
	COL_JOB,    /* Name -> what the driver here has in force. */
	COL_TRASH,  /* Trash name -> the record before it was deleted. */
	COL_CERT,   /* Name -> the clock of a record that is gone. */
	COL_LIVE,   /* Not durable: what a restart forgets. Memory alone. */
	COL_N
};

/* What scan() calls for each pair: 0 to go on, 1 to stop, below 0 to fail. */
typedef int ch_scan_fn(void *arg, struct ch_bytes key, struct ch_bytes value);

struct ch_reader {
	/* 0 and the value (@ret_value is reset first), -ENOENT, -EIO when the
	 * store is damaged, -ENOMEM. */
	int (*get)(const struct ch_reader *r, enum ch_col col,
		   struct ch_bytes key, struct strbuf *ret_value);
	/* All pairs whose key starts with @prefix and is not before @from (an
	 * empty one: from the first), in the order of their bytes. Returns
	 * what @fn returned last, or -EIO, -ENOMEM. @fn must not write. */
	int (*scan)(const struct ch_reader *r, enum ch_col col,
		    struct ch_bytes prefix, struct ch_bytes from,
		    ch_scan_fn *fn, void *arg);
};

/*
 * A batch: puts and deletes, in the order they were asked for; the last word
 * on a key counts. Applied as a whole or not at all.
 */
struct ch_batch {
	struct strbuf ops; /* u8 put?, u8 column, b32 key, b32 value. */
	size_t n;
};

void batch_init(struct ch_batch *b);
void batch_release(struct ch_batch *b);
void batch_reset(struct ch_batch *b);
/* Running out of memory makes the batch bad: batch_error() tells. */
void batch_put(struct ch_batch *b, enum ch_col col, struct ch_bytes key,
	       struct ch_bytes value);
void batch_del(struct ch_batch *b, enum ch_col col, struct ch_bytes key);
int batch_error(const struct ch_batch *b);

/* One operation of a batch; all borrowed from it. */
struct ch_batch_op {
	bool put;
	enum ch_col col;
	struct ch_bytes key, value;
};

/* Walk a batch: start with *pos 0; true while there is one more. */
bool batch_next(const struct ch_batch *b, size_t *pos,
		struct ch_batch_op *ret_op);

#endif
