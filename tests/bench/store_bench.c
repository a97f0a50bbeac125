/*
 * store_bench.c -- what a store takes, beside what the disk alone takes.
 *
 *   store_bench DIR     prints a table; DIR/store-bench is made and removed
 *
 * Synced commits of 1 kB by one thread stand beside a file in the same
 * directory that 1 kB is appended to and fdatasync() called on: that is the
 * least that a durable write can cost there.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "drivers/store/store.h"

#define COMMIT_N 4000
#define COMMIT_LEN 1000
#define RECORD_N 100000
#define RECORD_LEN 400
#define GET_N 200000
#define BODY_N 30
#define BODY_LEN (8u << 20)
#define CHUNK_LEN (256u << 10)
#define PATH_LEN 512

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "store_bench: %s: %s\n", what, why);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int u64_cmp(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

static void print_times(const char *what, uint64_t *ns, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += ns[i];
	qsort(ns, n, sizeof(*ns), u64_cmp);
	printf("%-38s %8.3f ms p50 %8.3f ms p99 %8.0f /s\n", what,
	       (double)ns[n / 2] / 1e6, (double)ns[n * 99 / 100] / 1e6,
	       (double)n * 1e9 / (double)sum);
}

/* Kilobytes of this process that are in memory, without shared libraries'
 * pages: what it costs to have one more of it. */
static void rss(unsigned long *ret_all_kb, unsigned long *ret_own_kb)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];

	*ret_all_kb = 0;
	*ret_own_kb = 0;
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "VmRSS:", 6) == 0)
			*ret_all_kb = strtoul(line + 6, NULL, 10);
		if (strncmp(line, "RssAnon:", 8) == 0)
			*ret_own_kb = strtoul(line + 8, NULL, 10);
	}
	if (f)
		fclose(f);
}

static struct store *open_store(const char *db)
{
	struct err err = ERR_INIT;
	struct store *s;

	if (store_rocks_open(db, &s, &err) < 0)
		die("open", err.text);
	return s;
}

static void commit(struct store *s, struct ch_batch *b, bool sync)
{
	struct err err = ERR_INIT;

	if (store_commit(s, b, sync, &err) < 0)
		die("commit", err.text);
	batch_reset(b);
}

static void bench_raw(const char *dir)
{
	static uint64_t ns[COMMIT_N];
	char path[PATH_LEN], block[COMMIT_LEN];
	int fd;

	snprintf(path, sizeof(path), "%s/raw", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
	if (fd < 0)
		die(path, strerror(errno));
	memset(block, 'r', sizeof(block));
	for (size_t i = 0; i < COMMIT_N; i++) {
		uint64_t start = now_ns();

		if (write(fd, block, sizeof(block)) != sizeof(block) ||
		    fdatasync(fd) < 0)
			die(path, strerror(errno));
		ns[i] = now_ns() - start;
	}
	close(fd);
	print_times("append 1 kB and fdatasync, no store", ns, COMMIT_N);
}

static void bench_commits(const char *db)
{
	static uint64_t ns[COMMIT_N];
	struct store *s = open_store(db);
	char key[32], value[COMMIT_LEN];
	struct ch_batch b;

	batch_init(&b);
	memset(value, 'c', sizeof(value));
	for (size_t i = 0; i < COMMIT_N; i++) {
		uint64_t start = now_ns();

		snprintf(key, sizeof(key), "bench/%zu", i);
		batch_put(&b, COL_TRASH, ch_str(key),
			  (struct ch_bytes){value, sizeof(value)});
		commit(s, &b, true);
		ns[i] = now_ns() - start;
	}
	batch_release(&b);
	store_close(s);
	print_times("commit 1 kB, synced, one thread", ns, COMMIT_N);
}

static void print_memory(struct store *s, const char *what)
{
	struct store_figures figures;
	unsigned long all_kb, own_kb;

	rss(&all_kb, &own_kb);
	store_figures(s, &figures);
	printf("%-38s %8.1f MiB resident, %.1f its own; disk %.1f MiB\n", what,
	       (double)all_kb / 1024, (double)own_kb / 1024,
	       (double)figures.disk_bytes / 1048576);
}

static void load(const char *db)
{
	struct store *s = open_store(db);
	char key[32], value[RECORD_LEN];
	uint64_t start = now_ns(), seed = 1;
	struct ch_batch b;

	batch_init(&b);
	for (size_t i = 0; i < RECORD_N; i++) {
		/* Half of it is noise: what LZ4 makes of real records. */
		for (size_t k = 0; k < sizeof(value); k++) {
			seed = seed * 6364136223846793005u + 1;
			value[k] = k % 2 ? 'v' : (char)(seed >> 56);
		}
		snprintf(key, sizeof(key), "resource-%06zu", i);
		batch_put(&b, COL_RECORD, ch_str(key),
			  (struct ch_bytes){value, sizeof(value)});
		if (i % 100 == 99)
			commit(s, &b, true);
	}
	printf("%-38s %8.0f records/s\n", "load 100,000 records, 100 a commit",
	       RECORD_N * 1e9 / (double)(now_ns() - start));
	print_memory(s, "  then");
	batch_release(&b);
	store_close(s);
}

/* Bodies of 8 MiB, in chunks, that do not compress. */
static void bench_bodies(const char *db)
{
	static uint64_t ns[BODY_N];
	static char chunk[CHUNK_LEN];
	struct store *s = open_store(db);
	unsigned char key[36] = {0};
	uint64_t seed = 3;
	struct ch_batch b;

	batch_init(&b);
	for (size_t i = 0; i < BODY_N; i++) {
		uint64_t start;

		key[0] = (unsigned char)i;
		for (size_t c = 0; c < BODY_LEN / CHUNK_LEN; c++) {
			for (size_t k = 0; k < sizeof(chunk); k++) {
				seed = seed * 6364136223846793005u + 1;
				chunk[k] = (char)(seed >> 56);
			}
			key[35] = (unsigned char)c;
			batch_put(&b, COL_BODY,
				  (struct ch_bytes){key, sizeof(key)},
				  (struct ch_bytes){chunk, sizeof(chunk)});
		}
		start = now_ns();
		commit(s, &b, true);
		ns[i] = now_ns() - start;
	}
	batch_release(&b);
	print_times("commit 8 MiB, synced, one thread", ns, BODY_N);
	print_memory(s, "  then");
	store_close(s);
}

static int count_one(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	(void)key;
	(void)value;
	++*(size_t *)arg;
	return 0;
}

static void bench_reads(const char *db)
{
	uint64_t start = now_ns(), seed = 2;
	struct store *s = open_store(db);
	const struct ch_reader *r = store_reader(s);
	struct ch_bytes none = {NULL, 0};
	struct strbuf sb = STRBUF_INIT;
	size_t n = 0;
	char key[32];

	printf("%-38s %8.1f ms\n", "open", (double)(now_ns() - start) / 1e6);
	print_memory(s, "  then");

	start = now_ns();
	for (size_t i = 0; i < GET_N; i++) {
		seed = seed * 6364136223846793005u + 1;
		snprintf(key, sizeof(key), "resource-%06u",
			 (unsigned)(seed >> 33) % RECORD_N);
		if (r->get(r, COL_RECORD, ch_str(key), &sb) < 0)
			die("get", key);
	}
	printf("%-38s %8.0f /s\n", "random gets of 100,000 records",
	       GET_N * 1e9 / (double)(now_ns() - start));
	print_memory(s, "  then");

	start = now_ns();
	if (r->scan(r, COL_RECORD, none, none, count_one, &n) < 0)
		die("scan", db);
	printf("%-38s %8.1f ms for %zu\n", "scan of all",
	       (double)(now_ns() - start) / 1e6, n);
	print_memory(s, "  then");
	strbuf_release(&sb);
	store_close(s);
}

static void bench_empty(const char *db)
{
	uint64_t start = now_ns();
	struct store *s = open_store(db);

	printf("%-38s %8.1f ms\n", "open", (double)(now_ns() - start) / 1e6);
	print_memory(s, "  then");
	store_close(s);
	start = now_ns();
	s = open_store(db);
	printf("%-38s %8.1f ms\n", "open it again",
	       (double)(now_ns() - start) / 1e6);
	print_memory(s, "  then");
	store_close(s);
}

/* In a process of its own, so that each has its own memory to show. */
static void step(void (*run)(const char *), const char *arg)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		die("fork", strerror(errno));
	if (pid == 0) {
		run(arg);
		fflush(NULL);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		die("a step failed", "see above");
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int main(int argc, char **argv)
{
	char dir[PATH_LEN - 16], db[PATH_LEN];

	if (argc != 2) {
		fprintf(stderr, "usage: store_bench DIR\n");
		return 2;
	}
	snprintf(dir, sizeof(dir), "%s/store-bench", argv[1]);
	snprintf(db, sizeof(db), "%s/db", dir);
	if (mkdir(dir, 0700) < 0)
		die(dir, strerror(errno));
	step(bench_empty, db);
	step(bench_raw, dir);
	step(bench_commits, db);
	step(bench_raw, dir);
	step(load, db);
	step(bench_reads, db);
	step(bench_bodies, db);
	step(bench_empty, db);
	if (nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
		die(dir, strerror(errno));
	return 0;
}
