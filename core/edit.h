/*
 * edit.h -- a record while a user's wish is written into it: what the parts of
 * change.c share.
 *
 *	change.c     what users ask for
 *	write.c      writes to the files of a resource
 *	restore.c    what was deleted, or is held, comes back
 */
#ifndef CHEOPS_CORE_EDIT_H
#define CHEOPS_CORE_EDIT_H

#include "core/engine.h"

/* The record a change is made to, before and after. */
struct edit {
	struct record r, old;
	uint64_t seq;
	bool was_stored; /* Else old is what a certificate knows. */
};

/* To be closed, also after an error. 0 or below. */
int edit_open(struct ch_engine *e, struct ch_bytes name, struct edit *x);
void edit_close(struct edit *x);
/* 1: it has grown too large, and @s is answered. */
int edit_save(struct ch_engine *e, const struct ch_submit *s, struct edit *x);
/* Open an edit of a resource that is there; else 1, and @s is answered. */
int edit_there(struct ch_engine *e, const struct ch_submit *s, struct edit *x);
/* Write @entry in place of what @ctx has seen (NULL: all); its dot, time and
 * payload are made here. */
int edit_put(struct ch_engine *e, struct record *r, const struct vv *ctx,
	     struct entry *entry);
/* @rc 0: it is done, and @s is told; 1: it was answered; below. */
int edit_answer(struct ch_engine *e, const struct ch_submit *s, int rc);
/* No driver touches it for @ms; 0: no hold. */
int edit_hold(struct ch_engine *e, struct record *r, uint64_t ms,
	      struct ch_bytes user);
/* One that nobody has, or can guess. */
struct ch_id edit_lineage(struct ch_engine *e, struct ch_bytes name);
/* write.c: CH_WRITE. */
int write_file(struct ch_engine *e, const struct ch_submit *submit);
/* restore.c: CH_RESTORE. */
int restore_trash(struct ch_engine *e, const struct ch_submit *s);
/* restore.c: CH_KEEP. */
int restore_held(struct ch_engine *e, const struct ch_submit *s);

#endif
