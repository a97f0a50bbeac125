/*
 * dir.c -- the directory of a site: whose it is, and how much room it has.
 *
 * The lock is one of an open file description: it ends when its last holder
 * does, however that came about, and what stands in the file counts only as
 * long as the lock is held.
 */
#include "drivers/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "drivers/store/private.h"

#define LOCK_FILE "lock"
#define LOCK_WAIT_MS 3000
#define LOCK_PAUSE_MS 20
#define BALLAST_FILE "ballast"
#define PROBE_FILE ".probe"

#define BALLAST_BYTES_MAX (64u << 20)
#define BALLAST_PART 20 /* One in so many bytes of the filesystem. */
#define PROBE_BYTES 4096

struct store_dir {
	int fd;
	int lock;
	uint64_t ballast_bytes; /* What it should have. */
	char *path;
	char *db;
};

/* What was just made in the directory above is there after a crash, too. */
static int parent_sync(int dirfd)
{
	int fd, r = 0;

	fd = openat(dirfd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		r = -errno;
	close(fd);
	return r;
}

/* Open @path, ours alone, made if need be. The descriptor, or the errno. */
static int dir_open(const char *path, struct err *reterr)
{
	bool fresh = mkdir(path, 0700) == 0;
	struct stat st;
	int fd, r;

	if (!fresh && errno != EEXIST)
		return err_set(reterr, -errno, "make the store '%s': %s", path,
			       strerror(errno));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(reterr, -errno, "open the store '%s': %s", path,
			       strerror(errno));
	if (fstat(fd, &st) < 0) {
		r = err_set(reterr, -errno, "stat the store '%s': %s", path,
			    strerror(errno));
		goto fail;
	}
	if (st.st_uid != geteuid()) {
		r = err_set(reterr, -EPERM,
			    "store '%s' belongs to user %u, and this is user "
			    "%u: run cheops as that user, or chown it",
			    path, (unsigned)st.st_uid, (unsigned)geteuid());
		goto fail;
	}
	if ((st.st_mode & 0777) != 0700 && fchmod(fd, 0700) < 0) {
		r = err_set(reterr, -errno,
			    "close the store '%s' to others: "
			    "%s",
			    path, strerror(errno));
		goto fail;
	}
	r = fresh ? parent_sync(fd) : 0;
	if (r < 0) {
		err_set(reterr, r, "sync the directory of '%s': %s", path,
			strerror(-r));
		goto fail;
	}
	return fd;

fail:
	close(fd);
	return r;
}

/* Say who has the lock on @fd, as far as its file tells. */
static int lock_refused(int fd, const char *path, struct err *reterr)
{
	char line[4096 + 32], *mountpoint, *end;
	ssize_t len;

	len = pread(fd, line, sizeof(line) - 1, 0);
	line[len > 0 ? len : 0] = '\0';
	end = strchr(line, '\n');
	mountpoint = strchr(line, ' ');
	if (!end || !mountpoint || mountpoint > end)
		return err_set(
			reterr, -EBUSY,
			"store '%s' is used by another process: stop it, "
			"or name another store",
			path);
	*end = '\0';
	*mountpoint++ = '\0';
	return err_set(reterr, -EBUSY,
		       "store '%s' is used by process %s, mounted at %s: stop "
		       "it, or name another store",
		       path, line, mountpoint);
}

/* The holder's line. On a full disk the lock holds without it. */
static int lock_sign(int fd, const char *mountpoint)
{
	char line[4096 + 32];
	int len;

	len = snprintf(line, sizeof(line), "%ld %s", (long)getpid(),
		       mountpoint);
	if (len < 0 || (size_t)len >= sizeof(line) - 1)
		return -ENAMETOOLONG;
	for (char *c = line; *c; c++)
		if (*c == '\n')
			*c = '?';
	line[len++] = '\n';
	if (pwrite(fd, line, (size_t)len, 0) < 0)
		return errno == ENOSPC || errno == EDQUOT ? 0 : -errno;
	return ftruncate(fd, len) < 0 ? -errno : 0;
}

/* The descriptor that holds the lock, or the errno. */
static int lock_take(int dirfd, const char *path, const char *mountpoint,
		     struct err *reterr)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd, r;

	fd = openat(dirfd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		    0600);
	if (fd < 0)
		return err_set(reterr, -errno, "open '%s/%s': %s", path,
			       LOCK_FILE, strerror(errno));
	if (fcntl(fd, F_OFD_SETLK, &whole) < 0) {
		r = -errno;
		if (r == -EAGAIN || r == -EACCES)
			r = lock_refused(fd, path, reterr);
		else
			err_set(reterr, r, "lock '%s/%s': %s", path, LOCK_FILE,
				strerror(-r));
		goto fail;
	}
	r = lock_sign(fd, mountpoint);
	if (r < 0) {
		err_set(reterr, r, "write '%s/%s': %s", path, LOCK_FILE,
			strerror(-r));
		goto fail;
	}
	return fd;

fail:
	close(fd);
	return r;
}

void store_dir_bytes(const struct store_dir *d, uint64_t *ret_free,
		     uint64_t *ret_total)
{
	struct statvfs vfs;

	*ret_free = 0;
	*ret_total = 0;
	if (fstatvfs(d->fd, &vfs) < 0)
		return;
	*ret_free = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	*ret_total = (uint64_t)vfs.f_blocks * vfs.f_frsize;
}

/* An agent whose mount has just ended takes a moment to close its store: who
 * starts the next one at once need not know. */
static int lock_wait(int dirfd, const char *path, const char *mountpoint,
		     struct err *reterr)
{
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000L};
	int r = lock_take(dirfd, path, mountpoint, reterr);

	for (int ms = 0; r == -EBUSY && ms < LOCK_WAIT_MS; ms += LOCK_PAUSE_MS) {
		nanosleep(&pause, NULL);
		r = lock_take(dirfd, path, mountpoint, reterr);
	}
	return r;
}

int store_dir_open(const char *path, const char *mountpoint,
		   struct store_dir **ret_dir, struct err *reterr)
{
	uint64_t free_bytes, total_bytes;
	struct store_dir *d;
	int r;

	d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(reterr, -ENOMEM, "no memory for a store");
	d->fd = -1;
	d->lock = -1;
	d->path = strdup(path);
	if (!d->path || asprintf(&d->db, "%s/db", path) < 0) {
		d->db = NULL;
		r = err_set(reterr, -ENOMEM, "no memory for a store");
		goto fail;
	}
	r = dir_open(path, reterr);
	if (r < 0)
		goto fail;
	d->fd = r;
	r = lock_wait(d->fd, path, mountpoint, reterr);
	if (r < 0)
		goto fail;
	d->lock = r;

	store_dir_bytes(d, &free_bytes, &total_bytes);
	d->ballast_bytes = total_bytes / BALLAST_PART;
	if (d->ballast_bytes > BALLAST_BYTES_MAX)
		d->ballast_bytes = BALLAST_BYTES_MAX;
	r = store_dir_ballast_make(d);
	if (r < 0 && r != -ENOSPC) {
		err_set(reterr, r, "make '%s/%s': %s", path, BALLAST_FILE,
			strerror(-r));
		goto fail;
	}
	*ret_dir = d;
	return 0;

fail:
	store_dir_close(d);
	return r;
}

void store_dir_close(struct store_dir *d)
{
	if (!d)
		return;
	if (d->lock >= 0)
		close(d->lock);
	if (d->fd >= 0)
		close(d->fd);
	free(d->db);
	free(d->path);
	free(d);
}

int store_dir_fd(const struct store_dir *d)
{
	return d->fd;
}

const char *store_dir_db(const struct store_dir *d)
{
	return d->db;
}

enum store_space store_dir_space(const struct store_dir *d)
{
	uint64_t free_bytes, total_bytes;

	store_dir_bytes(d, &free_bytes, &total_bytes);
	return free_bytes < 2 * d->ballast_bytes ? STORE_SPACE_LOW
						 : STORE_SPACE_OK;
}

void store_dir_ballast_drop(struct store_dir *d)
{
	/* Unlinked, it gives nothing back while somebody has it open. */
	int fd = openat(d->fd, BALLAST_FILE,
			O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0)
		close(fd);
	(void)unlinkat(d->fd, BALLAST_FILE, 0);
}

/* Where the filesystem cannot reserve: bytes that it has to keep. */
static int ballast_fill(int fd, uint64_t len)
{
	static const char zeros[1 << 16];

	for (uint64_t at = 0; at < len;) {
		uint64_t want = len - at;
		ssize_t n;

		if (want > sizeof(zeros))
			want = sizeof(zeros);
		n = pwrite(fd, zeros, (size_t)want, (off_t)at);
		if (n < 0)
			return -errno;
		at += (uint64_t)n;
	}
	return 0;
}

static int ballast_reserve(int fd, uint64_t len)
{
	struct stat st;
	int r = 0;

	if (fstat(fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size == len && (uint64_t)st.st_blocks * 512 >= len)
		return 0;
	if (ftruncate(fd, 0) < 0)
		return -errno;
	if (fallocate(fd, 0, 0, (off_t)len) < 0)
		r = errno == EOPNOTSUPP ? ballast_fill(fd, len) : -errno;
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r;
}

int store_dir_ballast_make(struct store_dir *d)
{
	int fd, r;

	if (d->ballast_bytes == 0)
		return 0;
	fd = openat(d->fd, BALLAST_FILE,
		    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return errno == EDQUOT ? -ENOSPC : -errno;
	r = ballast_reserve(fd, d->ballast_bytes);
	close(fd);
	/* A part of it would be of no use, and take what others need. */
	if (r < 0)
		store_dir_ballast_drop(d);
	return r == -EDQUOT ? -ENOSPC : r;
}

int store_dir_probe(const struct store_dir *d)
{
	static const char zeros[PROBE_BYTES];
	int fd, r = 0;

	fd = openat(d->fd, PROBE_FILE,
		    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		    0600);
	if (fd < 0)
		return -errno;
	errno = ENOSPC; /* What a write that did a part would meet next. */
	if (write(fd, zeros, sizeof(zeros)) != (ssize_t)sizeof(zeros) ||
	    fdatasync(fd) < 0)
		r = -errno;
	close(fd);
	(void)unlinkat(d->fd, PROBE_FILE, 0);
	return r;
}
