/*
 * inode.h -- the node table: what the kernel knows of the tree.
 *
 * A node is one file or directory that the kernel has looked up, or that we
 * must remember (a scratch file, a directory that holds some). Nothing of a
 * resource's content is in it: that is read from the store each time.
 *
 *   N1  A node's number is never used again, for another node or later.
 *   N2  At most one hashed node has a given identity (kind, name, site).
 *   N3  A node that is no longer hashed is gone from the tree; it lives on
 *       while the kernel, a handle or a request holds it.
 *   N4  An identity is never changed, only replaced: whoever read n->id under
 *       the lock may use it while it holds the node.
 *
 * Everything here is called with the mount's lock held.
 */
#ifndef CHEOPS_FS_INODE_H
#define CHEOPS_FS_INODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/list.h"
#include "fs/kind.h"

struct scratch;

struct node_id {
	enum node_kind kind;
	const char *name; /* Resource, trash name or driver; "" where none. */
	const char *site; /* Site, or a file of conflicts/; "" where none. */
	uint64_t hash;    /* Of the three: the st_ino. */
	struct node_id *older;
	char text[];
};

/* What few nodes need. */
struct node_more {
	struct list names;       /* Directory: struct scratch_name. */
	size_t n_names;          /* Of them that are there (not hidden). */
	uint64_t n_changes;      /* Of names. */
	struct list waiting;     /* Commits that wait for their turn. */
	size_t n_commits;        /* Under way. */
	bool append;             /* One of them appends. */
	size_t n_writers;        /* Handles that may commit. */
	struct scratch *scratch; /* Of a NODE_SCRATCH... */
};

struct node {
	struct node *id_next, *no_next;
	struct node_id *id;
	uint64_t no;      /* The kernel's nodeid. */
	uint64_t ino_old; /* st_ino before the last inode_become(). */
	uint64_t n_lookup;
	uint32_t refs;
	bool hashed;
	bool moving; /* Being renamed: what has its name now is not it. */
	bool cached; /* The kernel may keep its attributes: mnt_stale(). */
	bool tagged, mtime_set; /* attr.c: these and what follows. */
	uint64_t tag;
	int64_t mtime_ns;
	uint64_t len;
	struct node *parent; /* Held; NULL for the root. */
	struct list children, sibling;
	struct node_more *more;
};

struct inodes {
	struct node **by_id, **by_no;
	size_t n, mask;
	uint64_t no_last;
	uint64_t n_loose;
	struct node *root;
};

/* 0, or -ENOMEM. release() frees all nodes, held or not. */
int inodes_init(struct inodes *t);
void inodes_release(struct inodes *t);

/* Borrowed, or NULL. */
struct node *inode_by_no(const struct inodes *t, uint64_t no);
struct node *inode_find(const struct inodes *t, enum node_kind kind,
			const char *name, const char *site);

/* Find or make; the caller gets a reference. NULL: no memory. */
struct node *inode_get(struct inodes *t, struct node *parent,
		       enum node_kind kind, const char *name, const char *site);
/* A node that no lookup finds by its identity; its st_ino is its own. */
struct node *inode_new_loose(struct inodes *t, struct node *parent,
			     enum node_kind kind, const char *name,
			     const char *site);

struct node *inode_ref(struct node *n);
void inode_unref(struct inodes *t, struct node *n); /* Takes NULL. */

/* The kernel was told of it once more; it forgets @n of these. */
void inode_looked_up(struct node *n);
void inode_forget(struct inodes *t, struct node *node, uint64_t n);

/* It, and all below it, are gone from the tree. */
void inode_unhash(struct inodes *t, struct node *n);

/* The same node is from now on another file, in @parent: the kernel has moved
 * it. Whoever had that identity is unhashed. 0, or -ENOMEM: nothing changed. */
int inode_become(struct inodes *t, struct node *n, struct node *parent,
		 enum node_kind kind, const char *name, const char *site);

/* n->more, made if it is not there. NULL: no memory. */
struct node_more *inode_more(struct node *n);
/* One of its n_writers is gone: what nothing needs is freed. */
void inode_less(struct node *n);

/* Call @fn for each node below @n (itself too): it may not change the table. */
typedef void inode_fn(void *arg, struct node *n);
void inode_walk(struct node *n, inode_fn *fn, void *arg);

/* The st_ino of what has that identity. */
uint64_t inode_number(enum node_kind kind, const char *name, const char *site);
/* And of a resource's directory, which keeps it whatever it is called. */
uint64_t inode_of_lineage(uint64_t lineage);

/* 64-bit hash that goes on from @seed. */
uint64_t inode_hash(uint64_t seed, const void *p, size_t len);

#endif
