/*
 * entry.h -- what is told to the kernel about a name, and counted.
 */
#ifndef CHEOPS_FS_ENTRY_H
#define CHEOPS_FS_ENTRY_H

#include "core/view.h"
#include "fs/ops.h"

/* Fill an answer about @n and count one lookup. Takes over the caller's
 * reference, also when it fails: -ENOENT, -EIO, -ENOMEM. */
int entry_take(struct mnt *m, const struct view *v, struct node *n,
	       const struct view_resource *info, struct fuse_entry_param *ret);
/* The answer did not reach the kernel. */
void entry_undo(struct mnt *m, fuse_ino_t ino);
void entry_forget(struct mnt *m, fuse_ino_t ino, uint64_t n);

/* Make a scratch file, directory or link (@target) in @dir. 0 and a node that
 * is held; -EEXIST, -EPERM, -EINVAL, -ENAMETOOLONG, -EDQUOT, -EFBIG, -ENOMEM.
 */
int entry_scratch_new(fuse_req_t req, struct node *dir, const char *name,
		      enum node_kind kind, mode_t mode, const char *target,
		      struct node **ret_node);
/* The same, and answer the request. */
void entry_scratch(fuse_req_t req, struct node *dir, const char *name,
		   enum node_kind kind, mode_t mode, const char *target);

#endif
