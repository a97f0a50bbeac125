/*
 * bench.h -- what the programs here share: a clock, times to sort, and how
 * they end when something fails.
 *
 * Each prints its figures as one line of words, for the script bench to read:
 * microseconds, and operations a second.
 */
#ifndef CHEOPS_TESTS_BENCH_BENCH_H
#define CHEOPS_TESTS_BENCH_BENCH_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WRITE_LEN 1000 /* The 1 kB that all of them write. */

static inline _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what,
		why);
	exit(1);
}

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Of the command line: a number from 1 to @max, or the end. */
static inline unsigned long number(const char *what, const char *text,
				   unsigned long max)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || *end || end == text || n < 1 || n > max)
		die(what, "not a number, or out of range");
	return n;
}

struct times {
	uint64_t *ns;
	size_t n, max;
};

static inline void times_add(struct times *t, uint64_t ns)
{
	if (t->n == t->max) {
		size_t max = t->max ? t->max * 2 : 4096;
		uint64_t *more = realloc(t->ns, max * sizeof(*more));

		if (!more)
			die("times", "no memory");
		t->ns = more;
		t->max = max;
	}
	t->ns[t->n++] = ns;
}

static inline int times_cmp(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

/* Sorts them. "P50 P99" in microseconds, without an end of line. */
static inline void times_print(struct times *t)
{
	if (t->n == 0)
		die("times", "nothing was done in the time given");
	qsort(t->ns, t->n, sizeof(*t->ns), times_cmp);
	printf("%.1f %.1f", (double)t->ns[t->n / 2] / 1e3,
	       (double)t->ns[t->n * 99 / 100] / 1e3);
}

static inline void times_release(struct times *t)
{
	free(t->ns);
	*t = (struct times){.ns = NULL};
}

/* Text, never the same twice: an equal content would make no version. Letters
 * at random, so that no compression makes it shorter than it looks. */
static inline void fill(char *to, size_t len, uint64_t who, uint64_t turn)
{
	int head = snprintf(to, len, "# %llu of %llu\n",
			    (unsigned long long)turn, (unsigned long long)who);
	uint64_t seed = (who + 1) * 0x9e3779b97f4a7c15u ^ (turn + 1);

	for (size_t i = (size_t)head; i < len; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		to[i] = i % 50 == 49 ? '\n' : (char)('a' + (seed >> 40) % 26);
	}
	to[len - 1] = '\n';
}

#endif
