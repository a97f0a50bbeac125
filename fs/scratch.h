/*
 * scratch.h -- names that only this mount knows: editors' swap and temporary
 * files, and names of the tree's own files that were unlinked or renamed and
 * are hidden until they are written again.
 *
 * Never replicated, gone with the mount. A directory that has such names is
 * kept in the node table by them. Called with the mount's lock held.
 */
#ifndef CHEOPS_FS_SCRATCH_H
#define CHEOPS_FS_SCRATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/cheops.h"
#include "core/strbuf.h"
#include "fs/inode.h"

#define SCRATCH_LEN_MAX CH_SPEC_MAX /* Bytes of a file. */
#define SCRATCH_NAMES_MAX 64        /* Of a directory. */
#define SCRATCH_HIDE_MS 5000

struct scratch {            /* A node's own content. */
	struct strbuf data; /* A link's target, too. */
	mode_t mode;        /* Permission bits. */
	uid_t uid;
	gid_t gid;
	int64_t mtime_ns;
	/* What had been seen of the files beside it when it was made. */
	struct strbuf context[CH_FILES];
	bool seen[CH_FILES];
};

struct scratch_name {
	struct list link;
	struct node *node;    /* Held; NULL: the name is hidden. */
	int64_t hidden_until; /* Monotonic ms. */
	char name[];
};

/* The node's content, made empty. NULL: no memory. */
struct scratch *scratch_new(struct node *n);
void scratch_free(struct scratch *s); /* Takes NULL. */

/* Borrowed or NULL. A hidden name whose time is over is dropped. */
struct scratch_name *scratch_find(struct inodes *t, struct node *dir,
				  const char *name, int64_t now_ms);
/* 0; -ENOMEM; -EDQUOT: too many. */
int scratch_add(struct inodes *t, struct node *dir, const char *name,
		struct node *node);
int scratch_hide(struct inodes *t, struct node *dir, const char *name,
		 int64_t until_ms);
void scratch_del(struct inodes *t, struct node *dir, struct scratch_name *e);
/* All names of @dir, when it is gone from the tree. */
void scratch_clear(struct inodes *t, struct node *dir);
/* Free what a node holds, without telling others: its table is released. */
void scratch_release(struct node_more *more);

#endif
