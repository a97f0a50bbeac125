/*
 * arena.h -- memory that is freed all at once.
 *
 * Everything taken from an arena lives until arena_release(). What cannot be
 * had is NULL, and the arena remembers: arena_error() asks once at the end.
 */
#ifndef CHEOPS_CORE_ARENA_H
#define CHEOPS_CORE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "core/strbuf.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks;
	bool bad;
};

void arena_init(struct arena *a);
void arena_release(struct arena *a);
int arena_error(const struct arena *a); /* 0 or -ENOMEM */

/* Zeroed, aligned for any type. */
void *arena_alloc(struct arena *a, size_t size);
/* Copies; arena_str() adds a NUL, and never returns NULL: without memory it
 * is "", and the arena is bad. */
struct ch_bytes arena_bytes(struct arena *a, struct ch_bytes b);
const char *arena_str(struct arena *a, struct ch_bytes b);

#endif
