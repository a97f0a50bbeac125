/*
 * address.h -- HOST:PORT and [HOST]:PORT.
 */
#ifndef CHEOPS_DRIVERS_NET_ADDRESS_H
#define CHEOPS_DRIVERS_NET_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

struct address {
	char host[254]; /* Without brackets. */
	uint16_t port;
	bool is_v6; /* It stood in brackets. */
};

/* -EINVAL with what would be right. Resolves nothing. */
int address_parse(const char *text, struct address *ret_address,
		  struct err *reterr);

/* 127.0.0.0/8, ::1 or localhost: by its text alone. */
bool address_is_loopback(const struct address *a);

/* A bound, listening, non-blocking TCP socket and the port it got. [::] takes
 * IPv4 too. Below zero: what failed, with the address in the sentence. */
int address_listen(const struct address *a, uint16_t *ret_port,
		   struct err *reterr);

#endif
