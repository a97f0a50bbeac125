/*
 * log.h -- the one place that prints.
 *
 * Lines go to stderr, as `cheops: TEXT`, or as `<N>TEXT` where stderr is the
 * journal's (sd-daemon(3)); after log_to_syslog() to syslog(3). Priorities are
 * syslog's. Library code never comes here: it returns an error, and who
 * handles it prints it once. Thread safe.
 */
#ifndef CHEOPS_FS_LOG_H
#define CHEOPS_FS_LOG_H

#include <syslog.h>

/* Priorities above @most are dropped. Unless called: LOG_INFO. */
void log_open(int most);

/* From now on to the system's log: stderr is about to go away. */
void log_to_syslog(void);

/* One line; control characters in it are shown as `?`. Too long is cut. */
void log_print(int priority, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
