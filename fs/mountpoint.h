/*
 * mountpoint.h -- the folder that the tree is mounted on, before it is.
 */
#ifndef CHEOPS_FS_MOUNTPOINT_H
#define CHEOPS_FS_MOUNTPOINT_H

#include "core/err.h"
#include "fs/config.h"

/*
 * Unmount what a dead agent left on @path (ENOTCONN), and see that it is a
 * folder that can be mounted on: -ENOENT, -ENOTDIR, -EBUSY (a living cheops
 * is mounted there) and others, with a sentence.
 */
int mountpoint_prepare(const char *path, struct err *reterr);

/*
 * The agent must never wait for its own tree: -EINVAL where the store or a
 * driver's root is below @path, or @path is below one of them.
 */
int mountpoint_check_apart(const char *path, const struct config *cfg,
			   struct err *reterr);

#endif
