/*
 * map.h -- a hash map from bytes to pointers. Copies its keys.
 */
#ifndef CHEOPS_CORE_MAP_H
#define CHEOPS_CORE_MAP_H

#include <stddef.h>

#include "core/strbuf.h"

struct map_node {
	struct map_node *next;
	void *value;
	size_t len;
	char key[];
};

struct map {
	struct map_node **bucket;
	size_t n_buckets, n;
};

void map_init(struct map *m);
/* Frees keys and nodes; @free_value (NULL: none) frees each value. */
void map_release(struct map *m, void (*free_value)(void *value));

/* NULL when it is not there. */
void *map_get(const struct map *m, struct ch_bytes key);
/* The value replaces what was there (the caller frees that). 0, -ENOMEM. */
int map_put(struct map *m, struct ch_bytes key, void *value);
/* Returns the value that was there, or NULL. */
void *map_del(struct map *m, struct ch_bytes key);

/* Walk, in no order that may show: start with NULLs. */
struct map_node *map_next(const struct map *m, size_t *bucket,
			  struct map_node *node);

#endif
