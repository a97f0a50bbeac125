/*
 * mount.h -- the mounted tree: libfuse's low-level API over the agent.
 */
#ifndef CHEOPS_FS_MOUNT_H
#define CHEOPS_FS_MOUNT_H

#include "core/err.h"
#include "fs/agent.h"
#include "fs/options.h"

/*
 * Mount, serve until the mount or the process is told to end, unmount. Blocks;
 * signals TERM, INT and HUP end it cleanly (they come in blocked). @ready is
 * called once, from a thread of ours, as soon as the tree answers. 0, or what
 * failed before that.
 */
int mount_run(struct agent *a, const struct options *opts,
	      void (*ready)(void *arg), void *arg, struct err *reterr);

#endif
