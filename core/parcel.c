/*
 * parcel.c -- bodies that came from a site before the record that needs them.
 *
 * They are stored, since what they belong to follows; but whoever sends them
 * may have only so much of them here. A parcel ends when a record needs its
 * body, or when it is swept. At the start there are none: body_start() sees to
 * what earlier lives left.
 */
#include <errno.h>

#include "core/mem.h"
#include "core/peer.h"

#define PARCEL_MIN 4096u /* What a body of one byte costs. */

struct parcel {
	struct peer *from;
	uint64_t bytes;
};

static struct ch_bytes key_of(const struct ch_hash *hash)
{
	return (struct ch_bytes){hash->b, sizeof(hash->b)};
}

bool parcel_fits(const struct peer *p, uint64_t bytes)
{
	return p->parcel_bytes + bytes <= PEER_PARCELS_MAX;
}

int parcel_set(struct ch_engine *e, const struct ch_hash *hash,
	       struct peer *from, uint64_t bytes)
{
	struct parcel *x = map_get(&e->parcels, key_of(hash));

	if (!x) {
		x = mem_alloc(sizeof(*x));
		if (!x)
			return -ENOMEM;
		if (map_put(&e->parcels, key_of(hash), x) < 0) {
			mem_free(x);
			return -ENOMEM;
		}
	} else {
		x->from->parcel_bytes -= x->bytes;
	}
	x->from = from;
	x->bytes = bytes < PARCEL_MIN ? PARCEL_MIN : bytes;
	from->parcel_bytes += x->bytes;
	return 0;
}

void parcel_end(struct ch_engine *e, const struct ch_hash *hash)
{
	struct parcel *x = map_del(&e->parcels, key_of(hash));

	if (!x)
		return;
	x->from->parcel_bytes -= x->bytes;
	mem_free(x);
}

void parcel_release(struct ch_engine *e)
{
	map_release(&e->parcels, mem_free);
}
