/* vv.c -- see vv.h. */
#include "core/vv.h"

#include <errno.h>
#include <string.h>

#include "core/mem.h"

int actor_cmp(const struct actor *a, const struct actor *b)
{
	int c = id_cmp(&a->site, &b->site);

	if (c)
		return c;
	if (a->epoch != b->epoch)
		return a->epoch < b->epoch ? -1 : 1;
	if (a->nonce != b->nonce)
		return a->nonce < b->nonce ? -1 : 1;
	return 0;
}

int dot_cmp(const struct dot *a, const struct dot *b)
{
	int c = actor_cmp(&a->actor, &b->actor);

	if (c)
		return c;
	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

void dot_encode(const struct dot *d, struct strbuf *sb)
{
	wire_put_raw(sb, d->actor.site.b, sizeof(d->actor.site.b));
	wire_put_u32(sb, d->actor.epoch);
	wire_put_u32(sb, d->actor.nonce);
	wire_put_u64(sb, d->seq);
}

struct dot dot_decode(struct wire *w)
{
	struct dot d;

	wire_copy(w, d.actor.site.b, sizeof(d.actor.site.b));
	d.actor.epoch = wire_u32(w);
	d.actor.nonce = wire_u32(w);
	d.seq = wire_u64(w);
	return d;
}

void vv_init(struct vv *vv)
{
	memset(vv, 0, sizeof(*vv));
}

void vv_release(struct vv *vv)
{
	mem_free(vv->v);
	vv_init(vv);
}

static int reserve(struct vv *vv, size_t n)
{
	struct vv_entry *v;
	size_t alloc = vv->alloc ? vv->alloc : 4;

	while (alloc < n)
		alloc *= 2;
	if (alloc == vv->alloc)
		return 0;
	v = mem_realloc(vv->v, alloc * sizeof(*v));
	if (!v)
		return -ENOMEM;
	vv->v = v;
	vv->alloc = alloc;
	return 0;
}

int vv_copy(struct vv *to, const struct vv *from)
{
	struct vv fresh;

	vv_init(&fresh);
	if (from->n) {
		if (reserve(&fresh, from->n) < 0)
			return -ENOMEM;
		memcpy(fresh.v, from->v, from->n * sizeof(*fresh.v));
		fresh.n = from->n;
	}
	vv_release(to);
	*to = fresh;
	return 0;
}

/* The first place whose actor is not before @a. */
static size_t lower_bound(const struct vv *vv, const struct actor *a)
{
	size_t lo = 0, hi = vv->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (actor_cmp(&vv->v[mid].actor, a) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

long vv_index(const struct vv *vv, const struct actor *a)
{
	size_t i = lower_bound(vv, a);

	if (i < vv->n && actor_cmp(&vv->v[i].actor, a) == 0)
		return (long)i;
	return -1;
}

uint64_t vv_get(const struct vv *vv, const struct actor *a)
{
	long i = vv_index(vv, a);

	return i < 0 ? 0 : vv->v[i].seq;
}

bool vv_covers(const struct vv *vv, const struct dot *d)
{
	return d->seq <= vv_get(vv, &d->actor);
}

bool vv_includes(const struct vv *a, const struct vv *b)
{
	for (size_t i = 0; i < b->n; i++)
		if (vv_get(a, &b->v[i].actor) < b->v[i].seq)
			return false;
	return true;
}

int vv_add(struct vv *vv, const struct actor *a, uint64_t seq)
{
	size_t i = lower_bound(vv, a);

	if (!seq)
		return 0;
	if (i < vv->n && actor_cmp(&vv->v[i].actor, a) == 0) {
		if (vv->v[i].seq < seq)
			vv->v[i].seq = seq;
		return 0;
	}
	if (reserve(vv, vv->n + 1) < 0)
		return -ENOMEM;
	memmove(vv->v + i + 1, vv->v + i, (vv->n - i) * sizeof(*vv->v));
	vv->v[i].actor = *a;
	vv->v[i].seq = seq;
	vv->n++;
	return 0;
}

int vv_join(struct vv *vv, const struct vv *other)
{
	/* Room for the worst case first, so that nothing fails half way. */
	if (other->n && reserve(vv, vv->n + other->n) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < other->n; i++)
		(void)vv_add(vv, &other->v[i].actor, other->v[i].seq);
	return 0;
}

void vv_clamp(struct vv *vv, const struct vv *limit)
{
	size_t n = 0;

	for (size_t i = 0; i < vv->n; i++) {
		uint64_t max = vv_get(limit, &vv->v[i].actor);

		if (!max)
			continue;
		vv->v[n] = vv->v[i];
		if (vv->v[n].seq > max)
			vv->v[n].seq = max;
		n++;
	}
	vv->n = n;
}

void vv_encode(const struct vv *vv, struct strbuf *sb)
{
	wire_put_u16(sb, (uint16_t)vv->n);
	for (size_t i = 0; i < vv->n; i++) {
		wire_put_raw(sb, vv->v[i].actor.site.b, 16);
		wire_put_u32(sb, vv->v[i].actor.epoch);
		wire_put_u32(sb, vv->v[i].actor.nonce);
		wire_put_u64(sb, vv->v[i].seq);
	}
}

int vv_decode(struct wire *w, struct vv *ret_vv)
{
	size_t n = wire_u16(w);
	struct vv vv;

	vv_init(&vv);
	if (w->bad || n > VV_MAX || w->len < n * 32)
		return -EPROTO;
	if (n && reserve(&vv, n) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct vv_entry *e = &vv.v[i];

		wire_copy(w, e->actor.site.b, 16);
		e->actor.epoch = wire_u32(w);
		e->actor.nonce = wire_u32(w);
		e->seq = wire_u64(w);
		if (!e->seq || (i && actor_cmp(&vv.v[i - 1].actor,
					       &e->actor) >= 0)) {
			vv_release(&vv);
			return -EPROTO;
		}
	}
	vv.n = n;
	*ret_vv = vv;
	return 0;
}
