/* daemon.c -- see daemon.h. */
#include "fs/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/log.h"
#include "fs/parse.h"

struct daemon_watchdog {
	pthread_t thread;
	int stop; /* eventfd */
	int period_ms;
	char path[]; /* What is looked at. */
};

void daemon_close_inherited(bool background)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	if (background)
		close_range(STDERR_FILENO + 1, ~0U, 0);
}

int daemon_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	socklen_t len;
	ssize_t n;
	int fd, r = 0;

	if (!path || !*path)
		return 1;
	if ((path[0] != '/' && path[0] != '@') || !path[1])
		return -EINVAL;
	if (strlen(path) >= sizeof(addr.sun_path))
		return -E2BIG;
	memcpy(addr.sun_path, path, strlen(path));
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
			  strlen(path));
	if (path[0] == '@')
		addr.sun_path[0] = '\0'; /* An abstract name: no file. */
	else
		len++;

	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	do {
		n = sendto(fd, state, strlen(state), MSG_NOSIGNAL,
			   (const struct sockaddr *)&addr, len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		r = -errno;
	close(fd);
	return r;
}

/* Of the parent, for its signal handler. */
static volatile sig_atomic_t child_pid;

static void hand_on(int sig)
{
	(void)sig;
	if (child_pid > 0)
		kill((pid_t)child_pid, SIGTERM);
}

/* Wait for the child's byte, or its end. Never returns. */
_Noreturn static void be_parent(pid_t pid, int fd, const sigset_t *unblocked)
{
	struct sigaction act = {.sa_handler = hand_on};
	char byte = 0;
	ssize_t n;
	int status = 0;

	child_pid = (sig_atomic_t)pid;
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGHUP, &act, NULL);
	pthread_sigmask(SIG_SETMASK, unblocked, NULL);

	do {
		n = read(fd, &byte, 1);
	} while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(0);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status))
		_exit(WEXITSTATUS(status) ? WEXITSTATUS(status) : 1);
	log_print(LOG_ERR, "ended by signal %d before the tree answered",
		  WTERMSIG(status));
	_exit(1);
}

int daemon_start(bool background, struct daemon *ret_daemon, struct err *reterr)
{
	struct daemon d = {.parent = -1, .background = background};
	int ends[2] = {-1, -1};
	sigset_t block, old;
	pid_t pid;
	int r;

	if (background && pipe2(ends, O_CLOEXEC) < 0)
		return err_set(reterr, -errno, "pipe: %s", strerror(errno));

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&block);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &block, &old);
	if (background) {
		pid = fork();
		if (pid < 0) {
			r = err_set(reterr, -errno, "fork: %s",
				    strerror(errno));
			pthread_sigmask(SIG_SETMASK, &old, NULL);
			close(ends[0]);
			close(ends[1]);
			return r;
		}
		if (pid > 0) {
			close(ends[1]);
			be_parent(pid, ends[0], &old);
		}
		close(ends[0]);
		d.parent = ends[1];
		setsid();
	}
	/* No folder is kept from being unmounted. `/` cannot fail. */
	if (chdir("/") < 0)
		return err_set(reterr, -errno, "chdir /: %s", strerror(errno));
	*ret_daemon = d;
	return 0;
}

/* Milliseconds between two looks, 0: systemd asked for none. */
static int watchdog_period(void)
{
	const char *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	uint64_t n = 0, who = 0;

	if (!usec || parse_number(usec, 10, UINT64_MAX, &n, NULL) < 0)
		return 0;
	if (pid && (parse_number(pid, 10, UINT32_MAX, &who, NULL) < 0 ||
		    who != (uint64_t)getpid()))
		return 0;
	n /= 2000;
	return n > INT32_MAX ? INT32_MAX : n == 0 ? 1 : (int)n;
}

/*
 * Look through the mount from a child: should the tree hang, the child does,
 * and this process, which has to answer it, does not. Of the parent's memory
 * it uses nothing that a lock guards. 0: answered.
 */
static int look(const char *path, int timeout_ms)
{
	struct pollfd end = {.fd = -1, .events = POLLIN};
	int status = -1;
	pid_t pid;

	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		struct statx st;

		/* Not least /dev/fuse: as long as it is open somewhere, a
		 * mount whose agent died does not end. */
		close_range(0, ~0U, 0);
		_exit(statx(AT_FDCWD, path, AT_STATX_FORCE_SYNC,
			    STATX_BASIC_STATS, &st) < 0);
	}
	end.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (end.fd >= 0) {
		if (poll(&end, 1, timeout_ms) != 1)
			kill(pid, SIGKILL);
		close(end.fd);
	}
	/* A child that cannot even be killed is left behind, unreaped. */
	if (waitpid(pid, &status, end.fd >= 0 ? WNOHANG : 0) != pid)
		return -ETIMEDOUT;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static void *watch(void *arg)
{
	struct daemon_watchdog *w = arg;
	struct pollfd stop = {.fd = w->stop, .events = POLLIN};

	while (poll(&stop, 1, w->period_ms) <= 0)
		if (look(w->path, w->period_ms) == 0)
			daemon_notify("WATCHDOG=1");
	return NULL;
}

static void watchdog_start(struct daemon *d, const char *mountpoint)
{
	static const char file[] = "/.version";
	size_t len = strlen(mountpoint);
	struct daemon_watchdog *w;
	int period_ms = watchdog_period();

	if (period_ms == 0)
		return;
	w = calloc(1, sizeof(*w) + len + sizeof(file));
	if (!w)
		return;
	memcpy(w->path, mountpoint, len);
	memcpy(w->path + len, file, sizeof(file));
	w->period_ms = period_ms;
	w->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->stop < 0 || pthread_create(&w->thread, NULL, watch, w) > 0) {
		/* systemd will then restart us, for no fault of the tree. */
		log_print(LOG_ERR, "the watchdog cannot be started");
		close(w->stop);
		free(w);
		return;
	}
	pthread_setname_np(w->thread, "watchdog");
	d->watchdog = w;
}

static void leave_stderr(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return;
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	close(fd);
}

void daemon_ready(struct daemon *d, const char *mountpoint)
{
	char state[64];
	ssize_t n;

	snprintf(state, sizeof(state), "READY=1\nMAINPID=%ld", (long)getpid());
	daemon_notify(state);
	watchdog_start(d, mountpoint);
	if (!d->background)
		return;
	log_to_syslog();
	leave_stderr();
	do {
		n = write(d->parent, "", 1);
	} while (n < 0 && errno == EINTR);
	close(d->parent);
	d->parent = -1;
}

void daemon_stopping(struct daemon *d)
{
	struct daemon_watchdog *w = d->watchdog;
	uint64_t one = 1;

	daemon_notify("STOPPING=1");
	if (!w)
		return;
	while (write(w->stop, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	pthread_join(w->thread, NULL);
	close(w->stop);
	free(w);
	d->watchdog = NULL;
}
