/*
 * vv.h -- dots and version vectors.
 *
 * An actor is one life of a site: its UUID, its epoch and that epoch's nonce.
 * A dot is the n-th write of an actor, counted over all its resources, so it
 * is never issued twice. A vector says of each actor how much has been seen.
 *
 * Almeida, Baquero, Goncalves, Preguica, Fonte: Scalable and Accurate
 * Causality Tracking for Eventually Consistent Stores (DAIS 2014).
 */
#ifndef CHEOPS_CORE_VV_H
#define CHEOPS_CORE_VV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/id.h"
#include "core/wire.h"

#define VV_MAX 1024 /* Actors in one vector. */
/*
 * A resource's clock only grows: by an actor for each life that wrote. Of what
 * a vector may hold the last parts are kept back: for deletions, for joins with
 * what others wrote meanwhile, for what a site notes by itself.
 */
#define VV_WARN (VV_MAX / 4 * 3)
#define VV_WRITE_MAX (VV_MAX / 8 * 7)
#define VV_DELETE_MAX (VV_MAX / 16 * 15)
#define VV_JOIN_MAX (VV_MAX - 16)

struct actor {
	struct ch_id site;
	uint32_t epoch, nonce;
};

struct dot {
	struct actor actor;
	uint64_t seq; /* From 1. */
};

struct vv_entry {
	struct actor actor;
	uint64_t seq;
};

/* Invariant: v is sorted by actor, each once, each seq at least 1. */
struct vv {
	struct vv_entry *v;
	size_t n, alloc;
};

int actor_cmp(const struct actor *a, const struct actor *b);
int dot_cmp(const struct dot *a, const struct dot *b);
/* site 16, u32 epoch, u32 nonce, u64 seq */
void dot_encode(const struct dot *d, struct strbuf *sb);
struct dot dot_decode(struct wire *w); /* See w->bad. */

void vv_init(struct vv *vv);
void vv_release(struct vv *vv);
int vv_copy(struct vv *to, const struct vv *from); /* 0, -ENOMEM */

/* What was seen of @a; 0: nothing. */
uint64_t vv_get(const struct vv *vv, const struct actor *a);
bool vv_covers(const struct vv *vv, const struct dot *d);
/* @a has seen all that @b has. */
bool vv_includes(const struct vv *a, const struct vv *b);
/* Place of an actor in v, or -1. */
long vv_index(const struct vv *vv, const struct actor *a);

/* Pointwise maximum. 0, or -ENOMEM: then nothing has changed. */
int vv_add(struct vv *vv, const struct actor *a, uint64_t seq);
int vv_join(struct vv *vv, const struct vv *other);
/* Pointwise minimum: what @limit has not seen is forgotten. */
void vv_clamp(struct vv *vv, const struct vv *limit);

void vv_encode(const struct vv *vv, struct strbuf *sb);
/* 0, -EPROTO unless sorted and within VV_MAX, -ENOMEM. */
int vv_decode(struct wire *w, struct vv *ret_vv);

#endif
