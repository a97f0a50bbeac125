/*
 * wire.h -- bytes in a fixed order: big endian, field by field.
 *
 * Writing appends to a strbuf. Reading moves a cursor; a read past the end
 * gives zeros and marks the cursor bad, so a decoder reads a whole struct and
 * asks once. Nothing a cursor returns is copied: it points into the input.
 */
#ifndef CHEOPS_CORE_WIRE_H
#define CHEOPS_CORE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/strbuf.h"

void wire_put_u8(struct strbuf *sb, uint8_t v);
void wire_put_u16(struct strbuf *sb, uint16_t v);
void wire_put_u32(struct strbuf *sb, uint32_t v);
void wire_put_u64(struct strbuf *sb, uint64_t v);
void wire_put_raw(struct strbuf *sb, const void *p, size_t len);
/* A u16 or u32 length, then the bytes. Longer than that holds: sb is bad. */
void wire_put_b16(struct strbuf *sb, struct ch_bytes b);
void wire_put_b32(struct strbuf *sb, struct ch_bytes b);

struct wire {
	const uint8_t *p;
	size_t len; /* What is left. */
	bool bad;
};

struct wire wire_of(struct ch_bytes b);
uint8_t wire_u8(struct wire *w);
uint16_t wire_u16(struct wire *w);
uint32_t wire_u32(struct wire *w);
uint64_t wire_u64(struct wire *w);
/* @len bytes, borrowed; {NULL, 0} and bad when there are fewer. */
struct ch_bytes wire_raw(struct wire *w, size_t len);
/* Copy @len bytes to @to; zeros and bad when there are fewer. */
void wire_copy(struct wire *w, void *to, size_t len);
struct ch_bytes wire_b16(struct wire *w);
struct ch_bytes wire_b32(struct wire *w);
/* Everything was read and nothing was missing. */
bool wire_done(const struct wire *w);

#endif
