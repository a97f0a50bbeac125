/*
 * report.h -- what a site says of itself about one resource.
 *
 * Written by that site alone, so the newest one, by (epoch, number), is the
 * one that counts, and no clock is needed. The encoding is drawn in report.c.
 */
#ifndef CHEOPS_CORE_REPORT_H
#define CHEOPS_CORE_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/id.h"

#define REPORT_FORMAT 1
#define REPORT_LEN_MAX (128u * 1024u)
#define REPORT_OBSERVED_MAX (64u * 1024u)

/* Worst first, as web/state shows them. Stored and sent: numbers stay. */
enum state {
	STATE_CONFLICT = 0,
	STATE_FAILED = 1,
	STATE_CONTENDED = 2,
	STATE_DEGRADED = 3,
	STATE_UNREACHABLE = 4,
	STATE_BLOCKED = 5,
	STATE_HELD = 6,
	STATE_REMOVING = 7,
	STATE_APPLYING = 8,
	STATE_PENDING = 9,
	STATE_READY = 10,
	STATE_IDLE = 11,
	STATES
};

/* "conflict" ... */
const char *state_word(enum state s);

/* A version of the effective spec: zeros where there is none. */
struct version {
	struct ch_hash vid, patch_vid;
};

bool version_equal(const struct version *a, const struct version *b);
bool version_is_zero(const struct version *a);
/* One word, SPEC+PATCH, or "-". */
void version_to_text(const struct version *v, struct strbuf *sb);

struct report {
	struct ch_bytes name; /* The resource. */
	struct ch_id site;
	uint32_t epoch, nonce;
	uint64_t number; /* Grows within the epoch. */
	uint8_t state;   /* enum state */
	struct version desired, applied, healthy;
	uint32_t tries;
	uint64_t next_try_ms; /* Wall clock of that site; 0: none. */
	uint64_t changed_ms;  /* Its wall clock when state last changed. */
	struct ch_bytes message, observed;
	struct ch_bytes extra; /* Of later versions: kept. */
};

/* In extra: the name on the platform, where it is not the resource's. Appended;
 * and found: empty where it does not say. */
void report_put_object(struct strbuf *extra, struct ch_bytes object);
struct ch_bytes report_object(const struct report *r);

void report_encode(const struct report *r, struct strbuf *sb);
/* Borrows from @in. 0 or -EPROTO. */
int report_decode(struct ch_bytes in, struct report *ret_report);
/* Is @a newer than @b, of the same site? */
bool report_is_newer(const struct report *a, const struct report *b);

#endif
