/* err.c -- see err.h. */
#include "core/err.h"

#include <stdio.h>
#include <string.h>

#include "core/check.h"

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	CHECK(code < 0);
	if (!e)
		return code;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return code;
}

int err_wrap(struct err *e, int code, const char *fmt, ...)
{
	char old[ERR_TEXT_MAX];
	size_t len;
	va_list ap;

	CHECK(code < 0);
	if (!e)
		return code;
	memcpy(old, e->text, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	len = strlen(e->text);
	if (old[0] && len + 3 < sizeof(e->text)) {
		size_t room = sizeof(e->text) - len - 3;
		size_t n = strlen(old);

		n = n < room ? n : room;
		memcpy(e->text + len, ": ", 2);
		memcpy(e->text + len + 2, old, n);
		e->text[len + 2 + n] = '\0';
	}
	return code;
}
