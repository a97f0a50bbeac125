/*
 * doc_scalar.c -- what type a YAML scalar has.
 *
 * The rules are those of go-yaml v2, which kubectl reads manifests with: y,
 * on and no are booleans, 0777 is 511, 1_000 is 1000, 09 is 9, a date is a
 * string. Two things differ, because a number here is a text and never a
 * double: one that is too large for a double (1e400) is still a number, and
 * an integer in another base that 64 bits cannot hold is a string. .inf and
 * .nan are strings, as JSON has no such numbers; !!binary is the text as it
 * stands.
 */
#include <errno.h>
#include <string.h>

#include "core/doc_tree.h"

#define TAG_CORE "tag:yaml.org,2002:"

struct digits {
	bool minus;
	const char *p; /* Behind the sign. */
	size_t len;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_one_of(struct ch_bytes s, const char *const *words)
{
	for (; *words; words++)
		if (ch_bytes_equal(s, ch_str(*words)))
			return true;
	return false;
}

static bool is_null(struct ch_bytes s)
{
	static const char *const words[] = {"",     "~",    "null",
					    "Null", "NULL", NULL};

	return is_one_of(s, words);
}

static bool is_true(struct ch_bytes s)
{
	static const char *const words[] = {"y",   "Y",    "yes",  "Yes",
					    "YES", "true", "True", "TRUE",
					    "on",  "On",   "ON",   NULL};

	return is_one_of(s, words);
}

static bool is_false(struct ch_bytes s)
{
	static const char *const words[] = {"n",   "N",     "no",    "No",
					    "NO",  "false", "False", "FALSE",
					    "off", "Off",   "OFF",   NULL};

	return is_one_of(s, words);
}

/* The whole of @d in @base, at most @max. */
static bool digits_to_u64(const char *p, size_t len, unsigned base,
			  uint64_t max, uint64_t *ret_v)
{
	uint64_t v = 0;

	if (!len)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = p[i];
		unsigned d;

		if (is_digit(c))
			d = (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			d = (unsigned)(c - 'a') + 10;
		else if (c >= 'A' && c <= 'F')
			d = (unsigned)(c - 'A') + 10;
		else
			return false;
		if (d >= base || v > (max - d) / base)
			return false;
		v = v * base + d;
	}
	*ret_v = v;
	return true;
}

/* 0x1f, 0b1, 0o7, 07: 0 and its decimal, 1 when it is no such thing. */
static int based_to_json(struct doc_arena *a, const struct digits *d,
			 struct ch_bytes *ret_json)
{
	uint64_t max = d->minus ? (uint64_t)INT64_MAX + 1 : UINT64_MAX;
	unsigned base = 8;
	size_t skip = 1;
	uint64_t v;
	char buf[24], *out;
	size_t n = sizeof(buf);

	if (d->len < 2 || d->p[0] != '0')
		return 1;
	switch (d->p[1]) {
	case 'x':
	case 'X':
		base = 16;
		skip = 2;
		break;
	case 'b':
	case 'B':
		base = 2;
		skip = 2;
		break;
	case 'o':
	case 'O':
		skip = 2;
		break;
	}
	if (!digits_to_u64(d->p + skip, d->len - skip, base, max, &v))
		return 1;
	do {
		buf[--n] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	if (d->minus)
		buf[--n] = '-';
	out = doc_arena_dup(a, buf + n, sizeof(buf) - n);
	if (!out)
		return -ENOMEM;
	*ret_json = (struct ch_bytes){out, sizeof(buf) - n};
	return 0;
}

/* Digits, point, digits, exponent: how long each is. False: not a float. */
struct float_parts {
	size_t whole, frac, exp; /* exp: with its e. */
};

static bool float_split(const struct digits *d, struct float_parts *ret)
{
	const char *p = d->p;
	size_t i = 0, start;

	*ret = (struct float_parts){0};
	while (i < d->len && is_digit(p[i]))
		i++;
	ret->whole = i;
	if (i < d->len && p[i] == '.') {
		start = ++i;
		while (i < d->len && is_digit(p[i]))
			i++;
		ret->frac = i - start;
	}
	if (!ret->whole && !ret->frac)
		return false;
	if (i < d->len && (p[i] == 'e' || p[i] == 'E')) {
		start = i++;
		if (i < d->len && (p[i] == '+' || p[i] == '-'))
			i++;
		if (i == d->len)
			return false;
		while (i < d->len && is_digit(p[i]))
			i++;
		ret->exp = i - start;
		if (!is_digit(p[i - 1]))
			return false;
	}
	return i == d->len;
}

/* The same number as JSON wants it: no plus, no leading zeros, digits on both
 * sides of a point. */
static int float_to_json(struct doc_arena *a, const struct digits *d,
			 const struct float_parts *f, struct ch_bytes *ret_json)
{
	char *out = doc_arena_alloc(a, d->len + 4);
	const char *frac = d->p + f->whole + 1;
	size_t n = 0, zeros = 0;

	if (!out)
		return -ENOMEM;
	if (d->minus)
		out[n++] = '-';
	while (zeros < f->whole && d->p[zeros] == '0')
		zeros++;
	if (zeros == f->whole)
		out[n++] = '0';
	memcpy(out + n, d->p + zeros, f->whole - zeros);
	n += f->whole - zeros;
	if (f->frac) {
		out[n++] = '.';
		memcpy(out + n, frac, f->frac);
		n += f->frac;
	}
	memcpy(out + n, d->p + d->len - f->exp, f->exp);
	n += f->exp;
	*ret_json = (struct ch_bytes){out, n};
	return 0;
}

/* 0 and the number as JSON writes it, 1 when @s is no number. */
static int number_to_json(struct doc_arena *a, struct ch_bytes s,
			  struct ch_bytes *ret_json)
{
	const char *p = s.p;
	struct digits d = {.p = p, .len = s.len};
	struct float_parts f;
	int r;

	if (!s.len ||
	    !(is_digit(p[0]) || p[0] == '+' || p[0] == '-' || p[0] == '.'))
		return 1;
	/* Most texts end here: nothing else stands in a number. */
	for (size_t i = 0; i < s.len; i++) {
		char c = p[i];

		if (!is_digit(c) && !(c >= 'a' && c <= 'f') &&
		    !(c >= 'A' && c <= 'F') && !memchr("xXoO_.+-", c, 8))
			return 1;
	}
	if (p[0] != '.' && memchr(p, '_', s.len)) {
		char *q = doc_arena_alloc(a, s.len);
		size_t n = 0;

		if (!q)
			return -ENOMEM;
		for (size_t i = 0; i < s.len; i++)
			if (p[i] != '_')
				q[n++] = p[i];
		d = (struct digits){.p = q, .len = n};
		s = (struct ch_bytes){q, n};
	}
	if (d.p[0] == '+' || d.p[0] == '-') {
		d.minus = d.p[0] == '-';
		d.p++;
		d.len--;
	}
	r = based_to_json(a, &d, ret_json);
	if (r <= 0)
		return r;
	if (!float_split(&d, &f))
		return 1;
	/* JSON's own form stays byte for byte. */
	if (f.whole && (f.whole == 1 || d.p[0] != '0') &&
	    (d.minus || d.p == (const char *)s.p) &&
	    d.len == f.whole + f.exp + (f.frac ? f.frac + 1 : 0)) {
		*ret_json = s;
		return 0;
	}
	return float_to_json(a, &d, &f, ret_json);
}

static int resolve_plain(struct doc_arena *a, struct ch_bytes s,
			 enum doc_kind *ret_kind, struct ch_bytes *ret_value)
{
	int r;

	*ret_kind = DOC_STRING;
	*ret_value = s;
	if (s.len <= 5) { /* The longest word is FALSE. */
		if (is_null(s)) {
			*ret_kind = DOC_NULL;
			*ret_value = ch_str("null");
			return 0;
		}
		if (is_true(s) || is_false(s)) {
			*ret_kind = DOC_BOOL;
			*ret_value = ch_str(is_true(s) ? "true" : "false");
			return 0;
		}
	}
	r = number_to_json(a, s, ret_value);
	if (r == 0)
		*ret_kind = DOC_NUMBER;
	return r < 0 ? r : 0;
}

static bool is_integer(struct ch_bytes json)
{
	return !memchr(json.p, '.', json.len) &&
	       !memchr(json.p, 'e', json.len) && !memchr(json.p, 'E', json.len);
}

static bool is_endless(struct ch_bytes s)
{
	static const char *const words[] = {
		".nan",  ".NaN",  ".NAN",  ".inf",  ".Inf",  ".INF", "+.inf",
		"+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF", NULL};

	return is_one_of(s, words);
}

int doc_resolve(struct doc_arena *a, const char *tag, bool plain,
		struct ch_bytes text, enum doc_kind *ret_kind,
		struct ch_bytes *ret_value)
{
	enum doc_kind kind = DOC_STRING;
	struct ch_bytes value = text;
	const char *type = NULL;
	bool fits = true;
	int r = 0;

	if (tag && strlen(tag) > strlen(TAG_CORE) &&
	    memcmp(tag, TAG_CORE, strlen(TAG_CORE)) == 0)
		type = tag + strlen(TAG_CORE);
	if (!tag && plain) {
		r = resolve_plain(a, text, &kind, &value);
	} else if (type) {
		bool null = strcmp(type, "null") == 0;
		bool boolean = strcmp(type, "bool") == 0;
		bool integer = strcmp(type, "int") == 0;
		bool floating = strcmp(type, "float") == 0;

		if (null || boolean || integer || floating)
			r = resolve_plain(a, text, &kind, &value);
		if (r == 0)
			fits = (!null || kind == DOC_NULL) &&
			       (!boolean || kind == DOC_BOOL) &&
			       (!integer ||
				(kind == DOC_NUMBER && is_integer(value))) &&
			       (!floating || kind == DOC_NUMBER ||
				is_endless(text));
	}
	if (r < 0)
		return r;
	if (!fits)
		return -EINVAL;
	*ret_kind = kind;
	*ret_value = value;
	return 0;
}
