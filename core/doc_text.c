/* doc_text.c -- characters, places in a text, and sentences about them. */
#include <errno.h>
#include <string.h>

#include "core/doc_tree.h"

/* Bytes of the character at @p, 0 when it is not UTF-8 or cut off. */
size_t doc_utf8_len(const unsigned char *p, size_t left, uint32_t *ret_c)
{
	uint32_t c = p[0], least;
	size_t len;

	if (c < 0x80) {
		*ret_c = c;
		return 1;
	}
	if (c >= 0xc2 && c <= 0xdf) {
		len = 2;
		c &= 0x1f;
		least = 0x80;
	} else if (c >= 0xe0 && c <= 0xef) {
		len = 3;
		c &= 0x0f;
		least = 0x800;
	} else if (c >= 0xf0 && c <= 0xf4) {
		len = 4;
		c &= 0x07;
		least = 0x10000;
	} else {
		return 0;
	}
	if (left < len)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret_c = c;
	return len;
}

size_t doc_utf8_whole(struct ch_bytes in)
{
	const unsigned char *p = in.p;

	for (size_t back = 1; back <= 3 && back <= in.len; back++) {
		unsigned char c = p[in.len - back];
		size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;

		if (len > back)
			return in.len - back;
		if ((c & 0xc0) != 0x80)
			break;
	}
	return in.len;
}

int doc_check_utf8(struct ch_bytes in, struct doc_fail *f)
{
	const unsigned char *p = in.p;
	size_t i = 0;

	if (in.len >= 2 && ((p[0] == 0xff && p[1] == 0xfe) ||
			    (p[0] == 0xfe && p[1] == 0xff) || (!p[0] != !p[1])))
		return doc_fail_set(f, 0, 0, "utf16",
				    "this is UTF-16 or UTF-32; save it as "
				    "UTF-8");
	while (i < in.len) {
		uint32_t c;
		size_t len;

		if (p[i] && p[i] < 0x80) {
			i++;
			continue;
		}
		if (!p[i])
			return doc_fail_set(f, i, i, "nul",
					    "a NUL byte; text in UTF-8 has "
					    "none");
		len = doc_utf8_len(p + i, in.len - i, &c);
		if (!len)
			return doc_fail_set(f, i, i, "utf8",
					    "byte 0x%02x is not UTF-8; save "
					    "it as UTF-8",
					    p[i]);
		i += len;
	}
	return 0;
}

void doc_where(struct ch_bytes in, size_t at, size_t *ret_line, size_t *ret_col)
{
	const unsigned char *p = in.p;
	size_t line = 1, col = 1;

	/* What was cut off is missing on the last line there is. */
	if (at >= in.len)
		for (at = in.len; at && memchr(" \t\r\n", p[at - 1], 4);)
			at--;
	for (size_t i = 0; i < at && i < in.len; i++) {
		if (p[i] == '\n' ||
		    (p[i] == '\r' && !(i + 1 < in.len && p[i + 1] == '\n'))) {
			line++;
			col = 1;
		} else if ((p[i] & 0xc0) != 0x80) {
			col++;
		}
	}
	*ret_line = line;
	*ret_col = col;
}

int doc_fail_set(struct doc_fail *f, size_t at, size_t settled,
		 const char *what, const char *fmt, ...)
{
	struct strbuf sb = STRBUF_INIT;
	va_list ap;
	size_t len;

	va_start(ap, fmt);
	strbuf_vaddf(&sb, fmt, ap);
	va_end(ap);
	if (strbuf_error(&sb) < 0) {
		strbuf_release(&sb);
		return -ENOMEM;
	}
	/* Cut, but not within a character. */
	len = sb.len < sizeof(f->text) ? sb.len : sizeof(f->text) - 1;
	len = doc_utf8_whole((struct ch_bytes){sb.buf, len});
	memcpy(f->text, sb.buf, len);
	f->text[len] = '\0';
	strbuf_release(&sb);
	f->at = f->reach = at;
	f->settled = settled;
	f->what = what;
	return -EINVAL;
}
