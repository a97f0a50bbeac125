/*
 * context.h -- what the writer of a file had seen when it opened it: the
 * record's clock, and the version of that file that was shown; and what it has
 * written through that open file since. A clock could not say that of its own
 * writes alone: what others wrote here in between has lesser dots. The bytes
 * are opaque to everyone else, and live no longer than an open file.
 */
#ifndef CHEOPS_CORE_CONTEXT_H
#define CHEOPS_CORE_CONTEXT_H

#include "core/record.h"

#define CONTEXT_OWN_MAX 16 /* Earlier ones count as not seen. */

struct context_own { /* Dots, in a row. */
	struct actor actor;
	uint64_t from, to;
};

struct context {
	struct ch_bytes name; /* Of the resource, then; borrowed. */
	struct ch_id lineage;
	struct vv clock;
	struct context_own own[CONTEXT_OWN_MAX]; /* Oldest first. */
	size_t n_own;
	bool has_base; /* A patch that was cleared is one of length 0. */
	struct ch_hash base_vid;
	struct body_ref base;
	uint8_t base_syntax;
};

void context_init(struct context *c);
void context_release(struct context *c);
/* Of @r as it is now, and of its entry that the file shows; either may be NULL:
 * nothing was there. */
void context_encode(const struct record *r, const struct entry *shown,
		    struct strbuf *sb);
/* Of a writer that had seen @c, and has now written @own; @entry is the version
 * among that, or NULL. */
void context_encode_next(const struct context *c, const struct context_own *own,
			 const struct entry *entry, struct strbuf *sb);
bool context_is_own(const struct context *c, const struct dot *d);
/* @ret is initialized, and borrows from @in. 0, -EPROTO, -ENOMEM. */
int context_decode(struct ch_bytes in, struct context *ret);
/* Had it seen what @e, an entry of @r, says? Under this name, or before a
 * rename brought it here. */
bool context_covers(const struct context *c, const struct record *r,
		    const struct entry *e);

#endif
