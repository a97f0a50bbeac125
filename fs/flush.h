/*
 * flush.h -- who calls, and is this flush the last one?
 *
 * A FLUSH is sent for each close() of each copy of a file descriptor, so it is
 * not "the writer is done". What is known besides comes from /proc: whether
 * the process that flushes is dying of a signal, and whether it, or the
 * process that opened the file, still holds another descriptor of the file
 * that can write. Where /proc cannot tell (another PID namespace, another
 * user's process and no rights), the answer is that it is the last: a commit
 * too many is better than one that never comes.
 */
#ifndef CHEOPS_FS_FLUSH_H
#define CHEOPS_FS_FLUSH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct proc { /* A process, told apart from a later one of the same number. */
	pid_t tgid;
	pid_t parent;
	uint64_t start; /* In ticks since boot. 0: unknown. */
};

/* The process that had that number at a moment: who has it later started
 * later. Costs a tenth of proc_of(). */
struct proc_then {
	pid_t tgid;   /* 0: there was none to be seen. */
	uint64_t when; /* In ticks since boot. */
};

/* The process of a thread; .tgid is 0 when there is none to be seen. */
struct proc proc_of(pid_t tid);
struct proc_then proc_then(pid_t tid);
/* One number for it. */
uint64_t proc_number(const struct proc *p);
/* SIGKILL is on its way to that thread: no one waits for the answer. */
bool proc_is_killed(pid_t tid);

/* Is that thread, which waits for us, about to make a name that must not be
 * there yet: open() with O_CREAT and O_EXCL, or (@dir) mkdir()? False where
 * that cannot be seen. */
bool proc_makes_name(pid_t tid, bool dir);

struct flush_question {
	pid_t tid;               /* Who flushes. */
	struct proc_then opener; /* Who opened the file. */
	bool wrote;              /* Who flushes has written to this handle. */
	const char *base;        /* The file's name in its directory. */
	uint64_t ino, ino_old;   /* Its st_ino; before it was renamed, or 0. */
};

enum flush_verdict {
	FLUSH_LAST,    /* Commit now. */
	FLUSH_MORE,    /* Somebody can still write. */
	FLUSH_DISCARD, /* The writer was killed: nothing is committed. */
};

enum flush_verdict flush_judge(const struct flush_question *q);

#endif
