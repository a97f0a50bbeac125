/*
 * fsync.c -- the least that a durable kilobyte costs on a disk.
 *
 *	fsync DIR SECONDS
 *
 * Appends 1 kB to a file in DIR and calls fdatasync(), over and over. Prints
 * p50 and p99 in microseconds, and how many a second. The file is removed.
 */
#include <fcntl.h>
#include <unistd.h>

#include "tests/bench/bench.h"

int main(int argc, char **argv)
{
	struct times times = {.ns = NULL};
	char path[4096], block[WRITE_LEN];
	uint64_t start, end;
	int fd;

	if (argc != 3) {
		fprintf(stderr, "usage: fsync DIR SECONDS\n");
		return 2;
	}
	snprintf(path, sizeof(path), "%s/fsync-%d", argv[1], (int)getpid());
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0600);
	if (fd < 0)
		die(path, strerror(errno));
	unlink(path);
	start = now_ns();
	end = start + number("SECONDS", argv[2], 3600) * 1000000000u;
	for (uint64_t i = 0;; i++) {
		uint64_t before;

		fill(block, sizeof(block), 0, i);
		before = now_ns();
		if (before >= end)
			break;
		if (write(fd, block, sizeof(block)) != sizeof(block) ||
		    fdatasync(fd) < 0)
			die(path, strerror(errno));
		times_add(&times, now_ns() - before);
	}
	close(fd);
	times_print(&times);
	printf(" %.0f\n", (double)times.n * 1e9 / (double)(now_ns() - start));
	times_release(&times);
	return 0;
}
