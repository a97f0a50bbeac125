/* map.c -- see map.h. Hash: FNV-1a, 64 bits; chained; doubles when full. */
#include "core/map.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "core/mem.h"

void map_init(struct map *m)
{
	memset(m, 0, sizeof(*m));
}

void map_release(struct map *m, void (*free_value)(void *value))
{
	for (size_t i = 0; i < m->n_buckets; i++)
		while (m->bucket[i]) {
			struct map_node *node = m->bucket[i];

			m->bucket[i] = node->next;
			if (free_value)
				free_value(node->value);
			mem_free(node);
		}
	mem_free(m->bucket);
	map_init(m);
}

static uint64_t hash_of(struct ch_bytes key)
{
	const unsigned char *p = key.p;
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < key.len; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h ^ h >> 29;
}

static struct map_node **place_of(const struct map *m, struct ch_bytes key)
{
	struct map_node **at = &m->bucket[hash_of(key) & (m->n_buckets - 1)];

	while (*at && ((*at)->len != key.len ||
		       (key.len && memcmp((*at)->key, key.p, key.len) != 0)))
		at = &(*at)->next;
	return at;
}

void *map_get(const struct map *m, struct ch_bytes key)
{
	struct map_node *node = m->n ? *place_of(m, key) : NULL;

	return node ? node->value : NULL;
}

static int rehash(struct map *m)
{
	size_t n = m->n_buckets ? 2 * m->n_buckets : 16;
	struct map_node **old = m->bucket, **fresh;
	size_t n_old = m->n_buckets;

	fresh = mem_alloc(n * sizeof(struct map_node *));
	if (!fresh)
		return -ENOMEM;
	m->bucket = fresh;
	m->n_buckets = n;
	for (size_t i = 0; i < n_old; i++)
		while (old[i]) {
			struct map_node *node = old[i];
			struct ch_bytes key = {node->key, node->len};
			struct map_node **at =
				&fresh[hash_of(key) & (n - 1)];

			old[i] = node->next;
			node->next = *at;
			*at = node;
		}
	mem_free(old);
	return 0;
}

int map_put(struct map *m, struct ch_bytes key, void *value)
{
	struct map_node **at = m->n ? place_of(m, key) : NULL, *node;

	if (at && *at) {
		(*at)->value = value;
		return 0;
	}
	if (m->n >= m->n_buckets && rehash(m) < 0)
		return -ENOMEM;
	at = place_of(m, key);
	node = mem_alloc(sizeof(*node) + key.len + 1);
	if (!node)
		return -ENOMEM;
	node->value = value;
	node->len = key.len;
	if (key.len)
		memcpy(node->key, key.p, key.len);
	*at = node;
	m->n++;
	return 0;
}

void *map_del(struct map *m, struct ch_bytes key)
{
	struct map_node **at, *node;
	void *value;

	if (!m->n)
		return NULL;
	at = place_of(m, key);
	node = *at;
	if (!node)
		return NULL;
	value = node->value;
	*at = node->next;
	mem_free(node);
	m->n--;
	return value;
}

struct map_node *map_next(const struct map *m, size_t *bucket,
			  struct map_node *node)
{
	if (node && node->next)
		return node->next;
	if (node)
		++*bucket;
	for (; *bucket < m->n_buckets; ++*bucket)
		if (m->bucket[*bucket])
			return m->bucket[*bucket];
	return NULL;
}
