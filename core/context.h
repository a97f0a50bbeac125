/*
 * context.h -- what the writer of a file had seen when it opened it: the
 * record's clock, and the version that was shown. The bytes are opaque to
 * everyone else, and live no longer than an open file.
 */
#ifndef CHEOPS_CORE_CONTEXT_H
#define CHEOPS_CORE_CONTEXT_H

#include "core/record.h"

struct context {
	struct vv clock;
	bool has_base;
	struct ch_hash base_vid;
	struct body_ref base;
	uint8_t base_syntax;
};

void context_init(struct context *c);
void context_release(struct context *c);
/* Of @r as it is now; @r may be NULL: nothing was there. */
void context_encode(const struct record *r, struct strbuf *sb);
/* @ret is initialized. 0, -EPROTO, -ENOMEM. */
int context_decode(struct ch_bytes in, struct context *ret);

#endif
