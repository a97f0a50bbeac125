/* check.c -- see check.h. */
#include "core/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *file, int line, const char *expr)
{
	fprintf(stderr, "cheops: %s:%d: this must hold: %s\n", file, line,
		expr);
	abort();
}
