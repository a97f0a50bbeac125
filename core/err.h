/*
 * err.h -- one sentence for people, beside the errno for programs.
 *
 * Who knows what went wrong sets it; who handles the error prints it, once.
 */
#ifndef CHEOPS_CORE_ERR_H
#define CHEOPS_CORE_ERR_H

#include <stdarg.h>

#define ERR_TEXT_MAX 512

struct err {
	char text[ERR_TEXT_MAX]; /* One line, no newline, no trailing dot. */
};

#define ERR_INIT {.text = ""}

/* Write the sentence into @e (NULL: nobody wants it); returns @code, which is
 * below zero. Too long a text is cut. */
int err_set(struct err *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Put "@fmt: " before the sentence that stands there. Returns @code. */
int err_wrap(struct err *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
