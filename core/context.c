/* context.c -- see context.h. */
#include "core/context.h"

#include <errno.h>
#include <string.h>

#include "core/resource.h"
#include "core/wire.h"

void context_init(struct context *c)
{
	memset(c, 0, sizeof(*c));
}

void context_release(struct context *c)
{
	vv_release(&c->clock);
	context_init(c);
}

static void put_own(const struct context_own *own, struct strbuf *sb)
{
	wire_put_raw(sb, own->actor.site.b, sizeof(own->actor.site.b));
	wire_put_u32(sb, own->actor.epoch);
	wire_put_u32(sb, own->actor.nonce);
	wire_put_u64(sb, own->from);
	wire_put_u64(sb, own->to);
}

static void put_base(const struct ch_hash *vid, const struct body_ref *body,
		     uint8_t syntax, struct strbuf *sb)
{
	wire_put_u8(sb, 1);
	wire_put_raw(sb, vid->b, sizeof(vid->b));
	wire_put_raw(sb, body->hash.b, sizeof(body->hash.b));
	wire_put_u64(sb, body->len);
	wire_put_u8(sb, syntax);
}

static void put_base_of(const struct entry *entry, struct strbuf *sb)
{
	struct ch_hash vid;

	entry_vid(entry, &vid);
	put_base(&vid, &entry->body, entry->syntax, sb);
}

void context_encode(const struct record *r, const struct entry *shown,
		    struct strbuf *sb)
{
	static const struct vv nothing;
	const struct ch_id lineage =
		r ? resource_lineage(r) : (struct ch_id){{0}};

	wire_put_b16(sb, r ? r->name : ch_str(""));
	wire_put_raw(sb, lineage.b, sizeof(lineage.b));
	vv_encode(r ? &r->clock : &nothing, sb);
	wire_put_u8(sb, 0);
	if (shown)
		put_base_of(shown, sb);
	else
		wire_put_u8(sb, 0);
}

void context_encode_next(const struct context *c, const struct context_own *own,
			 const struct entry *entry, struct strbuf *sb)
{
	size_t first = c->n_own == CONTEXT_OWN_MAX;

	wire_put_b16(sb, c->name);
	wire_put_raw(sb, c->lineage.b, sizeof(c->lineage.b));
	vv_encode(&c->clock, sb);
	wire_put_u8(sb, (uint8_t)(c->n_own - first + 1));
	for (size_t i = first; i < c->n_own; i++)
		put_own(&c->own[i], sb);
	put_own(own, sb);
	if (entry)
		put_base_of(entry, sb);
	else if (c->has_base)
		put_base(&c->base_vid, &c->base, c->base_syntax, sb);
	else
		wire_put_u8(sb, 0);
}

bool context_is_own(const struct context *c, const struct dot *d)
{
	for (size_t i = 0; i < c->n_own; i++)
		if (actor_cmp(&c->own[i].actor, &d->actor) == 0 &&
		    d->seq >= c->own[i].from && d->seq <= c->own[i].to)
			return true;
	return false;
}

int context_decode(struct ch_bytes in, struct context *ret)
{
	struct wire w = wire_of(in);
	struct context c;
	int rc;

	context_init(&c);
	c.name = wire_b16(&w);
	wire_copy(&w, c.lineage.b, sizeof(c.lineage.b));
	rc = vv_decode(&w, &c.clock);
	if (rc < 0)
		return rc;
	c.n_own = wire_u8(&w);
	if (c.n_own > CONTEXT_OWN_MAX) {
		context_release(&c);
		return -EPROTO;
	}
	for (size_t i = 0; i < c.n_own; i++) {
		struct context_own *own = &c.own[i];

		wire_copy(&w, own->actor.site.b, sizeof(own->actor.site.b));
		own->actor.epoch = wire_u32(&w);
		own->actor.nonce = wire_u32(&w);
		own->from = wire_u64(&w);
		own->to = wire_u64(&w);
	}
	c.has_base = wire_u8(&w) != 0;
	if (c.has_base) {
		wire_copy(&w, c.base_vid.b, sizeof(c.base_vid.b));
		wire_copy(&w, c.base.hash.b, sizeof(c.base.hash.b));
		c.base.len = wire_u64(&w);
		c.base_syntax = wire_u8(&w);
	}
	if (!wire_done(&w)) {
		context_release(&c);
		return -EPROTO;
	}
	context_release(ret);
	*ret = c;
	return 0;
}

bool context_covers(const struct context *c, const struct record *r,
		    const struct entry *e)
{
	if (ch_bytes_equal(c->name, r->name) && vv_covers(&c->clock, &e->dot))
		return true;
	return e->origin_name.len && ch_bytes_equal(c->name, e->origin_name) &&
	       vv_covers(&c->clock, &e->origin);
}
