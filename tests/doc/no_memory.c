/*
 * no_memory.c -- each malloc and realloc failed in turn, libyaml's too: link
 * with its static library, -Wl,--wrap=malloc,--wrap=realloc.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/doc.h"
#include "core/mem.h"

void *__real_malloc(size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *p, size_t size);

static long left = -1; /* Until one fails; -1: none does. */

static int must_fail(void)
{
	if (left > 0)
		left--;
	return left == 0;
}

void *__wrap_malloc(size_t size)
{
	return must_fail() ? NULL : __real_malloc(size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return must_fail() ? NULL : __real_realloc(p, size);
}

static const char text[] =
	"%YAML 1.1\n%TAG !e! tag:example.org,2000:\n---\nkind: A\n"
	"x: &x {a: 1, b: !e!t 2, c: 'q', d: \"e\\n\"}\ny:\n  <<: *x\n"
	"  z: >\n    t\nlong: 0x1_F\nl: |\n  x\n? - a\n";

int main(void)
{
	struct ch_bytes whole = {text, sizeof(text) - sizeof("? - a\n")};
	struct ch_bytes wrong = {text, sizeof(text) - 1};
	int good = -1, bad = -1;
	long n;

	for (n = 1; good != 0 || bad != -EINVAL; n++) {
		struct doc *d = NULL;
		struct err e;

		left = n;
		good = doc_check_prefix(whole, &e);
		if (good == 0)
			good = doc_parse(whole, &d, &e);
		left = n;
		bad = doc_parse(wrong, &d, &e);
		left = -1;
		doc_free(d);
		if ((good != 0 && good != -ENOMEM) ||
		    (bad != -EINVAL && bad != -ENOMEM) || mem_outstanding()) {
			printf("allocation %ld: %d, %d, %ld held\n", n, good,
			       bad, mem_outstanding());
			return 1;
		}
	}
	printf("%ld allocations failed in turn\n", n - 1);
	return n > 100 ? 0 : 1;
}
