/*
 * cowmap.h -- an ordered map in memory whose copies are free.
 *
 * A map is an AVL tree of counted nodes that copies share. A change copies
 * the path it walks, except for nodes that nobody else holds: so a copy is a
 * snapshot, and a writer at work is never seen. Keys and values are held
 * apart from the nodes, and never copied.
 *
 * Invariants (cowmap_check() proves them):
 *
 *   M1  Keys grow from left to right, as memcmp() and then length order them.
 *   M2  Heights of siblings differ by one at most; a node knows its own.
 *   M3  cowmap.n counts the pairs; cowmap.bytes what they take, nodes included.
 *
 * Threads: different copies may be used by different threads at once, though
 * they share nodes. One copy is one thread's at a time.
 */
#ifndef CHEOPS_DRIVERS_STORE_COWMAP_H
#define CHEOPS_DRIVERS_STORE_COWMAP_H

#include <stddef.h>

#include "core/reader.h"

struct cowmap_node;

struct cowmap {
	struct cowmap_node *root;
	size_t n;
	size_t bytes;
};

/* Empty. release() leaves it empty and ready for use, and may be repeated. */
void cowmap_init(struct cowmap *m);
void cowmap_release(struct cowmap *m);

/* A copy of @m, to be released by itself. Takes constant time. */
struct cowmap cowmap_copy(const struct cowmap *m);

/*
 * 0 or -ENOMEM; after that @m is good for cowmap_release() alone. Deleting what
 * is not there is no error. Logarithmic in cowmap.n.
 */
int cowmap_put(struct cowmap *m, struct ch_bytes key, struct ch_bytes value);
int cowmap_del(struct cowmap *m, struct ch_bytes key);

/* 0 and the value, borrowed from @m; or -ENOENT. */
int cowmap_get(const struct cowmap *m, struct ch_bytes key,
	       struct ch_bytes *ret_value);

/* As ch_reader.scan(), over @m. */
int cowmap_scan(const struct cowmap *m, struct ch_bytes prefix,
		struct ch_bytes from, ch_scan_fn *fn, void *arg);

/* The order of keys: below 0, 0, above 0. */
int cowmap_key_cmp(struct ch_bytes a, struct ch_bytes b);

/* Crash unless M1 to M3 hold. Linear in cowmap.n: for tests. */
void cowmap_check(const struct cowmap *m);

#endif
