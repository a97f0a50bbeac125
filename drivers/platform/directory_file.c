/* directory_file.c -- see directory_file.h. */
#include "drivers/platform/directory_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define TMP_LEN (sizeof(DIRECTORY_TMP) - 1 + 8)
/* Above any spec: what is larger differs, and is not read. */
#define READ_LEN_MAX (64u * 1024u * 1024u)

static int fail(const struct directory_place *at, int r, const char *what,
		struct err *reterr)
{
	return err_set(reterr, r, "%s/%s: %s: %s", at->root, at->name, what,
		       strerror(-r));
}

/* The regular file, opened. -ENOENT; -EEXIST: something else is there. */
static int open_regular(const struct directory_place *at, struct stat *ret_st)
{
	int fd, r;

	/* Asked first, since opening a device is an act upon it. */
	if (fstatat(at->fd, at->name, ret_st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISREG(ret_st->st_mode))
		return -EEXIST;
	fd = openat(at->fd, at->name,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return errno == ELOOP || errno == ENXIO ? -EEXIST : -errno;
	if (fstat(fd, ret_st) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	if (!S_ISREG(ret_st->st_mode)) {
		close(fd);
		return -EEXIST;
	}
	return fd;
}

/* The hash of all its bytes; -EFBIG above READ_LEN_MAX. */
static int hash_file(int fd, struct ch_hash *ret_hash)
{
	struct sha256_ctx ctx;
	uint8_t part[16384];
	size_t len = 0;

	sha256_init(&ctx);
	for (;;) {
		ssize_t got = read(fd, part, sizeof(part));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		len += (size_t)got;
		if (len > READ_LEN_MAX)
			return -EFBIG;
		sha256_update(&ctx, (size_t)got, part);
	}
	sha256_digest(&ctx, sizeof(ret_hash->b), ret_hash->b);
	return 0;
}

int directory_look(const struct directory_place *at, const struct ch_hash *want,
		   struct directory_look *ret_look, struct err *reterr)
{
	struct directory_look look = {.kind = DIRECTORY_ABSENT};
	int fd, r;

	fd = open_regular(at, &look.st);
	if (fd == -ENOENT || fd == -EEXIST) {
		if (fd == -EEXIST)
			look.kind = DIRECTORY_OTHER;
		*ret_look = look;
		return 0;
	}
	if (fd < 0)
		return fail(at, fd, "open", reterr);
	r = hash_file(fd, &look.hash);
	close(fd);
	if (r < 0 && r != -EFBIG)
		return fail(at, r, "read", reterr);
	look.hashed = r == 0;
	look.kind = look.hashed && hash_cmp(&look.hash, want) == 0
			    ? DIRECTORY_SAME
			    : DIRECTORY_DIFFERS;
	*ret_look = look;
	return 0;
}

static int write_all(int fd, struct ch_bytes bytes)
{
	const char *p = bytes.p;

	for (size_t done = 0; done < bytes.len;) {
		ssize_t n = write(fd, p + done, bytes.len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

/* A new file of a name that nobody has. */
static int open_tmp(int dir, char name[static TMP_LEN + 1])
{
	for (unsigned int tries = 0;; tries++) {
		uint32_t random = 0;
		int fd;

		if (getrandom(&random, sizeof(random), 0) < 0)
			return -errno;
		snprintf(name, TMP_LEN + 1, DIRECTORY_TMP "%08x", random);
		fd = openat(dir, name,
			    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW |
				    O_CLOEXEC,
			    0600);
		if (fd >= 0)
			return fd;
		if (errno != EEXIST || tries == 100)
			return -errno;
	}
}

static int rename_tmp(const struct directory_place *at, const char *tmp,
		      bool replace)
{
	if (!replace) {
		if (renameat2(at->fd, tmp, at->fd, at->name,
			      RENAME_NOREPLACE) == 0)
			return 0;
		/* Not every filesystem knows how; the look before this call
		 * found nothing, so little can be lost. */
		if (errno != EINVAL && errno != ENOSYS)
			return -errno;
	}
	return renameat(at->fd, tmp, at->fd, at->name) < 0 ? -errno : 0;
}

int directory_put(const struct directory_place *at, struct ch_bytes bytes,
		  mode_t mode, bool replace, struct err *reterr)
{
	char tmp[TMP_LEN + 1];
	const char *what = "make a temporary file beside it";
	int fd, r;

	fd = open_tmp(at->fd, tmp);
	if (fd < 0)
		return fail(at, fd, what, reterr);
	what = "write";
	r = write_all(fd, bytes);
	/* What comes late, such as a quota or a network disk's errors, is told
	 * by fsync(), or by close(). */
	if (r == 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0) {
		what = "rename";
		r = rename_tmp(at, tmp, replace);
	}
	if (r < 0) {
		unlinkat(at->fd, tmp, 0);
		return fail(at, r, what, reterr);
	}
	if (fsync(at->fd) < 0)
		return fail(at, -errno, "sync the folder", reterr);
	return 0;
}

int directory_keep(const struct directory_place *at, mode_t mode,
		   struct err *reterr)
{
	struct stat st;
	int fd, r = 0;

	fd = open_regular(at, &st);
	if (fd < 0)
		return fail(at, fd, "open", reterr);
	if ((st.st_mode & 07777) != mode && fchmod(fd, mode) < 0)
		r = -errno;
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	close(fd);
	if (r == 0 && fsync(at->fd) < 0)
		r = -errno;
	return r < 0 ? fail(at, r, "sync", reterr) : 0;
}

int directory_remove(const struct directory_place *at, struct err *reterr)
{
	int gone = 0;

	if (unlinkat(at->fd, at->name, 0) < 0) {
		if (errno != ENOENT)
			return fail(at, -errno, "remove", reterr);
		gone = 1;
	}
	if (fsync(at->fd) < 0)
		return fail(at, -errno, "sync the folder", reterr);
	return gone;
}

void directory_clean(int fd)
{
	struct dirent *e;
	DIR *dir;
	int copy;

	copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (copy < 0)
		return;
	dir = fdopendir(copy);
	if (!dir) {
		close(copy);
		return;
	}
	while ((e = readdir(dir))) {
		struct stat st;

		if (strncmp(e->d_name, DIRECTORY_TMP, strlen(DIRECTORY_TMP)) !=
			    0 ||
		    strlen(e->d_name) != TMP_LEN)
			continue;
		if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode))
			unlinkat(fd, e->d_name, 0);
	}
	closedir(dir);
}
