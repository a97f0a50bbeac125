/*
 * mem.h -- all memory of core, countable and breakable.
 *
 * Tests fail the n-th allocation from now, and ask what is still held.
 */
#ifndef CHEOPS_CORE_MEM_H
#define CHEOPS_CORE_MEM_H

#include <stddef.h>

/* Zeroed memory of @size bytes (at least one), or NULL. */
void *mem_alloc(size_t size);

/* As realloc(); NULL leaves @p as it was. New bytes are not zeroed. */
void *mem_realloc(void *p, size_t size);

/* A copy of @len bytes with a NUL behind it, or NULL. */
void *mem_dup(const void *p, size_t len);

/* Takes NULL. */
void mem_free(void *p);

/* Fail the allocation after @n more have succeeded, and all that follow;
 * -1: fail none. */
void mem_fail_after(long n);

/* Allocations that have not been freed. */
long mem_outstanding(void);

#endif
