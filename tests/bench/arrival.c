/*
 * arrival.c -- how long until what was written at one site is read at another.
 *
 *	arrival SPEC THERE N PAUSE
 *
 * Writes SPEC, a file of one site's mount, N times, with PAUSE milliseconds
 * between, so that what the last one set off is over. From the moment that
 * close() is called the file THERE, the same on another site's mount, is
 * opened, read and closed every 50 microseconds until it holds what was
 * written. Prints p50 and p99 of that in microseconds, then those of close()
 * alone.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define PAUSE_NS 50000
#define LIMIT_NS 10000000000u /* Then it has not arrived. */

struct watch {
	const char *path;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	char want[WRITE_LEN];
	uint64_t turn, seen; /* What is awaited, and what has come. */
	uint64_t seen_ns;
};

static int holds(const char *path, const char *want)
{
	char got[WRITE_LEN + 1];
	int fd = open(path, O_RDONLY);
	ssize_t len;

	if (fd < 0)
		die(path, strerror(errno));
	len = read(fd, got, sizeof(got));
	close(fd);
	return len == WRITE_LEN && memcmp(got, want, WRITE_LEN) == 0;
}

/* A reader there, with a thread of its own: close() is under way meanwhile. */
static void *reader(void *arg)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	struct watch *w = arg;

	for (;;) {
		uint64_t turn, start = now_ns(), now;

		pthread_mutex_lock(&w->lock);
		while (w->turn == w->seen)
			pthread_cond_wait(&w->moved, &w->lock);
		turn = w->turn;
		pthread_mutex_unlock(&w->lock);
		if (turn == UINT64_MAX)
			return NULL;
		start = now_ns();
		while (!holds(w->path, w->want)) {
			if (now_ns() - start > LIMIT_NS)
				die(w->path, "it has not arrived after 10 s");
			nanosleep(&pause, NULL);
		}
		now = now_ns();
		pthread_mutex_lock(&w->lock);
		w->seen_ns = now;
		w->seen = turn;
		pthread_cond_broadcast(&w->moved);
		pthread_mutex_unlock(&w->lock);
	}
}

static void await(struct watch *w, uint64_t turn)
{
	pthread_mutex_lock(&w->lock);
	w->turn = turn;
	pthread_cond_broadcast(&w->moved);
	pthread_mutex_unlock(&w->lock);
}

static void once(struct watch *w, const char *spec, uint64_t turn,
		 struct times *arrived, struct times *closed)
{
	int fd = open(spec, O_WRONLY | O_TRUNC);
	uint64_t before;

	fill(w->want, WRITE_LEN, 0, before = now_ns());
	if (fd < 0 || write(fd, w->want, WRITE_LEN) != WRITE_LEN)
		die(spec, strerror(errno));
	await(w, turn);
	before = now_ns();
	if (close(fd) < 0)
		die(spec, strerror(errno));
	times_add(closed, now_ns() - before);
	pthread_mutex_lock(&w->lock);
	while (w->seen != turn)
		pthread_cond_wait(&w->moved, &w->lock);
	pthread_mutex_unlock(&w->lock);
	times_add(arrived, w->seen_ns - before);
}

int main(int argc, char **argv)
{
	struct times arrived = {.ns = NULL}, closed = {.ns = NULL};
	struct watch w = {.turn = 0};
	struct timespec pause = {.tv_sec = 0};
	pthread_t thread;
	unsigned long n;

	if (argc != 5) {
		fprintf(stderr, "usage: arrival SPEC THERE N PAUSE\n");
		return 2;
	}
	n = number("N", argv[3], 1000000);
	pause.tv_nsec = (long)number("PAUSE", argv[4], 999) * 1000000;
	w.path = argv[2];
	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.moved, NULL);
	if (pthread_create(&thread, NULL, reader, &w) != 0)
		die("pthread_create", "failed");
	for (uint64_t i = 1; i <= n; i++) {
		once(&w, argv[1], i, &arrived, &closed);
		nanosleep(&pause, NULL);
	}
	await(&w, UINT64_MAX);
	pthread_join(thread, NULL);
	times_print(&arrived);
	printf(" ");
	times_print(&closed);
	printf("\n");
	times_release(&arrived);
	times_release(&closed);
	pthread_cond_destroy(&w.moved);
	pthread_mutex_destroy(&w.lock);
	return 0;
}
