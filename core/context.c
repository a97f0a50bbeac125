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

void context_encode(const struct record *r, struct strbuf *sb)
{
	static const struct vv nothing;
	const struct entry *spec = r ? resource_spec(r) : NULL;
	struct ch_hash vid;

	vv_encode(r ? &r->clock : &nothing, sb);
	wire_put_u8(sb, spec != NULL);
	if (!spec)
		return;
	entry_vid(spec, &vid);
	wire_put_raw(sb, vid.b, sizeof(vid.b));
	wire_put_raw(sb, spec->body.hash.b, sizeof(vid.b));
	wire_put_u64(sb, spec->body.len);
	wire_put_u8(sb, spec->syntax);
}

int context_decode(struct ch_bytes in, struct context *ret)
{
	struct wire w = wire_of(in);
	struct context c;
	int rc;

	context_init(&c);
	rc = vv_decode(&w, &c.clock);
	if (rc < 0)
		return rc;
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
