/* wire.c -- see wire.h. */
#include "core/wire.h"

#include <string.h>

static void put_be(struct strbuf *sb, uint64_t v, size_t n)
{
	unsigned char b[8];

	for (size_t i = 0; i < n; i++)
		b[i] = (unsigned char)(v >> (8 * (n - 1 - i)));
	strbuf_add(sb, b, n);
}

void wire_put_u8(struct strbuf *sb, uint8_t v)
{
	put_be(sb, v, 1);
}

void wire_put_u16(struct strbuf *sb, uint16_t v)
{
	put_be(sb, v, 2);
}

void wire_put_u32(struct strbuf *sb, uint32_t v)
{
	put_be(sb, v, 4);
}

void wire_put_u64(struct strbuf *sb, uint64_t v)
{
	put_be(sb, v, 8);
}

void wire_put_raw(struct strbuf *sb, const void *p, size_t len)
{
	strbuf_add(sb, p, len);
}

void wire_put_b16(struct strbuf *sb, struct ch_bytes b)
{
	if (b.len > UINT16_MAX) {
		sb->bad = true;
		return;
	}
	wire_put_u16(sb, (uint16_t)b.len);
	strbuf_add(sb, b.p, b.len);
}

void wire_put_b32(struct strbuf *sb, struct ch_bytes b)
{
	if (b.len > UINT32_MAX) {
		sb->bad = true;
		return;
	}
	wire_put_u32(sb, (uint32_t)b.len);
	strbuf_add(sb, b.p, b.len);
}

struct wire wire_of(struct ch_bytes b)
{
	return (struct wire){.p = b.p, .len = b.len};
}

struct ch_bytes wire_raw(struct wire *w, size_t len)
{
	struct ch_bytes b = {NULL, 0};

	if (w->bad || w->len < len) {
		w->bad = true;
		w->len = 0;
		return b;
	}
	b.p = w->p;
	b.len = len;
	if (len)
		w->p += len;
	w->len -= len;
	return b;
}

static uint64_t get_be(struct wire *w, size_t n)
{
	struct ch_bytes b = wire_raw(w, n);
	const uint8_t *p = b.p;
	uint64_t v = 0;

	for (size_t i = 0; i < b.len; i++)
		v = v << 8 | p[i];
	return v;
}

uint8_t wire_u8(struct wire *w)
{
	return (uint8_t)get_be(w, 1);
}

uint16_t wire_u16(struct wire *w)
{
	return (uint16_t)get_be(w, 2);
}

uint32_t wire_u32(struct wire *w)
{
	return (uint32_t)get_be(w, 4);
}

uint64_t wire_u64(struct wire *w)
{
	return get_be(w, 8);
}

void wire_copy(struct wire *w, void *to, size_t len)
{
	struct ch_bytes b = wire_raw(w, len);

	if (b.p && len)
		memcpy(to, b.p, len);
	else
		memset(to, 0, len);
}

struct ch_bytes wire_b16(struct wire *w)
{
	return wire_raw(w, wire_u16(w));
}

struct ch_bytes wire_b32(struct wire *w)
{
	return wire_raw(w, wire_u32(w));
}

bool wire_done(const struct wire *w)
{
	return !w->bad && w->len == 0;
}
