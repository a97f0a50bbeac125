/*
 * check.h -- assertions that stay on in production.
 *
 * CHECK() is for what only a bug in this program can cause. What a user, a
 * peer, the disk or memory can cause is an operating error and is answered.
 */
#ifndef CHEOPS_CORE_CHECK_H
#define CHEOPS_CORE_CHECK_H

#define CHECK(expr) \
	((expr) ? (void)0 : check_failed(__FILE__, __LINE__, #expr))

/* Prints the place and the expression to stderr, and aborts. */
_Noreturn void check_failed(const char *file, int line, const char *expr);

#endif
