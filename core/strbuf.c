/* strbuf.c -- see strbuf.h. */
#include "core/strbuf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/check.h"
#include "core/mem.h"

char strbuf_empty[1];

void strbuf_init(struct strbuf *sb)
{
	*sb = (struct strbuf)STRBUF_INIT;
}

void strbuf_release(struct strbuf *sb)
{
	if (sb->alloc)
		mem_free(sb->buf);
	strbuf_init(sb);
}

void strbuf_reset(struct strbuf *sb)
{
	sb->bad = false;
	sb->len = 0;
	if (sb->alloc)
		sb->buf[0] = '\0';
}

int strbuf_error(const struct strbuf *sb)
{
	return sb->bad ? -ENOMEM : 0;
}

char *strbuf_detach(struct strbuf *sb, size_t *ret_len)
{
	char *p;

	strbuf_grow(sb, 0);
	if (sb->bad) {
		strbuf_release(sb);
		return NULL;
	}
	p = sb->buf;
	if (ret_len)
		*ret_len = sb->len;
	strbuf_init(sb);
	return p;
}

void strbuf_swap(struct strbuf *a, struct strbuf *b)
{
	struct strbuf t = *a;

	*a = *b;
	*b = t;
}

void strbuf_grow(struct strbuf *sb, size_t extra)
{
	size_t want;
	char *p;

	if (sb->bad)
		return;
	if (sb->len + extra < extra || sb->len + extra + 1 == 0) {
		sb->bad = true;
		return;
	}
	want = sb->len + extra + 1;
	if (want <= sb->alloc)
		return;
	if (want < sb->alloc + sb->alloc / 2)
		want = sb->alloc + sb->alloc / 2;
	if (want < 64)
		want = 64;
	p = mem_realloc(sb->alloc ? sb->buf : NULL, want);
	if (!p) {
		sb->bad = true;
		return;
	}
	if (!sb->alloc)
		p[0] = '\0';
	sb->buf = p;
	sb->alloc = want;
}

void strbuf_set_len(struct strbuf *sb, size_t len)
{
	if (len > sb->len) {
		strbuf_grow(sb, len - sb->len);
		if (sb->bad)
			return;
		memset(sb->buf + sb->len, 0, len - sb->len);
	}
	sb->len = len;
	if (sb->alloc)
		sb->buf[len] = '\0';
	else
		CHECK(len == 0);
}

void strbuf_add(struct strbuf *sb, const void *p, size_t len)
{
	if (!len)
		return;
	strbuf_grow(sb, len);
	if (sb->bad)
		return;
	memcpy(sb->buf + sb->len, p, len);
	sb->len += len;
	sb->buf[sb->len] = '\0';
}

void strbuf_add_str(struct strbuf *sb, const char *s)
{
	strbuf_add(sb, s, strlen(s));
}

void strbuf_add_char(struct strbuf *sb, char c)
{
	strbuf_add(sb, &c, 1);
}

void strbuf_add_hex(struct strbuf *sb, const void *p, size_t len)
{
	static const char digit[] = "0123456789abcdef";
	const unsigned char *b = p;

	for (size_t i = 0; i < len; i++) {
		strbuf_add_char(sb, digit[b[i] >> 4]);
		strbuf_add_char(sb, digit[b[i] & 15]);
	}
}

void strbuf_vaddf(struct strbuf *sb, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	strbuf_grow(sb, 64);
	if (sb->bad)
		return;
	va_copy(again, ap);
	n = vsnprintf(sb->buf + sb->len, sb->alloc - sb->len, fmt, again);
	va_end(again);
	CHECK(n >= 0);
	if ((size_t)n >= sb->alloc - sb->len) {
		strbuf_grow(sb, (size_t)n);
		if (sb->bad) {
			sb->buf[sb->len] = '\0';
			return;
		}
		vsnprintf(sb->buf + sb->len, sb->alloc - sb->len, fmt, ap);
	}
	sb->len += (size_t)n;
}

void strbuf_addf(struct strbuf *sb, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	strbuf_vaddf(sb, fmt, ap);
	va_end(ap);
}

struct ch_bytes strbuf_bytes(const struct strbuf *sb)
{
	return (struct ch_bytes){sb->buf, sb->len};
}

struct ch_bytes ch_str(const char *s)
{
	return (struct ch_bytes){s, s ? strlen(s) : 0};
}

bool ch_bytes_equal(struct ch_bytes a, struct ch_bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}
