/* id.c -- see id.h. */
#include "core/id.h"

#include <errno.h>
#include <string.h>

int id_cmp(const struct ch_id *a, const struct ch_id *b)
{
	return memcmp(a->b, b->b, sizeof(a->b));
}

bool id_is_zero(const struct ch_id *a)
{
	static const struct ch_id zero;

	return id_cmp(a, &zero) == 0;
}

void id_to_text(const struct ch_id *a, struct strbuf *sb)
{
	static const size_t part[] = {4, 2, 2, 2, 6};
	const uint8_t *p = a->b;

	for (size_t i = 0; i < 5; i++) {
		if (i)
			strbuf_add_char(sb, '-');
		strbuf_add_hex(sb, p, part[i]);
		p += part[i];
	}
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int id_from_text(struct ch_bytes s, struct ch_id *ret_id)
{
	const char *p = s.p;
	struct ch_id id;
	size_t n = 0;

	if (s.len != ID_TEXT_LEN)
		return -EINVAL;
	for (size_t i = 0; i < ID_TEXT_LEN;) {
		int hi, lo;

		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (p[i++] != '-')
				return -EINVAL;
			continue;
		}
		hi = digit_of(p[i]);
		lo = digit_of(p[i + 1]);
		if (hi < 0 || lo < 0)
			return -EINVAL;
		id.b[n++] = (uint8_t)(hi << 4 | lo);
		i += 2;
	}
	*ret_id = id;
	return 0;
}

int hash_cmp(const struct ch_hash *a, const struct ch_hash *b)
{
	return memcmp(a->b, b->b, sizeof(a->b));
}

bool hash_is_zero(const struct ch_hash *a)
{
	static const struct ch_hash zero;

	return hash_cmp(a, &zero) == 0;
}

void hash_to_word(const struct ch_hash *a, struct strbuf *sb)
{
	strbuf_add_hex(sb, a->b, HASH_WORD_LEN / 2);
}
