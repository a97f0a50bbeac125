/*
 * daemon.h -- being a service: the background, and what systemd is told.
 *
 * daemon_start() forks before the store is opened and before there is any
 * thread (RocksDB survives no fork). The parent stays until the child is
 * ready, ends with 0 then, and with the child's status when it ends first: so
 * whoever started it knows whether the tree answers. The child's sentences go
 * to the same stderr until it is ready.
 */
#ifndef CHEOPS_FS_DAEMON_H
#define CHEOPS_FS_DAEMON_H

#include <stdbool.h>

#include "core/err.h"

struct daemon {
	int parent; /* Where its byte goes; -1: there is none that waits. */
	bool background;
	struct daemon_watchdog *watchdog;
};

/*
 * Before anything opens a file: 0, 1 and 2 are open afterwards, and, to go to
 * the @background, all inherited others closed: whoever waits for the end of
 * a pipe would wait for ours.
 */
void daemon_close_inherited(bool background);

/*
 * Unless in the background, fork; only the child returns. Blocks TERM, INT
 * and HUP in either case (whoever serves the mount unblocks them), and ignores
 * PIPE. A signal that the parent gets meanwhile is handed on. The child's
 * working directory is `/`.
 */
int daemon_start(bool background, struct daemon *ret_daemon,
		 struct err *reterr);

/*
 * The tree answers: tell systemd, let the parent go, and leave its stderr. If
 * systemd asked for it (WATCHDOG_USEC), begin to look at @mountpoint twice as
 * often, from a child that may be killed, and to tell that it answered. Any
 * thread; once.
 */
void daemon_ready(struct daemon *d, const char *mountpoint);

/* The end has begun: tell systemd; no watchdog looks after that. */
void daemon_stopping(struct daemon *d);

/*
 * Send @state, as sd_notify(3), to $NOTIFY_SOCKET: a path, or an abstract
 * name behind `@`. 0; 1: there is none; or the errno.
 */
int daemon_notify(const char *state);

#endif
