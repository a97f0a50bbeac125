/*
 * sim.c -- random lives of random worlds.
 *
 *	sim [OPTION...] [FIRST [LAST]]
 *
 *	-j N        so many at once (1)
 *	-s FILE     seeds in a file, one a line, instead
 *	-a CORE.A   print the checksum of the engine that is linked
 *	-o KEY=N,…  over what the seeds draw: script.c lists the keys
 *	-k 1,4-7    do these deeds of the script, and no others
 *	-d          draw what happens, sites as columns
 *	-v          print the trace as it happens
 *	-x          do not shrink what fails
 *	-q          only say which seed fails first, and by which check
 *	-1          run each seed once
 *	-b          how many steps a second, with sampled checks and with all
 *
 * Each seed draws a world, its faults, and users who do what users do, all of
 * them at once (script.c). Then all is healed, and when it has become quiet,
 * everything that the design promises must hold. Each seed runs twice: both
 * runs must be the same to the byte. What fails is shrunk, and drawn. At the
 * end it is said what was exercised: after many seeds, nothing may be zero.
 * Exit status 1 when something failed.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/check.h"
#include "core/id.h"
#include "core/rng.h"
#include "tests/sim/diagram.h"
#include "tests/sim/shrink.h"

#define TRACE_LINES 60
#define WORKERS_MAX 64
#define FAILED_MAX 64  /* So many failures are enough. */
#define MANY_SEEDS 500 /* After these, all has been exercised. */
#define SHRINK_S 120

struct settings {
	const char *file, *archive, *options, *keep;
	unsigned int workers;
	bool draw, verbose, unshrunk, quick, once, bench;
	uint64_t first, last;
};

struct shared { /* Between this process and its workers. */
	_Atomic uint64_t next, done, n_failed;
	_Atomic uint64_t tally[TALLY_N];
	_Atomic uint64_t failed[FAILED_MAX];
	uint64_t now[WORKERS_MAX]; /* The seed of each worker. */
};

static struct shared *shared;
static uint64_t now_seed;
static bool now_draws;

static void on_abort(int sig)
{
	(void)sig;
	printf("seed %" PRIu64 ": aborted\n", now_seed);
	if (run_world() && now_draws)
		diagram_print(run_world(), stdout);
	else if (run_world())
		world_print_trace(run_world(), TRACE_LINES);
	fflush(stdout);
	_Exit(9);
}

static bool make_script(const struct settings *x, uint64_t seed,
			struct script *s)
{
	script_draw(seed, s);
	s->o.verbose = x->verbose;
	s->o.told = x->draw;
	if ((x->options && !script_option(s, x->options)) ||
	    (x->keep && !script_keep(s, x->keep))) {
		fprintf(stderr, "sim: an option makes no sense\n");
		script_release(s);
		return false;
	}
	return true;
}

static void note_failed(uint64_t seed)
{
	uint64_t at = atomic_fetch_add(&shared->n_failed, 1);

	if (at < FAILED_MAX)
		shared->failed[at] = seed;
}

/* Twice: the same must come of it. */
static void try_seed(const struct settings *x, uint64_t seed)
{
	struct verdict one, two;
	struct script s;

	now_seed = seed;
	now_draws = x->draw;
	if (!make_script(x, seed, &s)) {
		note_failed(seed);
		return;
	}
	run_script(&s, &one);
	if (x->draw)
		diagram_print(run_world(), stdout);
	if (one.failed) {
		printf("seed %" PRIu64 ": %s\n", seed, one.why);
		if (x->quick)
			printf("check: %s\n", one.check);
		fflush(stdout);
		if (!x->draw && !x->quick)
			world_print_trace(run_world(), TRACE_LINES);
		note_failed(seed);
	}
	run_end();
	for (size_t i = 0; i < TALLY_N; i++)
		atomic_fetch_add(&shared->tally[i], one.tally[i]);
	if (!one.failed && !x->once) {
		s.o.verbose = s.o.told = false;
		run_script(&s, &two);
		run_end();
		if (one.hash != two.hash) {
			printf("seed %" PRIu64 ": two runs differ\n", seed);
			note_failed(seed);
		}
	}
	script_release(&s);
	atomic_fetch_add(&shared->done, 1);
	fflush(stdout);
}

static void work(const struct settings *x, const uint64_t *seeds, uint64_t n,
		 unsigned int me)
{
	const uint64_t enough = x->quick ? 1 : FAILED_MAX;
	uint64_t i;

	signal(SIGABRT, on_abort);
	while (shared->n_failed < enough &&
	       (i = atomic_fetch_add(&shared->next, 1)) < n) {
		shared->now[me] = seeds[i];
		try_seed(x, seeds[i]);
	}
	fflush(stdout);
}

static pid_t start_worker(const struct settings *x, const uint64_t *seeds,
			  uint64_t n, unsigned int me)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		work(x, seeds, n, me);
		_exit(0);
	}
	return pid;
}

static void progress(uint64_t n, time_t began, uint64_t *tenths)
{
	uint64_t done = shared->done;

	if (n >= 100 && done * 10 / n > *tenths) {
		*tenths = done * 10 / n;
		printf("# %" PRIu64 " of %" PRIu64 " seeds, %ld s, "
		       "%" PRIu64 " steps, %" PRIu64 " failed\n",
		       done, n, (long)(time(NULL) - began),
		       shared->tally[TALLY_STEPS], shared->n_failed);
		fflush(stdout);
	}
}

/* A worker that core ended is replaced: its seed has failed. */
static void run_all(const struct settings *x, const uint64_t *seeds, uint64_t n)
{
	pid_t pid[WORKERS_MAX] = {0};
	unsigned int left = x->workers;
	const struct timespec pause = {0, 20000000};
	time_t began = time(NULL);
	uint64_t tenths = 0;

	for (unsigned int i = 0; i < x->workers; i++)
		pid[i] = start_worker(x, seeds, n, i);
	while (left) {
		nanosleep(&pause, NULL);
		progress(n, began, &tenths);
		for (unsigned int i = 0; i < x->workers; i++) {
			int status;

			if (!pid[i] || waitpid(pid[i], &status, WNOHANG) <= 0)
				continue;
			if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
				pid[i] = 0;
				left--;
				continue;
			}
			if (!WIFEXITED(status))
				printf("seed %" PRIu64 ": killed\n",
				       shared->now[i]);
			note_failed(shared->now[i]);
			shared->done++;
			pid[i] = start_worker(x, seeds, n, i);
		}
	}
}

static void show_shrunk(const struct settings *x, uint64_t seed)
{
	struct verdict was;
	struct script s;
	size_t n = 0, trials;

	if (!make_script(x, seed, &s))
		return;
	s.o.told = false;
	try_apart(&s, false, &was);
	if (!was.failed) {
		printf("seed %" PRIu64 " does not fail when it runs once\n",
		       seed);
		script_release(&s);
		return;
	}
	trials = shrink(&s, &was, SHRINK_S);
	printf("\nseed %" PRIu64 ", shrunk in %zu trials:\n\n", seed, trials);
	try_apart(&s, true, &was);
	for (size_t i = 0; i < s.n; i++)
		n += !s.v[i].off;
	printf("\nFAILED: %s\n%zu deeds, %zu sites; again with:\n  sim -1 -d",
	       was.why, n, s.o.n_sites);
	script_print(&s);
	printf("\n\n");
	script_release(&s);
}

static bool show_tally(uint64_t n)
{
	bool good = true;

	for (size_t i = 0; i < TALLY_N; i++) {
		printf("%12" PRIu64 " %s\n", shared->tally[i], tally_text[i]);
		if (n >= MANY_SEEDS && !shared->tally[i]) {
			printf("FAILED: %s: never, in %" PRIu64 " seeds\n",
			       tally_text[i], n);
			good = false;
		}
	}
	return good;
}

/* The engine that ships is the engine that is tried. */
static bool show_checksum(const char *path)
{
	static char buf[1 << 24];
	struct ch_bytes bytes = {buf, 0};
	FILE *f = fopen(path, "rb");
	struct ch_hash hash;

	if (!f) {
		fprintf(stderr, "sim: %s cannot be read\n", path);
		return false;
	}
	bytes.len = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	hash_sum(&bytes, 1, &hash);
	for (size_t i = 0; i < sizeof(hash.b); i++)
		printf("%02x", hash.b[i]);
	printf("  %s\n", path);
	return bytes.len < sizeof(buf);
}

static uint64_t read_seeds(const char *path, uint64_t **ret)
{
	uint64_t n = 0, alloc = 0, *v = NULL;
	FILE *f = fopen(path, "r");
	char line[80];

	if (!f) {
		fprintf(stderr, "sim: %s cannot be read\n", path);
		exit(2);
	}
	while (fgets(line, sizeof(line), f)) {
		char *end;

		if (line[0] == '#' || line[0] == '\n')
			continue;
		if (n == alloc) {
			alloc = alloc ? 2 * alloc : 64;
			v = realloc(v, alloc * sizeof(*v));
			CHECK(v);
		}
		v[n++] = strtoull(line, &end, 10);
		if (*end != '\n' && *end != ' ') {
			fprintf(stderr, "sim: %s: '%s' is no seed\n", path,
				line);
			exit(2);
		}
	}
	fclose(f);
	*ret = v;
	return n;
}

static uint64_t count_seeds(const struct settings *x, uint64_t **ret)
{
	uint64_t n = x->last - x->first + 1, *v;

	if (x->file)
		return read_seeds(x->file, ret);
	v = calloc(n, sizeof(*v));
	CHECK(v);
	for (uint64_t i = 0; i < n; i++)
		v[i] = x->first + i;
	*ret = v;
	return n;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* On one core: processor seconds for a million steps. */
static int bench(struct settings *x)
{
	for (int all = 0; all < 2; all++) {
		double began = seconds();
		uint64_t steps = 0;

		for (uint64_t seed = x->first; steps < 1000000; seed++) {
			struct verdict v;
			struct script s;

			if (!make_script(x, seed, &s))
				return 2;
			s.o.audits = all ? 1 : 64;
			run_script(&s, &v);
			run_end();
			script_release(&s);
			steps += v.tally[TALLY_STEPS];
		}
		printf("%" PRIu64 " steps, %s: %.1f s\n", steps,
		       all ? "all checks after each round"
			   : "stores audited in one round of 64",
		       seconds() - began);
	}
	return 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: sim [-dvxq1b] [-j N] [-a CORE.A] [-o KEY=N,...]"
			" [-k DEEDS] [-s FILE | FIRST [LAST]]\n");
	return 2;
}

static bool parse(const char *s, uint64_t *ret)
{
	char *end;

	*ret = strtoull(s, &end, 10);
	return s[0] >= '0' && s[0] <= '9' && !*end;
}

static bool read_settings(int argc, char **argv, struct settings *x)
{
	uint64_t workers = 1;
	int c;

	while ((c = getopt(argc, argv, "j:s:a:o:k:dvxq1b")) != -1)
		switch (c) {
		case 'j':
			if (!parse(optarg, &workers) || !workers ||
			    workers > WORKERS_MAX)
				return false;
			break;
		case 's':
			x->file = optarg;
			break;
		case 'a':
			x->archive = optarg;
			break;
		case 'o':
			x->options = optarg;
			break;
		case 'k':
			x->keep = optarg;
			break;
		case 'd':
			x->draw = true;
			break;
		case 'v':
			x->verbose = true;
			break;
		case 'x':
			x->unshrunk = true;
			break;
		case 'q':
			x->quick = x->unshrunk = true;
			break;
		case '1':
			x->once = true;
			break;
		case 'b':
			x->bench = true;
			break;
		default:
			return false;
		}
	x->workers = (unsigned int)workers;
	x->first = 1;
	x->last = 200;
	argc -= optind;
	argv += optind;
	if ((argc > 0 && !parse(argv[0], &x->first)) ||
	    (argc > 1 && !parse(argv[1], &x->last)) || argc > 2)
		return false;
	if (argc == 1)
		x->last = x->first;
	return x->last >= x->first;
}

int main(int argc, char **argv)
{
	struct settings x = {.first = 1};
	uint64_t *seeds, n;
	bool good;

	if (!read_settings(argc, argv, &x))
		return usage();
	if (x.archive && !show_checksum(x.archive))
		return 2;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	if (x.bench)
		return bench(&x);
	n = count_seeds(&x, &seeds);
	run_all(&x, seeds, n);
	if (shared->n_failed && !x.unshrunk && !x.draw)
		show_shrunk(&x, shared->failed[0]);
	good = x.quick || n < 100 || show_tally(n);
	printf("%" PRIu64 " seeds, %" PRIu64 " failed\n", shared->done,
	       shared->n_failed);
	free(seeds);
	return shared->n_failed || !good;
}
