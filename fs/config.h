/*
 * config.h -- the file cheops.yaml(5), read and checked.
 */
#ifndef CHEOPS_FS_CONFIG_H
#define CHEOPS_FS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct config_pair {
	char *key, *value;
};

struct config {
	char *path; /* The file, absolute. */
	char *site;
	char *listen; /* NULL: this site only dials out. */
	char *store;  /* Paths are absolute from here on. */
	bool tls;
	char *ca, *cert, *key;     /* NULL without tls. */
	uint64_t cert_not_after;   /* Its end, seconds since 1970; 0. */
	struct config_pair *peers; /* Name, address. */
	size_t n_peers;
	struct config_pair *labels;
	size_t n_labels;
	uint32_t heartbeat_ms, grace_ms; /* 1 s, 5 s unless it says. */
	char *driver_default; /* Unless it says: "directory" where there is a
			       * root, else "none". */
	char *directory_root; /* NULL: no directory driver here. */
};

/* Load and check all that can be checked without starting: syntax, unknown
 * keys, types, names, addresses, that files are there and readable. -EINVAL,
 * -ENOENT ... and `FILE:LINE: what is wrong; what would be right`. */
int config_load(const char *path, struct config **ret_config,
		struct err *reterr);
void config_free(struct config *cfg); /* Takes NULL. */

#endif
