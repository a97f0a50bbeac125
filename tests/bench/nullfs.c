/*
 * nullfs.c -- a filesystem that stores nothing, and answers the calls that the
 * writers of this folder make of cheops: what FUSE alone costs.
 *
 *	nullfs MOUNTPOINT N	in the foreground, until it is unmounted
 *
 * It has the directories r000000 to r(N-1), each with the writable file spec.
 * As cheops it has one thread, direct I/O, and names and attributes that the
 * kernel may keep for an hour. What is read of a file is one byte, always.
 */
#include <fuse_lowlevel.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define KEEP_S 3600.0
#define N_MAX 1000000ul

/* The root is 1; directory i is 2i + 2, its file 2i + 3. */
static uint64_t dirs_n;

static int is_dir(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID || ino % 2 == 0;
}

static void stat_of(fuse_ino_t ino, struct stat *ret_st)
{
	memset(ret_st, 0, sizeof(*ret_st));
	ret_st->st_ino = ino;
	ret_st->st_nlink = is_dir(ino) ? 2 : 1;
	ret_st->st_mode = is_dir(ino) ? S_IFDIR | 0755 : S_IFREG | 0644;
	ret_st->st_size = is_dir(ino) ? 0 : 1;
	ret_st->st_blksize = 4096;
}

static struct fuse_entry_param entry_of(fuse_ino_t ino)
{
	struct fuse_entry_param e;

	memset(&e, 0, sizeof(e));
	e.ino = ino;
	e.generation = 1;
	e.attr_timeout = KEEP_S;
	e.entry_timeout = KEEP_S;
	stat_of(ino, &e.attr);
	return e;
}

static fuse_ino_t child_of(fuse_ino_t parent, const char *name)
{
	uint64_t i;
	char *end;

	if (parent != FUSE_ROOT_ID)
		return strcmp(name, "spec") == 0 ? parent + 1 : 0;
	if (name[0] != 'r' || name[1] < '0' || name[1] > '9')
		return 0;
	i = strtoull(name + 1, &end, 10);
	return *end || i >= dirs_n ? 0 : 2 * i + 2;
}

static void ll_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fuse_ino_t ino = child_of(parent, name);
	struct fuse_entry_param e;

	if (!ino) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	e = entry_of(ino);
	fuse_reply_entry(req, &e);
}

static void ll_getattr(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	stat_of(ino, &st);
	fuse_reply_attr(req, &st, KEEP_S);
}

static void ll_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fi->direct_io = 1;
	fuse_reply_open(req, fi);
}

static void ll_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	(void)ino;
	(void)size;
	(void)fi;
	fuse_reply_buf(req, "\n", off == 0);
}

static void ll_write(fuse_req_t req, fuse_ino_t ino, const char *buf,
		     size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	(void)buf;
	(void)off;
	(void)fi;
	fuse_reply_write(req, size);
}

static void ll_ok(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, 0);
}

/* Places are the numbers of directories, counted from 1. */
static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		 int plus)
{
	char *buf = malloc(size);
	size_t len = 0;

	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	for (uint64_t i = (uint64_t)off; ino == FUSE_ROOT_ID && i < dirs_n;
	     i++) {
		struct fuse_entry_param e = entry_of(2 * i + 2);
		char name[24];
		size_t more;

		snprintf(name, sizeof(name), "r%06llu", (unsigned long long)i);
		if (plus)
			more = fuse_add_direntry_plus(req, buf + len,
						      size - len, name, &e,
						      (off_t)i + 1);
		else
			more = fuse_add_direntry(req, buf + len, size - len,
						 name, &e.attr, (off_t)i + 1);
		if (more > size - len)
			break;
		len += more;
	}
	fuse_reply_buf(req, buf, len);
	free(buf);
}

static void ll_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, 0);
}

static void ll_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size,
			   off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, 1);
}

static void ll_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	conn->want |= FUSE_CAP_ATOMIC_O_TRUNC;
	conn->want &= ~(unsigned int)(FUSE_CAP_WRITEBACK_CACHE |
				      FUSE_CAP_AUTO_INVAL_DATA |
				      FUSE_CAP_SPLICE_READ |
				      FUSE_CAP_SPLICE_WRITE |
				      FUSE_CAP_SPLICE_MOVE);
	conn->time_gran = 1;
}

static const struct fuse_lowlevel_ops ops = {
	.init = ll_init,
	.lookup = ll_lookup,
	.getattr = ll_getattr,
	.open = ll_open,
	.read = ll_read,
	.write = ll_write,
	.flush = ll_ok,
	.release = ll_ok,
	.readdir = ll_readdir,
	.readdirplus = ll_readdirplus,
};

int main(int argc, char **argv)
{
	char *args_of[] = {argv[0], (char[]){"-o"},
			   (char[]){"fsname=nullfs"}, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(3, args_of);
	struct fuse_session *se;
	int r;

	if (argc != 3) {
		fprintf(stderr, "usage: nullfs MOUNTPOINT N\n");
		return 2;
	}
	dirs_n = number("N", argv[2], N_MAX);
	se = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (!se)
		die("libfuse", "cannot make a session");
	if (fuse_set_signal_handlers(se) != 0 ||
	    fuse_session_mount(se, argv[1]) != 0)
		die(argv[1], "cannot mount");
	r = fuse_session_loop(se);
	fuse_session_unmount(se);
	fuse_remove_signal_handlers(se);
	fuse_session_destroy(se);
	fuse_opt_free_args(&args);
	return r < 0;
}
