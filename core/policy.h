/*
 * policy.h -- the file policy: what may be done for a resource, by key and
 * word; and the file hold: how long nothing is.
 */
#ifndef CHEOPS_CORE_POLICY_H
#define CHEOPS_CORE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/strbuf.h"

enum policy_key { /* In the order of their names. */
	POLICY_ADOPT,
	POLICY_DRIFT,
	POLICY_MERGE,
	POLICY_ON_REMOVE,
	POLICIES
};

#define HOLD_MS_MAX (366ull * 86400000u)

const char *policy_name(enum policy_key key);
/* The word in force where nobody has written one. */
const char *policy_default(enum policy_key key);
/* Is @word one that @key takes? */
bool policy_takes(enum policy_key key, struct ch_bytes word);

/* Calls @fn for each line of @text that is not empty. 0, what @fn returned, or
 * -EINVAL with the sentence. */
typedef int policy_fn(void *arg, enum policy_key key, struct ch_bytes word);
int policy_parse(struct ch_bytes text, policy_fn *fn, void *arg,
		 struct err *reterr);

/* 30m, as one line. 0, or -EINVAL with the sentence. */
int hold_parse(struct ch_bytes text, uint64_t *ret_ms, struct err *reterr);
/* The same, rounded up to a unit in which it is exact enough: 0s, 90s, 30m. */
void hold_text(uint64_t ms, struct strbuf *sb);

#endif
