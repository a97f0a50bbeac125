/*
 * test_world_daemon.c -- the background, and what systemd is told.
 *
 * Each start is made in a child of the test, which then becomes the parent
 * that waits. What the agent would be reports through a pipe.
 */
#include "fs/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_MS 20000

struct fixture {
	char folder[128];
	int pipe[2];
};

static int fixture_open(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const char *tmp = getenv("TMPDIR");

	snprintf(f->folder, sizeof(f->folder), "%s/cheops-daemon-XXXXXX",
		 tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->folder));
	assert_int_equal(pipe(f->pipe), 0);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	*state = f;
	return 0;
}

static int fixture_close(void **state)
{
	static const char *const files[] = {"socket", ".version", ""};
	struct fixture *f = *state;
	char path[256];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->folder, files[i]);
		remove(path);
	}
	close(f->pipe[0]);
	close(f->pipe[1]);
	free(f);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	return 0;
}

static void wait_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
}

/* What the agent reported: one byte. */
static char reported(struct fixture *f)
{
	char c = 0;

	wait_readable(f->pipe[0]);
	assert_int_equal(read(f->pipe[0], &c, 1), 1);
	return c;
}

static void report(struct fixture *f, char c)
{
	if (write(f->pipe[1], &c, 1) != 1)
		_exit(99);
}

typedef void agent_fn(struct fixture *f, struct daemon *d);

/* The pid of who waits for the agent that @fn is. */
static pid_t start(struct fixture *f, agent_fn *fn)
{
	pid_t pid = fork();
	struct daemon d;

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	if (daemon_start(true, &d, NULL) < 0)
		_exit(98);
	fn(f, &d);
	_exit(97);
}

static int status_of(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool is_dev_null(int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat("/dev/null", &b) == 0 &&
	       a.st_rdev == b.st_rdev && S_ISCHR(a.st_mode);
}

static void becomes_ready(struct fixture *f, struct daemon *d)
{
	char cwd[16] = "";

	daemon_ready(d, "/");
	if (!getcwd(cwd, sizeof(cwd)) || strcmp(cwd, "/") != 0)
		report(f, 'c');
	else if (getsid(0) != getpid())
		report(f, 's');
	else if (!is_dev_null(0) || !is_dev_null(1) || !is_dev_null(2))
		report(f, 'n');
	else
		report(f, 'r');
	daemon_stopping(d);
	_exit(7); /* Nobody is told: it was ready. */
}

static void ready_lets_the_parent_go(void **state)
{
	struct fixture *f = *state;
	pid_t pid = start(f, becomes_ready);

	assert_int_equal(status_of(pid), 0);
	assert_int_equal(reported(f), 'r');
}

static void fails(struct fixture *f, struct daemon *d)
{
	(void)f;
	(void)d;
	_exit(32);
}

static void ends_early(struct fixture *f, struct daemon *d)
{
	(void)f;
	(void)d;
	_exit(0);
}

static void is_killed(struct fixture *f, struct daemon *d)
{
	(void)f;
	(void)d;
	raise(SIGKILL);
}

static void who_waits_learns_how_it_ended(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(status_of(start(f, fails)), 32);
	assert_int_equal(status_of(start(f, ends_early)), 1);
	assert_int_equal(status_of(start(f, is_killed)), 1);
}

static void waits_for_term(struct fixture *f, struct daemon *d)
{
	sigset_t set;
	int sig = 0;

	(void)d;
	report(f, 'w');
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	if (sigwait(&set, &sig) != 0)
		_exit(96);
	_exit(sig == SIGTERM ? 5 : 6);
}

static void an_interrupt_is_handed_on(void **state)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		pid_t pid = start(f, waits_for_term);

		assert_int_equal(reported(f), 'w');
		kill(pid, signals[i]);
		assert_int_equal(status_of(pid), 5);
	}
}

static void in_the_foreground(void **state)
{
	struct fixture *f = *state;
	pid_t pid = fork();
	struct daemon d;
	sigset_t now;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (daemon_start(false, &d, NULL) < 0)
			_exit(98);
		daemon_ready(&d, "/");
		pthread_sigmask(SIG_BLOCK, NULL, &now);
		report(f, getppid() > 1 && sigismember(&now, SIGTERM) &&
					  sigismember(&now, SIGINT) &&
					  !is_dev_null(f->pipe[1])
				  ? 'f'
				  : 'x');
		daemon_stopping(&d);
		_exit(3);
	}
	assert_int_equal(reported(f), 'f');
	assert_int_equal(status_of(pid), 3);
}

/* A socket as systemd has it; @name begins with / or @. */
static int listen_at(const char *name)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len;

	assert_true(fd >= 0);
	strcpy(addr.sun_path, name);
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
			  strlen(name));
	if (name[0] == '@')
		addr.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static void expect(int fd, const char *want)
{
	char got[256] = "";
	ssize_t n;

	wait_readable(fd);
	n = recv(fd, got, sizeof(got) - 1, 0);
	assert_true(n >= 0);
	assert_memory_equal(got, want, strlen(want));
}

static void notifies(void **state)
{
	struct fixture *f = *state;
	char name[256];
	int fd;

	assert_int_equal(daemon_notify("READY=1"), 1);
	snprintf(name, sizeof(name), "%s/socket", f->folder);
	fd = listen_at(name);
	assert_int_equal(daemon_notify("READY=1"), 0);
	expect(fd, "READY=1");
	close(fd);
	assert_int_equal(daemon_notify("READY=1"), -ECONNREFUSED);

	snprintf(name, sizeof(name), "@cheops-test-%ld", (long)getpid());
	fd = listen_at(name);
	assert_int_equal(daemon_notify("STOPPING=1"), 0);
	expect(fd, "STOPPING=1");
	close(fd);

	setenv("NOTIFY_SOCKET", "relative", 1);
	assert_int_equal(daemon_notify("READY=1"), -EINVAL);
	memset(name, 'x', sizeof(name) - 1);
	name[0] = '/';
	name[sizeof(name) - 1] = '\0';
	setenv("NOTIFY_SOCKET", name, 1);
	assert_int_equal(daemon_notify("READY=1"), -E2BIG);
}

static void the_watchdog_looks(void **state)
{
	struct fixture *f = *state;
	struct daemon d = {.parent = -1};
	char name[256];
	int fd;

	snprintf(name, sizeof(name), "%s/socket", f->folder);
	fd = listen_at(name);
	setenv("WATCHDOG_USEC", "100000", 1);

	/* There is no .version to be seen: nothing is told but the ends. */
	daemon_ready(&d, f->folder);
	expect(fd, "READY=1\nMAINPID=");
	daemon_stopping(&d);
	expect(fd, "STOPPING=1");

	snprintf(name, sizeof(name), "%s/.version", f->folder);
	assert_int_equal(close(creat(name, 0600)), 0);
	daemon_ready(&d, f->folder);
	expect(fd, "READY=1\nMAINPID=");
	expect(fd, "WATCHDOG=1");
	expect(fd, "WATCHDOG=1");
	daemon_stopping(&d);

	/* Not for us. */
	setenv("WATCHDOG_PID", "1", 1);
	daemon_ready(&d, f->folder);
	assert_null(d.watchdog);
	daemon_stopping(&d);
	close(fd);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ready_lets_the_parent_go),
		TEST(who_waits_learns_how_it_ended),
		TEST(an_interrupt_is_handed_on),
		TEST(in_the_foreground),
		TEST(notifies),
		TEST(the_watchdog_looks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
