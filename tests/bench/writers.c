/*
 * writers.c -- users who write specs, all at once, each to a file of its own.
 *
 *	writers write DIR N SECONDS	DIR/r000000/spec and so on are there
 *	writers threads DIR N SECONDS	the same, as threads of one process
 *	writers read DIR N SECONDS	pread() of one byte, of a file left open
 *	writers make DIR N SECONDS COUNT SITE
 *					makes such resources on SITE: COUNT of
 *					them, or as many as it can until then
 *
 * A write is open(O_WRONLY | O_TRUNC), write() of 1 kB, close(). Prints p50
 * and p99 of one in microseconds, how many a second all did together, and how
 * many that were.
 */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define WRITERS_MAX 1024ul
#define TIMES_MAX 200000u /* That a writer can report. */
#define PATH_LEN 4096

enum what { WRITE, READ, MAKE };

struct writer {
	const struct job *job;
	unsigned long i;
	uint64_t turns;
	size_t n;
	uint64_t *ns; /* TIMES_MAX of them, shared with the first process. */
	pthread_t thread;
};

struct job {
	enum what what;
	const char *dir, *site;
	unsigned long n, count;
	uint64_t start_ns, end_ns;
};

static void write_spec(const char *path, const char *block, int flags)
{
	int fd = open(path, O_WRONLY | flags, 0644);

	if (fd < 0 || write(fd, block, WRITE_LEN) != WRITE_LEN || close(fd) < 0)
		die(path, strerror(errno));
}

static void made(const char *path)
{
	if (mkdir(path, 0755) < 0)
		die(path, strerror(errno));
}

static void make_one(struct writer *w, unsigned long i)
{
	const struct job *job = w->job;
	char path[PATH_LEN], block[WRITE_LEN];

	snprintf(path, sizeof(path), "%s/r%06lu", job->dir, i);
	made(path);
	snprintf(path, sizeof(path), "%s/r%06lu/%s", job->dir, i, job->site);
	made(path);
	snprintf(path, sizeof(path), "%s/r%06lu/spec", job->dir, i);
	fill(block, sizeof(block), i, 0);
	write_spec(path, block, O_TRUNC);
}

static void work_once(struct writer *w, int fd, const char *path)
{
	char block[WRITE_LEN], byte;

	switch (w->job->what) {
	case WRITE:
		fill(block, sizeof(block), w->i,
		     w->job->start_ns / 1000 + w->turns);
		write_spec(path, block, O_TRUNC);
		break;
	case READ:
		if (pread(fd, &byte, 1, 0) != 1)
			die(path, strerror(errno));
		break;
	case MAKE:
		make_one(w, w->i + w->turns * w->job->n);
		break;
	}
}

static int is_over(const struct writer *w)
{
	const struct job *job = w->job;

	return now_ns() >= job->end_ns ||
	       w->i + w->turns * job->n >= job->count;
}

static void *work(void *arg)
{
	struct writer *w = arg;
	char path[PATH_LEN];
	int fd = -1;

	snprintf(path, sizeof(path), "%s/r%06lu/spec", w->job->dir, w->i);
	if (w->job->what == READ) {
		fd = open(path, O_RDONLY);
		if (fd < 0)
			die(path, strerror(errno));
	}
	for (; !is_over(w); w->turns++) {
		uint64_t before = now_ns();

		work_once(w, fd, path);
		if (w->n < TIMES_MAX)
			w->ns[w->n++] = now_ns() - before;
	}
	if (fd >= 0)
		close(fd);
	return NULL;
}

static void in_processes(struct writer *w, unsigned long n)
{
	for (unsigned long i = 0; i < n; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork", strerror(errno));
		if (pid == 0) {
			work(&w[i]);
			_exit(0);
		}
	}
	for (unsigned long i = 0; i < n; i++) {
		int status;

		if (wait(&status) < 0 || status != 0)
			die("a writer", "ended early");
	}
}

static void in_threads(struct writer *w, unsigned long n)
{
	for (unsigned long i = 0; i < n; i++)
		if (pthread_create(&w[i].thread, NULL, work, &w[i]) != 0)
			die("pthread_create", "failed");
	for (unsigned long i = 0; i < n; i++)
		pthread_join(w[i].thread, NULL);
}

static void print(struct writer *w, unsigned long n, uint64_t took_ns)
{
	struct times all = {.ns = NULL};
	uint64_t turns = 0;

	for (unsigned long i = 0; i < n; i++) {
		turns += w[i].turns;
		for (size_t k = 0; k < w[i].n; k++)
			times_add(&all, w[i].ns[k]);
	}
	times_print(&all);
	printf(" %.0f %llu\n", (double)turns * 1e9 / (double)took_ns,
	       (unsigned long long)turns);
	times_release(&all);
}

static struct writer *writers_new(const struct job *job)
{
	size_t len = job->n * (sizeof(struct writer) +
			       TIMES_MAX * sizeof(uint64_t));
	struct writer *w = mmap(NULL, len, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1,
				0);
	uint64_t *ns;

	if (w == MAP_FAILED)
		die("mmap", strerror(errno));
	ns = (uint64_t *)(w + job->n);
	for (unsigned long i = 0; i < job->n; i++)
		w[i] = (struct writer){.job = job, .i = i,
				       .ns = ns + i * TIMES_MAX};
	return w;
}

int main(int argc, char **argv)
{
	struct job job = {.what = WRITE, .count = ULONG_MAX};
	struct writer *w;
	int threads;

	if (argc != 5 && !(argc == 7 && strcmp(argv[1], "make") == 0)) {
		fprintf(stderr, "usage: writers write|threads|read DIR N "
				"SECONDS\n       writers make DIR N SECONDS "
				"COUNT SITE\n");
		return 2;
	}
	threads = strcmp(argv[1], "threads") == 0;
	if (strcmp(argv[1], "read") == 0)
		job.what = READ;
	if (argc == 7)
		job.what = MAKE;
	job.dir = argv[2];
	job.n = number("N", argv[3], WRITERS_MAX);
	job.start_ns = now_ns();
	job.end_ns = job.start_ns +
		     number("SECONDS", argv[4], 3600) * 1000000000u;
	if (job.what == MAKE) {
		job.count = number("COUNT", argv[5], 1000000);
		job.site = argv[6];
	}
	w = writers_new(&job);
	if (threads)
		in_threads(w, job.n);
	else
		in_processes(w, job.n);
	print(w, job.n, now_ns() - job.start_ns);
	return 0;
}
