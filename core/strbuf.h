/*
 * strbuf.h -- a growing buffer of bytes that always ends in a NUL.
 *
 * Invariants: buf is never NULL after strbuf_init(); buf[len] is NUL; len
 * counts what was added, NULs among it included.
 *
 * Adding never returns an error: a buffer that ran out of memory is `bad`
 * from then on and takes nothing more. Who uses the result asks
 * strbuf_error() once, at the end.
 */
#ifndef CHEOPS_CORE_STRBUF_H
#define CHEOPS_CORE_STRBUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that belong to somebody else. */
struct ch_bytes {
	const void *p;
	size_t len;
};

struct strbuf {
	char *buf;
	size_t len;
	size_t alloc; /* 0: buf is not ours. */
	bool bad;
};

extern char strbuf_empty[1];
#define STRBUF_INIT {.buf = strbuf_empty}

/* Lifetime. release() leaves it empty and ready for use. */
void strbuf_init(struct strbuf *sb);
void strbuf_release(struct strbuf *sb);

/* Length 0, memory kept, no longer bad. */
void strbuf_reset(struct strbuf *sb);

/* 0, or -ENOMEM when something could not be added. */
int strbuf_error(const struct strbuf *sb);

/* Give the bytes away: the caller frees them with mem_free(). NULL when bad;
 * @sb is then released too. */
char *strbuf_detach(struct strbuf *sb, size_t *ret_len);

/* Swap contents; cannot fail. */
void strbuf_swap(struct strbuf *a, struct strbuf *b);

/* Size. grow: room for @extra more bytes; set_len: cut, or fill with NULs. */
void strbuf_grow(struct strbuf *sb, size_t extra);
void strbuf_set_len(struct strbuf *sb, size_t len);

/* Content. */
void strbuf_add(struct strbuf *sb, const void *p, size_t len);
void strbuf_add_str(struct strbuf *sb, const char *s);
void strbuf_add_char(struct strbuf *sb, char c);
void strbuf_add_hex(struct strbuf *sb, const void *p, size_t len);
void strbuf_addf(struct strbuf *sb, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void strbuf_vaddf(struct strbuf *sb, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

struct ch_bytes strbuf_bytes(const struct strbuf *sb);

/* Bytes. */
struct ch_bytes ch_str(const char *s); /* Without its NUL; NULL is empty. */
bool ch_bytes_equal(struct ch_bytes a, struct ch_bytes b);

#endif
