/* mountpoint.c -- see mountpoint.h. */
#include "fs/mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/path.h"

#define STALE_MAX 8 /* Mounts of dead agents, one on the other. */

extern char **environ;

/* What only root may do by a system call, fusermount3 does for its user. */
static int fusermount(const char *path)
{
	char name[] = "fusermount3", u[] = "-u", z[] = "-z", q[] = "-q",
	     end[] = "--";
	char *copy = strdup(path);
	char *argv[] = {name, u, z, q, end, copy, NULL};
	int status = 0, r;
	pid_t pid;

	if (!copy)
		return -ENOMEM;
	r = -posix_spawnp(&pid, name, NULL, NULL, argv, environ);
	free(copy);
	if (r < 0)
		return r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

static int unmount_stale(const char *path)
{
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		return 0;
	return errno == EPERM ? fusermount(path) : -errno;
}

/* Is a cheops mounted on @path, as its topmost mount? Its config is put into
 * @from then. */
static bool is_cheops(const char *path, char *from, size_t from_len)
{
	FILE *f = setmntent("/proc/self/mounts", "re");
	struct mntent m;
	char buf[4096];
	bool is = false;

	if (!f)
		return false;
	while (getmntent_r(f, &m, buf, sizeof(buf))) {
		if (strcmp(m.mnt_dir, path) != 0)
			continue;
		is = strcmp(m.mnt_type, "fuse.cheops") == 0;
		snprintf(from, from_len, "%s", m.mnt_fsname);
	}
	endmntent(f);
	return is;
}

int mountpoint_prepare(const char *path, struct err *reterr)
{
	char from[256] = "";
	struct statx st;
	int r = 0;

	for (unsigned int i = 0; i < STALE_MAX; i++) {
		/* The kernel knows the attributes of a mount whose agent died
		 * for a minute yet: ask the agent itself. */
		r = statx(AT_FDCWD, path, AT_STATX_FORCE_SYNC, STATX_TYPE,
			  &st) < 0
			    ? -errno
			    : 0;
		/* ECONNABORTED: its connection was aborted by hand. */
		if (r != -ENOTCONN && r != -ECONNABORTED)
			break;
		r = unmount_stale(path);
		if (r < 0)
			return err_set(reterr, r,
				       "%s is the mount of an agent that died, "
				       "and cannot be unmounted: %s; umount -l "
				       "it",
				       path, strerror(-r));
	}
	if (r == -ENOENT)
		return err_set(reterr, r,
			       "the mount point %s is not there; mkdir it",
			       path);
	if (r < 0)
		return err_set(reterr, r, "the mount point %s: %s", path,
			       strerror(-r));
	if (!S_ISDIR(st.stx_mode))
		return err_set(reterr, -ENOTDIR,
			       "the mount point %s is no directory; write one "
			       "that is",
			       path);
	if (is_cheops(path, from, sizeof(from)))
		return err_set(reterr, -EBUSY,
			       "a cheops, of %s, is mounted on %s already; "
			       "umount it, or write another mount point",
			       from, path);
	return 0;
}

static int check_folder(const char *path, const char *what, const char *folder,
			struct err *reterr)
{
	char *real = path_real(folder), *real_path = path_real(path);
	int r = 0;

	if (!real || !real_path)
		r = err_set(reterr, -ENOMEM, "no memory");
	else if (path_is_within(real, real_path))
		r = err_set(reterr, -EINVAL,
			    "%s %s is below the mount point %s, so the agent "
			    "would wait for itself; write a folder outside",
			    what, folder, path);
	else if (path_is_within(real_path, real))
		r = err_set(reterr, -EINVAL,
			    "the mount point %s is below %s %s, so the agent "
			    "would wait for itself; write one outside",
			    path, what, folder);
	free(real);
	free(real_path);
	return r;
}

int mountpoint_check_apart(const char *path, const struct config *cfg,
			   struct err *reterr)
{
	int r = check_folder(path, "store", cfg->store, reterr);

	if (r == 0 && cfg->directory_root)
		r = check_folder(path, "drivers.directory.root",
				 cfg->directory_root, reterr);
	return r;
}
