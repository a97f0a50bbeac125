/*
 * config_private.h -- a config while it is loaded: what config.c reads and
 * config_checks.c then checks as a whole.
 */
#ifndef CHEOPS_FS_CONFIG_PRIVATE_H
#define CHEOPS_FS_CONFIG_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

#include "core/err.h"
#include "core/message.h"
#include "core/strbuf.h"
#include "fs/config.h"

struct config_load {
	struct config *cfg;
	struct err *err;
	char *folder; /* What relative paths are relative to. */
	yaml_document_t doc;
	bool listen_loopback;
	/* Where things stand; 0: nowhere. */
	unsigned long line_site, line_listen, line_store;
	unsigned long line_tls, line_ca, line_cert, line_key;
	unsigned long line_far_peer; /* The first that is not on loopback. */
	unsigned long line_default, line_root;
	unsigned long line_peers[MSG_MEMBERS_MAX];
};

/* Set `FILE:LINE: ...`; returns @code. */
int config_fail(struct config_load *l, unsigned long line, int code,
		const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Append the file's bytes. 0; -EFBIG above @len_max, -EISDIR, -EINVAL for
 * what is no regular file, or the errno. */
int config_read_file(const char *path, size_t len_max, struct strbuf *out);

/* What several keys say together, and what the files they name hold. Fills in
 * driver_default where it was left out. */
int config_check_all(struct config_load *l);

#endif
