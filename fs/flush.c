/* flush.c -- see flush.h. */
#include "fs/flush.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PF_EXITING 0x4u /* Of the flags in /proc/PID/stat. */
#define SIGKILL_BIT (1ull << 8)

/* A whole file of /proc as a string; false: it cannot be read. Those that we
 * read are made at once: what does not fill the buffer is all of it. */
static bool read_text(int dir, const char *path, char *buf, size_t size)
{
	ssize_t n;
	int fd;

	fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, buf, size - 1);
	close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* The number behind "@key" at the start of a line. */
static bool find_number(const char *text, const char *key, int base,
			uint64_t *ret_value)
{
	size_t len = strlen(key);

	while (text) {
		if (strncmp(text, key, len) == 0) {
			*ret_value = strtoull(text + len, NULL, base);
			return true;
		}
		text = strchr(text, '\n');
		if (text)
			text++;
	}
	return false;
}

/* Field @i, counted from 1 as in proc(5), of a stat line. */
static uint64_t stat_field(const char *text, int i)
{
	const char *p = strrchr(text, ')'); /* A name may hold anything. */

	for (int at = 2; p && at < i; at++) {
		p = strchr(p, ' ');
		if (p)
			p++;
	}
	return p ? strtoull(p, NULL, 10) : 0;
}

/* Is the thread of that stat line its process's first? The kernel tells them
 * apart by this, too: no other thread's end is signalled to a parent. */
static bool is_leader(const char *stat)
{
	return stat_field(stat, 38) != UINT64_MAX; /* -1 */
}

/* Does that thread belong to that process? False where it cannot be seen. */
static bool is_thread_of(pid_t tid, pid_t tgid)
{
	return tgid > 0 && tgkill(tgid, tid, 0) == 0;
}

static pid_t tgid_of(pid_t tid)
{
	char path[64], text[4096];
	uint64_t n = 0;

	if (is_thread_of(tid, tid))
		return tid;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	if (read_text(AT_FDCWD, path, text, sizeof(text)))
		find_number(text, "Tgid:", 10, &n);
	return (pid_t)n;
}

/* As proc_of(); @text, of @size, then holds /proc/TID/stat of the thread. */
static struct proc look_at(pid_t tid, char *text, size_t size)
{
	struct proc p = {.tgid = 0};
	char path[64], status[4096];
	uint64_t n;

	text[0] = '\0';
	if (tid <= 0)
		return p;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)tid);
	if (!read_text(AT_FDCWD, path, text, size))
		return p;
	if (is_leader(text)) {
		p.tgid = tid;
		p.parent = (pid_t)stat_field(text, 4);
		p.start = stat_field(text, 22);
		return p;
	}
	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	if (!read_text(AT_FDCWD, path, status, sizeof(status)))
		return p;
	if (find_number(status, "Tgid:", 10, &n))
		p.tgid = (pid_t)n;
	if (find_number(status, "PPid:", 10, &n))
		p.parent = (pid_t)n;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)p.tgid);
	if (read_text(AT_FDCWD, path, status, sizeof(status)))
		p.start = stat_field(status, 22);
	return p;
}

struct proc proc_of(pid_t tid)
{
	char text[1024];

	return look_at(tid, text, sizeof(text));
}

struct proc_then proc_then(pid_t tid)
{
	struct proc_then p = {.tgid = tid > 0 ? tgid_of(tid) : 0};
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
	struct timespec t;

	/* Rounded down, as the kernel does it. */
	clock_gettime(CLOCK_BOOTTIME, &t);
	p.when =
		(uint64_t)t.tv_sec * hz + (uint64_t)t.tv_nsec * hz / 1000000000;
	return p;
}

/* It is still there and is the same. */
static bool proc_lives(const struct proc_then *p)
{
	char path[64], text[1024];

	if (p->tgid <= 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)p->tgid);
	return read_text(AT_FDCWD, path, text, sizeof(text)) &&
	       stat_field(text, 22) <= p->when;
}

uint64_t proc_number(const struct proc *p)
{
	return p->start << 22 ^ (uint64_t)p->tgid;
}

bool proc_is_killed(pid_t tid)
{
	char path[64], text[4096];
	uint64_t own = 0, shared = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	if (!read_text(AT_FDCWD, path, text, sizeof(text)))
		return false;
	find_number(text, "SigPnd:", 16, &own);
	find_number(text, "ShdPnd:", 16, &shared);
	return ((own | shared) & SIGKILL_BIT) != 0;
}

bool proc_makes_name(pid_t tid, bool dir)
{
	unsigned long long arg[4] = {0};
	const unsigned long long excl = O_CREAT | O_EXCL;
	char path[64], text[512];
	long nr = 0;

	snprintf(path, sizeof(path), "/proc/%d/syscall", (int)tid);
	/* It has sent the request, and may not be asleep yet. */
	for (int tries = 0; tries < 100; tries++) {
		if (!read_text(AT_FDCWD, path, text, sizeof(text)))
			return false;
		if (strncmp(text, "running", 7) != 0)
			break;
		sched_yield();
	}
	if (sscanf(text, "%ld %llx %llx %llx %llx", &nr, &arg[0], &arg[1],
		   &arg[2], &arg[3]) != 5)
		return false;
	if (dir) {
#ifdef SYS_mkdir
		if (nr == SYS_mkdir)
			return true;
#endif
		return nr == SYS_mkdirat;
	}
#ifdef SYS_open
	if (nr == SYS_open)
		return (arg[1] & excl) == excl;
#endif
	return nr == SYS_openat && (arg[2] & excl) == excl;
}

/* By its line of /proc/TID/stat. */
static bool is_dying_of_signal(const char *stat)
{
	return (stat_field(stat, 9) & PF_EXITING) != 0 &&
	       (stat_field(stat, 52) & 0x7f) != 0;
}

/* Does that link end in "/@base", but for what the kernel adds? */
static bool link_is(const char *link, size_t len, const char *base)
{
	static const char gone[] = " (deleted)";
	size_t gone_len = sizeof(gone) - 1, base_len = strlen(base);

	if (len > gone_len &&
	    memcmp(link + len - gone_len, gone, gone_len) == 0)
		len -= gone_len;
	return len > base_len && link[len - base_len - 1] == '/' &&
	       memcmp(link + len - base_len, base, base_len) == 0;
}

/*
 * Has that process a descriptor of the file that can write? The links are
 * only read, never followed: following one would ask this very mount. The
 * name tells which are worth the price of a look at fdinfo; the inode number
 * there decides, in whatever mount namespace the process lives.
 */
static bool holds_writable(pid_t tgid, const struct flush_question *q)
{
	char path[64], link[4096], info[1024];
	_Alignas(struct dirent64) char list[4096];
	bool holds = false;
	int dir, info_dir = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)tgid);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/fdinfo", (int)tgid);
	while (!holds && (n = getdents64(dir, list, sizeof(list))) > 0) {
		for (ssize_t at = 0; at < n && !holds;) {
			const struct dirent64 *de =
				(const struct dirent64 *)(const void *)(list +
									at);
			uint64_t ino = 0, flags = 0;
			ssize_t len;

			at += de->d_reclen;
			if (de->d_name[0] == '.')
				continue;
			len = readlinkat(dir, de->d_name, link, sizeof(link));
			if (len < 0 || !link_is(link, (size_t)len, q->base))
				continue;
			if (info_dir < 0)
				info_dir = open(path, O_RDONLY | O_DIRECTORY |
							      O_CLOEXEC);
			if (info_dir < 0 || !read_text(info_dir, de->d_name,
						       info, sizeof(info)))
				continue;
			find_number(info, "flags:", 8, &flags);
			find_number(info, "ino:", 10, &ino);
			holds = (flags & O_ACCMODE) != O_RDONLY &&
				(ino == q->ino ||
				 (q->ino_old && ino == q->ino_old));
		}
	}
	if (info_dir >= 0)
		close(info_dir);
	close(dir);
	return holds;
}

enum flush_verdict flush_judge(const struct flush_question *q)
{
	char path[64], stat[1024];
	pid_t tgid = 0;

	if (q->tid <= 0)
		return FLUSH_LAST;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)q->tid);
	if (!read_text(AT_FDCWD, path, stat, sizeof(stat)))
		stat[0] = '\0';
	else if (is_leader(stat))
		tgid = q->tid;
	else if (is_thread_of(q->tid, q->opener.tgid))
		tgid = q->opener.tgid;
	else
		tgid = tgid_of(q->tid);
	if (is_dying_of_signal(stat)) {
		if (q->wrote || tgid == q->opener.tgid)
			return FLUSH_DISCARD;
		return FLUSH_MORE;
	}
	if (tgid > 0 && holds_writable(tgid, q))
		return FLUSH_MORE;
	if (q->opener.tgid != tgid && proc_lives(&q->opener) &&
	    holds_writable(q->opener.tgid, q))
		return FLUSH_MORE;
	return FLUSH_LAST;
}
