/*
 * parse.h -- what people write: durations, sizes, numbers, addresses.
 *
 * All are strict: the whole string, no blanks, nothing rounded. Each sets a
 * sentence that says what stands there and what would be right.
 */
#ifndef CHEOPS_FS_PARSE_H
#define CHEOPS_FS_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

/* `500ms`, `1s`, `2m`, `1h`: 0 and milliseconds; -EINVAL; -ERANGE when they
 * do not fit into 32 bits. */
int parse_duration(const char *s, uint32_t *ret_ms, struct err *reterr);

/* Seconds as mount options have them (`60`, `0.5`), or a duration. */
int parse_seconds(const char *s, double *ret_s, struct err *reterr);

/* Bytes: a number, or one with K, M or G behind it (times 1024). */
int parse_size(const char *s, uint64_t *ret_bytes, struct err *reterr);

/* A number of @base 8 or 10 that is not above @max. */
int parse_number(const char *s, unsigned int base, uint64_t max,
		 uint64_t *ret_number, struct err *reterr);

struct parse_address {
	char host[254]; /* Without brackets. */
	uint16_t port;
	bool numeric;  /* An IPv4 or IPv6 address, no name. */
	bool loopback; /* 127.0.0.0/8, ::1, or the name localhost. */
	bool any;      /* 0.0.0.0 or :: */
};

/* HOST:PORT or [ADDRESS]:PORT. 0 or -EINVAL. Asks no name server. */
int parse_address(const char *s, struct parse_address *ret_address,
		  struct err *reterr);

#endif
