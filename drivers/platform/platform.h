/*
 * platform.h -- the drivers: what puts a desired state in force here.
 *
 * A driver is a table of functions and a thread or event loop of its own. It
 * is handed jobs and answers each exactly once, from any thread: a slow or
 * dead platform delays nothing but its own jobs. At most one job per resource
 * is under way at a time.
 *
 * Absence is never removal: a driver removes something only for a WITHDRAW.
 */
#ifndef CHEOPS_DRIVERS_PLATFORM_PLATFORM_H
#define CHEOPS_DRIVERS_PLATFORM_PLATFORM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/id.h"

struct platform;

enum platform_verb {
	PLATFORM_APPLY,    /* Make it so. Idempotent; repeated after a crash. */
	PLATFORM_OBSERVE,  /* Look, change nothing. */
	PLATFORM_WITHDRAW, /* Remove what was applied. Gone already: success. */
};

struct platform_job {
	uint64_t id;
	enum platform_verb verb;
	const char *name;      /* The resource. */
	struct ch_id lineage;  /* Whose objects these are. */
	bool owned;            /* The store knows of an apply that was done, so
				* what is there is ours. */
	/* Not owned, but applies of these were begun, and a crash hid their
	 * end: such bytes are ours too. Zeros: bytes that nobody remembers. */
	const struct ch_hash *before;
	size_t n_before;
	struct ch_bytes spec;  /* APPLY: the effective spec. */
	struct ch_hash effective; /* Its hash; OBSERVE: what should be there. */
	bool take;             /* APPLY: what is there and is not ours may be
				* taken over. */
	bool secret;           /* Private: nothing of it in messages or
				* observed, no rights for others on it. */
};

/* Borrowed by the callback while it runs. */
struct platform_result {
	int err;             /* 0, or below zero: message says what. */
	bool retry;          /* Worth trying again by itself. */
	uint32_t retry_ms;   /* Not before; 0: the usual backoff. */
	const char *message; /* One line for status; "" when there is none. */
	bool nothing;        /* APPLY that failed: nothing of ours is there. */
	bool healthy;        /* APPLY, OBSERVE: what is there is `effective`
			      * and works. */
	bool drift;          /* OBSERVE: it is there, but not as applied, or
			      * it is gone. */
	const char *observed; /* JSON for the file observed; NULL: unchanged. */
};

struct platform_callbacks {
	void (*done)(void *arg, uint64_t id, const struct platform_result *r);
	/* Something about @name changed on the platform: observe it. NULL:
	 * anything may have changed. */
	void (*changed)(void *arg, const char *name);
	void *arg;
};

struct platform_figures {
	bool reachable;
	uint64_t applied, withdrawn, observed, failed;
	const char *version;   /* Of the platform; "" when it has none. */
	char last_error[256];  /* "" when there was none. */
};

struct platform_ops {
	const char *name; /* As it stands in the file driver. */
	/* Pure, local, quick: would apply refuse this at once? 0, or -EINVAL
	 * with line and column where they are known. */
	int (*check)(struct ch_bytes name, struct ch_bytes spec,
		     struct err *reterr);
	/* Copies the job. Without memory for that, done() is called at once, in
	 * the caller's thread. */
	/* Is @spec, or what begins like it, meant to be JSON or YAML? */
	bool (*must_parse)(struct ch_bytes name, struct ch_bytes spec);
	void (*submit)(struct platform *p, const struct platform_job *job);
	void (*figures)(struct platform *p, struct platform_figures *ret);
	/* Jobs that have not begun are dropped without an answer; returns when
	 * no callback is running or will run. */
	void (*close)(struct platform *p);
};

struct platform {
	const struct platform_ops *ops;
	struct platform_callbacks cb;
};

/*
 * A resource is the file ROOT/NAME, holding the effective spec's bytes: mode
 * 0644, of a private one 0600; another mode is drift. @root is made when its
 * parent is there; -ENOENT ... with a sentence when it cannot be used, -EBUSY
 * when another agent uses it. Callbacks may come before this returns.
 *
 * It overwrites and removes regular files alone, and only such as are `owned`;
 * a file of equal bytes is adopted, and with `take` any regular file; it gets
 * that mode. Anything else there is -EEXIST.
 */
int platform_directory_open(const char *root,
			    const struct platform_callbacks *cb,
			    struct platform **ret_platform,
			    struct err *reterr);
extern const struct platform_ops platform_directory_ops;

#endif
