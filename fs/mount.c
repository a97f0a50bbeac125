/* mount.c -- see mount.h: the session's life. */
#include "fs/mount.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/notify.h"
#include "fs/ops.h"
#include "fs/reply.h"

/* What libfuse said last: the reason when a call of it fails. It has one
 * logger for the process, so this is one for the process too. */
static struct {
	pthread_mutex_t lock;
	char text[ERR_TEXT_MAX];
} fuse_said = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void on_fuse_log(enum fuse_log_level level, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

static void on_fuse_log(enum fuse_log_level level, const char *fmt, va_list ap)
{
	size_t len;

	(void)level;
	pthread_mutex_lock(&fuse_said.lock);
	vsnprintf(fuse_said.text, sizeof(fuse_said.text), fmt, ap);
	len = strcspn(fuse_said.text, "\n");
	fuse_said.text[len] = '\0';
	pthread_mutex_unlock(&fuse_said.lock);
}

static int fuse_failed(struct err *reterr, int code, const char *what)
{
	int r;

	pthread_mutex_lock(&fuse_said.lock);
	r = err_set(reterr, code, "%s%s%s", what, fuse_said.text[0] ? ": " : "",
		    fuse_said.text);
	pthread_mutex_unlock(&fuse_said.lock);
	return r;
}

struct node *mnt_node(struct mnt *m, fuse_ino_t ino)
{
	struct node *n;

	mnt_lock(m);
	n = inode_by_no(&m->inodes, ino);
	mnt_unlock(m);
	return n ? n : m->inodes.root; /* The kernel asks of no other. */
}

const struct node_id *mnt_id(struct mnt *m, struct node *n)
{
	const struct node_id *id;

	mnt_lock(m);
	id = n->id;
	mnt_unlock(m);
	return id;
}

int mnt_view_get(struct mnt *m, struct agent_view *ret_view)
{
	uint64_t stamp = atomic_load(&m->n_stale);
	int r;

	r = agent_view_get(m->agent, ret_view);
	if (r == 0)
		ret_view->v.stamp = stamp;
	return r;
}

static _Atomic uint64_t *stale_at(struct mnt *m, const char *name)
{
	return &m->stale_at[inode_hash(0, name, strlen(name)) % MNT_STALE_N];
}

bool mnt_is_fresh(struct mnt *m, uint64_t stamp, const char *name)
{
	if (stamp == 0) /* Of a view that was not taken by mnt_view_get(). */
		return false;
	if (!name[0])
		return stamp == atomic_load(&m->n_stale);
	return atomic_load(stale_at(m, name)) <= stamp;
}

void mnt_stale(struct mnt *m, struct node *n)
{
	bool cached;

	mnt_lock(m);
	cached = n->cached;
	n->cached = false;
	mnt_unlock(m);
	if (!cached)
		return;
	if (fuse_lowlevel_notify_inval_inode(m->se, n->no, -1, 0) < 0) {
		mnt_lock(m);
		/* It is just being told of it, or has forgotten it. */
		n->cached |= n->n_lookup > 0;
		mnt_unlock(m);
	}
}

int64_t mnt_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t mnt_monotonic_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void ll_init(void *userdata, struct fuse_conn_info *conn)
{
	struct mnt *m = userdata;

	/* Without it `> spec` arrives as a truncation that belongs to no open
	 * file: an empty version, and then the real one. */
	if (!(conn->capable & FUSE_CAP_ATOMIC_O_TRUNC)) {
		err_set(m->init_err, -EOPNOTSUPP,
			"this kernel's FUSE lacks ATOMIC_O_TRUNC");
		fuse_session_exit(m->se);
		return;
	}
	conn->want |= FUSE_CAP_ATOMIC_O_TRUNC;
	conn->want &= ~(
		unsigned int)(FUSE_CAP_WRITEBACK_CACHE |
			      FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_SPLICE_READ |
			      FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
	conn->time_gran = 1;
	if (m->ready)
		m->ready(m->ready_arg);
}

static void on_stale(void *arg, const struct ch_stale *s)
{
	struct mnt *m = arg;

	/* Before it is looked at who has to hear of it. */
	atomic_store(stale_at(m, s->name),
		     atomic_fetch_add(&m->n_stale, 1) + 1);
	notify_stale(m->notify, s);
}

static void on_events(void *arg)
{
	struct mnt *m = arg;

	notify_events(m->notify);
}

static void ignore_signal(int sig)
{
	(void)sig;
}

/* SIGUSR2 takes the FUSE thread out of its read(): without SA_RESTART. */
static void take_kicks(void)
{
	struct sigaction sa = {.sa_handler = ignore_signal};
	sigset_t set;

	sigemptyset(&sa.sa_mask);
	sigaction(SIGUSR2, &sa, NULL);
	sa.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &sa, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* Signals that end it are read from a descriptor: blocked everywhere. */
static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static int session_new(struct mnt *m, struct err *reterr)
{
	static struct fuse_lowlevel_ops ops; /* libfuse copies it. */
	char *argv[] = {(char *)(uintptr_t) "cheops", (char *)(uintptr_t) "-o",
			m->opts->fuse.buf, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);

	if (m->opts->fuse.len == 0)
		args.argc = 1;
	memset(&ops, 0, sizeof(ops));
	ops.init = ll_init;
	ops_dir(&ops);
	ops_attr(&ops);
	ops_file(&ops);
	ops_name(&ops);
	fuse_set_log_func(on_fuse_log);
	m->se = fuse_session_new(&args, &ops, sizeof(ops), m);
	fuse_opt_free_args(&args);
	if (!m->se)
		return fuse_failed(reterr, -EINVAL,
				   "libfuse refuses the mount options");
	return 0;
}

/* Serve; everything below was set up, and is taken down by the caller. */
static int serve(struct mnt *m, struct err *reterr)
{
	struct agent_watch none = {.arg = NULL};
	struct agent_watch watch = {
		.stale = on_stale, .events = on_events, .arg = m};
	struct err init_err = ERR_INIT;
	int r;

	m->init_err = &init_err;
	if (fuse_session_mount(m->se, m->opts->mountpoint) != 0)
		return fuse_failed(reterr, -EIO, "cannot mount");
	r = notify_new(m, pthread_self(), &m->notify, reterr);
	if (r < 0) {
		fuse_session_unmount(m->se);
		return r;
	}
	agent_watch(m->agent, &watch);
	r = fuse_session_loop(m->se);
	notify_loop_ended(m->notify);
	replies_drain(m->replies);
	fuse_session_unmount(m->se);
	if (init_err.text[0])
		r = err_set(reterr, -EOPNOTSUPP, "%s", init_err.text);
	else if (r < 0)
		r = err_set(reterr, r, "/dev/fuse: %s", strerror(-r));
	else
		r = 0; /* A signal, or umount. */
	agent_watch(m->agent, &none);
	notify_free(m->notify);
	m->notify = NULL;
	return r;
}

int mount_run(struct agent *a, const struct options *opts,
	      void (*ready)(void *arg), void *arg, struct err *reterr)
{
	struct mnt m = {
		.agent = a, .opts = opts, .ready = ready, .ready_arg = arg};
	int r;

	atomic_init(&m.n_stale, 1);
	m.uid = getuid();
	m.gid = getgid();
	m.mounted_ns = mnt_now_ns();
	list_init(&m.handles);
	list_init(&m.polled);
	list_init(&m.dirs);
	pthread_mutex_init(&m.lock, NULL);
	m.site = agent_site(a);
	block_signals();
	take_kicks();
	r = inodes_init(&m.inodes);
	if (r == 0)
		r = replies_new(&m, &m.replies);
	if (r < 0)
		err_set(reterr, r, "cannot start: %s", strerror(-r));
	if (r == 0)
		r = session_new(&m, reterr);
	if (r == 0)
		r = serve(&m, reterr);
	handles_release(&m);
	ops_dir_release(&m);
	if (m.se)
		fuse_session_destroy(m.se);
	replies_free(m.replies);
	makers_release(&m.makers);
	if (m.inodes.root)
		inodes_release(&m.inodes);
	pthread_mutex_destroy(&m.lock);
	return r;
}
