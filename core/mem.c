/* mem.c -- see mem.h. Counters are atomic: readers of the tree use core too. */
#include "core/mem.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static atomic_long outstanding;
static atomic_long fail_after = -1;

static bool must_fail(void)
{
	long n = atomic_load_explicit(&fail_after, memory_order_relaxed);

	if (n < 0)
		return false;
	if (n == 0)
		return true;
	atomic_store_explicit(&fail_after, n - 1, memory_order_relaxed);
	return false;
}

void *mem_alloc(size_t size)
{
	void *p;

	if (must_fail())
		return NULL;
	p = calloc(1, size ? size : 1);
	if (p)
		atomic_fetch_add_explicit(&outstanding, 1,
					  memory_order_relaxed);
	return p;
}

void *mem_realloc(void *p, size_t size)
{
	void *q;

	if (must_fail())
		return NULL;
	q = realloc(p, size ? size : 1);
	if (q && !p)
		atomic_fetch_add_explicit(&outstanding, 1,
					  memory_order_relaxed);
	return q;
}

void *mem_dup(const void *p, size_t len)
{
	char *q = mem_alloc(len + 1);

	if (q && len)
		memcpy(q, p, len);
	return q;
}

void mem_free(void *p)
{
	if (p)
		atomic_fetch_sub_explicit(&outstanding, 1,
					  memory_order_relaxed);
	free(p);
}

void mem_fail_after(long n)
{
	atomic_store_explicit(&fail_after, n, memory_order_relaxed);
}

long mem_outstanding(void)
{
	return atomic_load_explicit(&outstanding, memory_order_relaxed);
}
