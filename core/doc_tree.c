/* doc_tree.c -- nodes and their memory; see doc_tree.h. */
#include "core/doc_tree.h"

#include <errno.h>
#include <stdalign.h>
#include <string.h>

#include "core/mem.h"

#define CHUNK_SIZE_MIN 4096u
#define CHUNK_SIZE_MAX (1u << 20)

struct doc_chunk {
	struct doc_chunk *next;
	size_t size;
	alignas(16) char data[];
};

static struct doc_chunk *chunk_new(struct doc_arena *a, size_t size)
{
	struct doc_chunk *c = mem_alloc(sizeof(*c) + size);

	if (!c)
		return NULL;
	c->size = size;
	c->next = a->chunks;
	a->chunks = c;
	return c;
}

void *doc_arena_alloc(struct doc_arena *a, size_t size)
{
	struct doc_chunk *c;
	size_t want;
	void *p;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + 15) & ~(size_t)15;
	if (size > a->left) {
		/* Each chunk is twice the last: few for small docs and big. */
		want = a->chunks ? a->chunks->size * 2 : CHUNK_SIZE_MIN;
		if (want > CHUNK_SIZE_MAX)
			want = CHUNK_SIZE_MAX;
		if (size > want / 4) {
			/* Its own chunk; the present one goes on. */
			c = chunk_new(a, size);
			return c ? c->data : NULL;
		}
		c = chunk_new(a, want);
		if (!c)
			return NULL;
		a->free = c->data;
		a->left = want;
	}
	p = a->free;
	a->free += size;
	a->left -= size;
	return p;
}

void *doc_arena_dup(struct doc_arena *a, const void *p, size_t len)
{
	char *q = doc_arena_alloc(a, len + 1);

	if (q && len)
		memcpy(q, p, len);
	return q;
}

void doc_arena_release(struct doc_arena *a)
{
	while (a->chunks) {
		struct doc_chunk *c = a->chunks;

		a->chunks = c->next;
		mem_free(c);
	}
	a->free = NULL;
	a->left = 0;
}

struct doc_node *doc_scalar_new(struct doc_arena *a, enum doc_kind kind,
				struct ch_bytes value, struct ch_bytes src)
{
	struct doc_node *n = doc_arena_alloc(a, sizeof(*n));

	if (!n)
		return NULL;
	n->kind = kind;
	n->nodes = 1;
	n->text = (uint32_t)(value.len > src.len ? value.len : src.len);
	n->u.scalar.value = value;
	n->u.scalar.src = src;
	return n;
}

struct doc_node *doc_many_new(struct doc_arena *a, enum doc_kind kind,
			      const struct doc_entry *v, size_t n)
{
	struct doc_node *many = doc_arena_alloc(a, sizeof(*many));

	if (!many)
		return NULL;
	many->kind = kind;
	many->style = DOC_BLOCK;
	many->nodes = 1;
	if (n) {
		many->u.many.v = doc_arena_dup(a, v, n * sizeof(*v));
		if (!many->u.many.v)
			return NULL;
	}
	many->u.many.n = n;
	return many;
}

int doc_bytes_cmp(struct ch_bytes a, struct ch_bytes b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int c = len ? memcmp(a.p, b.p, len) : 0;

	if (c)
		return c;
	return (a.len > b.len) - (a.len < b.len);
}

static int entry_cmp(const struct doc_entry *a, const struct doc_entry *b)
{
	return doc_bytes_cmp(a->key->u.scalar.value, b->key->u.scalar.value);
}

/* Sort places by their keys, stable: equal keys stay in the order of v. */
static void order_sort(const struct doc_entry *v, uint32_t *order,
		       uint32_t *spare, size_t n)
{
	uint32_t *from = order, *to = spare;

	for (size_t run = 1; run < n; run *= 2) {
		uint32_t *t;

		for (size_t lo = 0; lo < n; lo += 2 * run) {
			size_t mid = lo + run < n ? lo + run : n;
			size_t hi = mid + run < n ? mid + run : n;
			size_t i = lo, j = mid;

			for (size_t k = lo; k < hi; k++) {
				bool left = j == hi ||
					    (i < mid &&
					     entry_cmp(&v[from[i]],
						       &v[from[j]]) <= 0);

				to[k] = left ? from[i++] : from[j++];
			}
		}
		t = from;
		from = to;
		to = t;
	}
	if (from != order)
		memcpy(order, from, n * sizeof(*order));
}

static int map_sort(struct doc_arena *a, struct doc_node *map)
{
	size_t n = map->u.many.n;
	uint32_t *order, *spare;

	order = doc_arena_alloc(a, n * sizeof(*order));
	spare = mem_alloc(n * sizeof(*spare));
	if (!order || !spare) {
		mem_free(spare);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++)
		order[i] = (uint32_t)i;
	order_sort(map->u.many.v, order, spare, n);
	mem_free(spare);
	map->u.many.order = order;
	return 0;
}

static size_t map_dup(const struct doc_node *map)
{
	const struct doc_entry *v = map->u.many.v;
	const uint32_t *order = map->u.many.order;
	size_t n = map->u.many.n, dup = SIZE_MAX;

	if (!order) {
		for (size_t i = 1; i < n; i++)
			for (size_t j = 0; j < i; j++)
				if (entry_cmp(&v[i], &v[j]) == 0)
					return i;
		return SIZE_MAX;
	}
	for (size_t i = 1; i < n; i++)
		if (entry_cmp(&v[order[i - 1]], &v[order[i]]) == 0 &&
		    order[i] < dup)
			dup = order[i];
	return dup;
}

static uint32_t sum(uint32_t a, uint32_t b)
{
	return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

int doc_many_seal(struct doc_arena *a, struct doc_node *many, size_t *ret_dup)
{
	size_t n = many->u.many.n;

	many->nodes = 1;
	many->text = 0;
	many->height = 0;
	for (size_t i = 0; i < n; i++) {
		const struct doc_entry *e = &many->u.many.v[i];

		if (e->key) {
			many->nodes = sum(many->nodes, 1);
			many->text = sum(many->text, e->key->text);
		}
		many->nodes = sum(many->nodes, e->value->nodes);
		many->text = sum(many->text, e->value->text);
		if (e->value->height >= many->height)
			many->height = (uint8_t)(e->value->height +
						 doc_is_many(e->value));
	}
	if (many->kind == DOC_MAP && n > DOC_FIND_LINEAR_MAX) {
		int r = map_sort(a, many);

		if (r < 0)
			return r;
	}
	if (ret_dup)
		*ret_dup = many->kind == DOC_MAP ? map_dup(many) : SIZE_MAX;
	return 0;
}

int doc_map_unique(struct doc_arena *a, struct doc_node *map)
{
	struct doc_entry *v = map->u.many.v;
	const uint32_t *order;
	size_t n = map->u.many.n, kept = 0;
	size_t dup;
	int r;

	r = doc_many_seal(a, map, &dup);
	if (r < 0 || dup == SIZE_MAX)
		return r;
	/* Sorted, equal keys are neighbours, the first one first. */
	order = map->u.many.order;
	if (!order) {
		r = map_sort(a, map);
		if (r < 0)
			return r;
		order = map->u.many.order;
	}
	for (size_t i = n - 1; i > 0; i--)
		if (entry_cmp(&v[order[i - 1]], &v[order[i]]) == 0)
			v[order[i]].value = NULL;
	for (size_t i = 0; i < n; i++)
		if (v[i].value)
			v[kept++] = v[i];
	map->u.many.n = kept;
	map->u.many.order = NULL;
	return doc_many_seal(a, map, NULL);
}

struct doc_node *doc_find(const struct doc_node *map, struct ch_bytes key)
{
	const struct doc_entry *v;
	size_t lo = 0, hi;

	if (!map || map->kind != DOC_MAP)
		return NULL;
	v = map->u.many.v;
	hi = map->u.many.n;
	if (!map->u.many.order) {
		for (size_t i = 0; i < hi; i++)
			if (ch_bytes_equal(v[i].key->u.scalar.value, key))
				return v[i].value;
		return NULL;
	}
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct doc_entry *e = &v[map->u.many.order[mid]];
		int c = doc_bytes_cmp(e->key->u.scalar.value, key);

		if (c == 0)
			return e->value;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

struct ch_bytes doc_find_string(const struct doc_node *map, const char *key)
{
	const struct doc_node *n = doc_find(map, ch_str(key));

	if (!n || n->kind != DOC_STRING)
		return (struct ch_bytes){NULL, 0};
	return n->u.scalar.value;
}
