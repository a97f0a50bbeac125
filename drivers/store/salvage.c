/*
 * salvage.c -- what can be saved of a database that is damaged.
 *
 * First a copy is put aside, so that nothing is given up: PATH.damaged-N, its
 * tables linked (they never change), its logs copied. Then, until one opens:
 *
 *   1. its log is read up to where it is damaged, unless it is a table that is;
 *   2. RocksDB's repair gathers what tables and logs it can read;
 *   3. it is begun anew, empty.
 *
 * Whatever opens is older than it was: the engine must be told (cfg.restored).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drivers/store/rocksdb_private.h"

#define COPIES_MAX 9 /* Then a person should look at that disk. */

static int copy_bytes(int from, int to)
{
	char buf[1 << 16];
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		errno = ENOSPC; /* What a write that did a part meets next. */
		if (write(to, buf, (size_t)n) != n)
			return -errno;
	}
	return n < 0 || fsync(to) < 0 ? -errno : 0;
}

static int copy_file(int from_dir, int to_dir, const char *name)
{
	int from, to, r;

	from = openat(from_dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (from < 0)
		return -errno;
	to = openat(to_dir, name,
		    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		    0600);
	r = to < 0 ? -errno : copy_bytes(from, to);
	if (to >= 0)
		close(to);
	close(from);
	return r;
}

static bool ends_in(const char *name, const char *end)
{
	size_t len = strlen(name), end_len = strlen(end);

	return len > end_len && strcmp(name + len - end_len, end) == 0;
}

/* Each regular file of @from_dir to @to_dir. */
static int copy_all(int from_dir, int to_dir)
{
	struct dirent *e;
	struct stat st;
	int fd, r = 0;
	DIR *dir;

	fd = openat(from_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	while (r == 0 && (e = readdir(dir))) {
		if (fstatat(from_dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) <
			    0 ||
		    !S_ISREG(st.st_mode))
			continue;
		if (ends_in(e->d_name, ".sst") &&
		    linkat(from_dir, e->d_name, to_dir, e->d_name, 0) == 0)
			continue;
		r = copy_file(from_dir, to_dir, e->d_name);
	}
	closedir(dir);
	return r < 0 ? r : fsync(to_dir) < 0 ? -errno : 0;
}

static int copy_dir(const char *from, const char *to)
{
	int from_fd, to_fd, r = 0;

	from_fd = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	to_fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from_fd < 0 || to_fd < 0)
		r = -errno;
	if (r == 0)
		r = copy_all(from_fd, to_fd);
	if (from_fd >= 0)
		close(from_fd);
	if (to_fd >= 0)
		close(to_fd);
	return r;
}

/* Make the first PATH.damaged-N that is not there. */
static int make_aside(const char *path, char *ret_aside, size_t size)
{
	for (int i = 1; i <= COPIES_MAX; i++) {
		if (snprintf(ret_aside, size, "%s.damaged-%d", path, i) >=
		    (int)size)
			return -ENAMETOOLONG;
		if (mkdir(ret_aside, 0700) == 0)
			return 0;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	return ftw->level && remove(path) < 0 ? -1 : 0;
}

/* All that is in @path. */
static int remove_all(const char *path)
{
	return nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0
		       ? -errno
		       : 0;
}

/* Where CURRENT is gone, or names nothing: the last manifest that is there. */
static int point_to_manifest(const char *path)
{
	char name[64] = "", text[80] = "";
	struct dirent *e;
	int fd, r = 0;
	DIR *dir;

	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((e = readdir(dir)))
		if (strncmp(e->d_name, "MANIFEST-", 9) == 0 &&
		    strlen(e->d_name) < sizeof(name) &&
		    strcmp(e->d_name, name) > 0)
			memcpy(name, e->d_name, strlen(e->d_name) + 1);
	fd = openat(dirfd(dir), "CURRENT", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		r = -errno;
	text[strcspn(text, "\n")] = '\0';
	if (r == 0 && name[0] &&
	    (strncmp(text, "MANIFEST-", 9) != 0 ||
	     faccessat(dirfd(dir), text, F_OK, 0) < 0)) {
		(void)snprintf(text, sizeof(text), "%s\n", name);
		errno = ENOSPC;
		if (ftruncate(fd, 0) < 0 ||
		    pwrite(fd, text, strlen(text), 0) !=
			    (ssize_t)strlen(text) ||
		    fsync(fd) < 0)
			r = -errno;
	}
	if (fd >= 0)
		close(fd);
	closedir(dir);
	return r;
}

static int put_aside(const char *path, char *ret_aside, size_t size,
		     struct err *reterr)
{
	bool made;
	int r;

	r = make_aside(path, ret_aside, size);
	made = r == 0;
	if (r == -EEXIST)
		return err_set(reterr, -EIO,
			       "'%s' is damaged, and so it was %d times "
			       "before: look at its disk, then remove the "
			       "copies %s.damaged-*",
			       path, COPIES_MAX, path);
	if (r == 0)
		r = copy_dir(path, ret_aside);
	if (r < 0) {
		if (made) { /* Half a copy is none. */
			(void)remove_all(ret_aside);
			(void)rmdir(ret_aside);
		}
		err_set(reterr, r,
			"'%s' is damaged, and no copy of it can be put aside: "
			"%s",
			path, strerror(-r));
	}
	return r;
}

static int remove_logs(const char *path)
{
	struct dirent *e;
	DIR *dir = opendir(path);
	int r = 0;

	if (!dir)
		return -errno;
	while (r == 0 && (e = readdir(dir)))
		if (ends_in(e->d_name, ".log") &&
		    unlinkat(dirfd(dir), e->d_name, 0) < 0)
			r = -errno;
	closedir(dir);
	return r;
}

/* Repaired from all of it; or from its tables, since a log that repeats what
 * they hold (it is let go later than it could be) is more than RocksDB can
 * bring together. */
static int repair(const char *path, const char *aside, const char **ret_how,
		  struct store **ret_store, struct err *reterr)
{
	int r;

	*ret_how = "what could be read of it was gathered";
	r = rocks_repair(path, reterr);
	if (r == 0)
		r = rocks_open(path, ROCKS_REPAIRED, ret_store, reterr);
	if (r != -EUCLEAN)
		return r;
	*ret_how = "what could be read of its tables was gathered, and its log "
		   "left out";
	r = remove_all(path);
	if (r == 0)
		r = copy_dir(aside, path);
	if (r == 0)
		r = remove_logs(path);
	if (r == 0)
		r = rocks_repair(path, reterr);
	return r == 0 ? rocks_open(path, ROCKS_REPAIRED, ret_store, reterr) : r;
}

int store_rocks_salvage(const char *path, bool opens, struct store **ret_store,
			struct err *reterr)
{
	struct err err = ERR_INIT;
	char aside[4096];
	const char *how;
	int r;

	r = put_aside(path, aside, sizeof(aside), reterr);
	if (r == 0)
		r = point_to_manifest(path);
	if (r < 0)
		return r;
	how = "all of its log up to the damage was read";
	r = opens ? -EUCLEAN
		  : rocks_open(path, ROCKS_UP_TO_DAMAGE, ret_store, &err);
	if (r == -EUCLEAN)
		r = repair(path, aside, &how, ret_store, &err);
	if (r == -EUCLEAN || r == -EIO) {
		how = "nothing of it could be read, and it is empty now";
		r = remove_all(path);
		if (r == 0)
			r = rocks_open(path, ROCKS_STRICT, ret_store, &err);
	}
	if (r < 0)
		return err_set(reterr, r, "%s", err.text);
	(void)err_set(reterr, -EUCLEAN,
		      "'%s' was damaged: %s; what it was is in '%s'", path, how,
		      aside);
	return 0;
}
