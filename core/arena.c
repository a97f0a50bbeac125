/* arena.c -- see arena.h. */
#include "core/arena.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "core/mem.h"

#define CHUNK_MIN 1000

struct arena_chunk {
	struct arena_chunk *next;
	size_t len, used;
	max_align_t data[];
};

void arena_init(struct arena *a)
{
	a->chunks = NULL;
	a->bad = false;
}

void arena_release(struct arena *a)
{
	while (a->chunks) {
		struct arena_chunk *c = a->chunks;

		a->chunks = c->next;
		mem_free(c);
	}
	a->bad = false;
}

int arena_error(const struct arena *a)
{
	return a->bad ? -ENOMEM : 0;
}

void *arena_alloc(struct arena *a, size_t size)
{
	const size_t align = _Alignof(max_align_t);
	struct arena_chunk *c = a->chunks;
	void *p;

	if (a->bad || size > SIZE_MAX / 2) {
		a->bad = true;
		return NULL;
	}
	size = (size + align - 1) / align * align;
	if (!c || c->len - c->used < size) {
		size_t len = size > CHUNK_MIN ? size : CHUNK_MIN;

		if (c && len < 2 * c->len && size <= CHUNK_MIN * 64)
			len = c->len >= CHUNK_MIN * 64 ? len : 2 * c->len;
		if (len < size)
			len = size;
		len = (len + align - 1) / align * align;
		c = mem_alloc(sizeof(*c) + len);
		if (!c) {
			a->bad = true;
			return NULL;
		}
		c->len = len;
		c->next = a->chunks;
		a->chunks = c;
	}
	p = (char *)c->data + c->used;
	c->used += size;
	return p;
}

struct ch_bytes arena_bytes(struct arena *a, struct ch_bytes b)
{
	void *p;

	if (!b.len)
		return (struct ch_bytes){NULL, 0};
	p = arena_alloc(a, b.len);
	if (!p)
		return (struct ch_bytes){NULL, 0};
	memcpy(p, b.p, b.len);
	return (struct ch_bytes){p, b.len};
}

const char *arena_str(struct arena *a, struct ch_bytes b)
{
	char *p = arena_alloc(a, b.len + 1);

	if (!p)
		return "";
	if (b.len)
		memcpy(p, b.p, b.len);
	return p;
}
