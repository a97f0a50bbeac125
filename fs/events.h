/*
 * events.h -- the stream behind .events: JSON lines in a ring in memory.
 *
 * The stream has absolute offsets that only grow. What the ring no longer
 * holds is answered by one line that says how many events were lost.
 * Thread safe.
 */
#ifndef CHEOPS_FS_EVENTS_H
#define CHEOPS_FS_EVENTS_H

#include <stdint.h>
#include <sys/types.h>

#include "core/cheops.h"

struct events;

/* @len_max: bytes of lines that are kept. NULL: no memory. */
struct events *events_new(size_t len_max);
void events_free(struct events *ev); /* Takes NULL. */

/* One line, numbered here. Without memory the event is counted as lost. */
void events_add(struct events *ev, const struct ch_notice *n);

/* A reader's place in the stream. Zeroed: the oldest line that is kept; zeroed
 * but for @at: that absolute offset, or the oldest line when it is gone. */
struct events_cursor {
	uint64_t seq;    /* Of the next line. */
	size_t off;      /* Bytes of it that were read. */
	uint64_t at;     /* File offset that this place stands for. */
	char lost[160];  /* The line about lost events while it is read. */
	size_t lost_len;
};

/* Up to @len bytes at @cursor; 0 at the end. */
size_t events_read(struct events *ev, struct events_cursor *cursor, char *buf,
		   size_t len);
/* Bytes ever added: only grows. @ret_ms, which may be NULL: the time of the
 * last line, wall clock. */
uint64_t events_size(struct events *ev, uint64_t *ret_ms);

#endif
