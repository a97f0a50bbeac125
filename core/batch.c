/* batch.c -- the encoding of batches; see reader.h. */
#include "core/check.h"
#include "core/reader.h"
#include "core/wire.h"

void batch_init(struct ch_batch *b)
{
	strbuf_init(&b->ops);
	b->n = 0;
}

void batch_release(struct ch_batch *b)
{
	strbuf_release(&b->ops);
	b->n = 0;
}

void batch_reset(struct ch_batch *b)
{
	strbuf_reset(&b->ops);
	b->n = 0;
}

static void add(struct ch_batch *b, bool put, enum ch_col col,
		struct ch_bytes key, struct ch_bytes value)
{
	wire_put_u8(&b->ops, put);
	wire_put_u8(&b->ops, (uint8_t)col);
	wire_put_b32(&b->ops, key);
	wire_put_b32(&b->ops, value);
	b->n++;
}

void batch_put(struct ch_batch *b, enum ch_col col, struct ch_bytes key,
	       struct ch_bytes value)
{
	add(b, true, col, key, value);
}

void batch_del(struct ch_batch *b, enum ch_col col, struct ch_bytes key)
{
	add(b, false, col, key, (struct ch_bytes){NULL, 0});
}

int batch_error(const struct ch_batch *b)
{
	return strbuf_error(&b->ops);
}

bool batch_next(const struct ch_batch *b, size_t *pos,
		struct ch_batch_op *ret_op)
{
	struct wire w;

	if (*pos >= b->ops.len)
		return false;
	w = wire_of((struct ch_bytes){b->ops.buf + *pos, b->ops.len - *pos});
	ret_op->put = wire_u8(&w);
	ret_op->col = (enum ch_col)wire_u8(&w);
	ret_op->key = wire_b32(&w);
	ret_op->value = wire_b32(&w);
	CHECK(!w.bad);
	CHECK(ret_op->col < COL_N);
	*pos = b->ops.len - w.len;
	return true;
}
