/*
 * doc_write_yaml.c -- YAML out: block style, two spaces a level, each scalar
 * as it was written wherever that text still means the same there.
 *
 * What would not (a plain text that moves into a flow collection, a block
 * scalar that becomes a key, anything that came from JSON) is written anew
 * from its value, so that doc_resolve() gives that value and type back.
 */
#include <string.h>

#include "core/doc_tree.h"

#define INDENT 2

/* Where something is written. */
struct place {
	size_t indent; /* Of what is below it. */
	bool flow;
	bool key;
};

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9');
}

static void spaces(size_t n, struct strbuf *out)
{
	while (n--)
		strbuf_add_char(out, ' ');
}

/* A character that YAML takes as it is, and that is no line break to it. */
static bool is_printable(uint32_t c)
{
	return c == '\t' || (c >= 0x20 && c <= 0x7e) ||
	       (c >= 0xa0 && c <= 0xd7ff && c != 0x2028 && c != 0x2029) ||
	       (c >= 0xe000 && c <= 0xfffd && c != 0xfeff) ||
	       (c >= 0x10000 && c <= 0x10ffff);
}

/* All of it can be written without escapes; \n counts when @lines. */
static bool is_clean(struct ch_bytes s, bool lines)
{
	const unsigned char *p = s.p;

	for (size_t i = 0; i < s.len;) {
		uint32_t c = 0;
		size_t len = doc_utf8_len(p + i, s.len - i, &c);

		if (!len || !(is_printable(c) || (lines && c == '\n')))
			return false;
		i += len;
	}
	return true;
}

static void write_quoted(struct ch_bytes s, struct strbuf *out)
{
	const unsigned char *p = s.p;

	strbuf_add_char(out, '"');
	for (size_t i = 0; i < s.len;) {
		uint32_t c = 0;
		size_t len = doc_utf8_len(p + i, s.len - i, &c);

		if (!len)
			len = 1;
		if (c == '"' || c == '\\') {
			strbuf_add_char(out, '\\');
			strbuf_add_char(out, (char)c);
		} else if (c == '\n') {
			strbuf_add_str(out, "\\n");
		} else if (c == '\t') {
			strbuf_add_str(out, "\\t");
		} else if (is_printable(c)) {
			strbuf_add(out, p + i, len);
		} else {
			strbuf_addf(out, "\\u%04x", (unsigned)c);
		}
		i += len;
	}
	strbuf_add_char(out, '"');
}

/* A string that may stand without quotes anywhere: few characters, and not
 * what would be something else to this or another reader. */
static bool may_be_plain(struct ch_bytes s)
{
	const char *p = s.p;
	struct doc_arena a = {0};
	struct ch_bytes value;
	enum doc_kind kind;
	int r;

	if (!s.len || s.len > 200 ||
	    !((p[0] >= 'a' && p[0] <= 'z') || (p[0] >= 'A' && p[0] <= 'Z') ||
	      p[0] == '/' || p[0] == '_'))
		return false;
	for (size_t i = 0; i < s.len; i++) {
		bool last = i + 1 == s.len;

		if (is_alnum(p[i]) || memchr("_-./+@=%", p[i], 8))
			continue;
		/* A single space between words. */
		if (p[i] == ' ' && !last && is_alnum(p[i + 1]))
			continue;
		return false;
	}
	r = doc_resolve(&a, NULL, true, s, &kind, &value);
	doc_arena_release(&a);
	return r == 0 && kind == DOC_STRING;
}

/* Lines of a block scalar; the empty ones stay empty. */
static void write_lines(struct ch_bytes s, size_t indent, struct strbuf *out)
{
	const char *p = s.p;

	for (size_t i = 0; i < s.len;) {
		const char *nl = memchr(p + i, '\n', s.len - i);
		size_t len = nl ? (size_t)(nl - (p + i)) : s.len - i;

		strbuf_add_char(out, '\n');
		if (len)
			spaces(indent, out);
		strbuf_add(out, p + i, len);
		i += len + 1;
	}
}

/* "-" where the value ends without a newline, "+" where with several. */
static void write_chomping(struct ch_bytes value, struct strbuf *out)
{
	const char *p = value.p;

	if (p[value.len - 1] != '\n')
		strbuf_add_char(out, '-');
	else if (value.len > 1 && p[value.len - 2] == '\n')
		strbuf_add_char(out, '+');
}

static bool is_only_breaks(struct ch_bytes s)
{
	const char *p = s.p;

	for (size_t i = 0; i < s.len; i++)
		if (p[i] != '\n')
			return false;
	return true;
}

static bool may_be_block(struct ch_bytes value, const struct place *at)
{
	return !at->flow && !at->key && !is_only_breaks(value) &&
	       is_clean(value, true);
}

static void write_literal(struct ch_bytes value, const struct place *at,
			  struct strbuf *out)
{
	char first = *(const char *)value.p;

	strbuf_add_char(out, '|');
	if (first == ' ' || first == '\t' || first == '\n')
		strbuf_addf(out, "%d", INDENT);
	write_chomping(value, out);
	write_lines(value, at->indent, out);
}

/*
 * A folded scalar keeps its lines, moved to their new indentation. False,
 * with nothing written, where its indentation cannot be told from them.
 */
static bool write_folded(const struct doc_node *n, const struct place *at,
			 struct strbuf *out)
{
	struct ch_bytes src = n->u.scalar.src, value = n->u.scalar.value;
	struct strbuf body = STRBUF_INIT;
	const char *p = src.p;
	size_t i = 0, own = 0, blank_max = 0, last;
	bool begun = false;

	if (!is_clean(src, true))
		return false;
	/* The header: an indicator of indentation is a digit. */
	for (; i < src.len && p[i] != '\n' && p[i] != '#'; i++)
		if (p[i] >= '0' && p[i] <= '9')
			return false;
	while (i < src.len && p[i] != '\n')
		i++;
	for (i++; i < src.len;) {
		const char *nl = memchr(p + i, '\n', src.len - i);
		size_t len = nl ? (size_t)(nl - (p + i)) : src.len - i;
		size_t lead = 0;

		while (lead < len && p[i + lead] == ' ')
			lead++;
		if (!begun && lead == len) {
			blank_max = lead > blank_max ? lead : blank_max;
		} else if (!begun) {
			begun = true;
			own = lead;
			if (!own || blank_max > own) {
				strbuf_release(&body);
				return false;
			}
		}
		if (len > own && begun)
			strbuf_add(&body, p + i + own, len - own);
		strbuf_add_char(&body, '\n');
		i += len + 1;
	}
	/* Breaks at the end are the value's. */
	last = body.len;
	while (last && body.buf[last - 1] == '\n')
		last--;
	if (!begun || !last || strbuf_error(&body) < 0) {
		out->bad |= body.bad;
		strbuf_release(&body);
		return false;
	}
	strbuf_set_len(&body, last);
	for (size_t k = value.len; k && ((const char *)value.p)[k - 1] == '\n';
	     k--)
		strbuf_add_char(&body, '\n');
	strbuf_add_char(out, '>');
	write_chomping(value, out);
	write_lines(strbuf_bytes(&body), at->indent, out);
	out->bad |= body.bad;
	strbuf_release(&body);
	return true;
}

/* A plain text that means the same within [ ] and { }. */
static bool is_flow_safe(const struct doc_node *n)
{
	struct ch_bytes src = n->u.scalar.src;
	const char *p = src.p;

	if (n->in_flow || n->style != DOC_PLAIN)
		return true;
	for (size_t i = 0; i < src.len; i++)
		if (!is_alnum(p[i]) && !memchr("_./+", p[i], 4) &&
		    !(p[i] == '-' && i + 1 < src.len && is_alnum(p[i + 1])))
			return false;
	return true;
}

/* Does the source text, as it stands, mean the same at @at. */
static bool may_stay(const struct doc_node *n, const struct place *at)
{
	struct ch_bytes src = n->u.scalar.src;

	if (n->syntax != DOC_YAML || !src.len)
		return false;
	if (n->style == DOC_LITERAL || n->style == DOC_FOLDED)
		return false;
	if (at->key &&
	    (memchr(src.p, '\n', src.len) || src.len > DOC_SIMPLE_KEY_MAX))
		return false;
	if (at->flow && !is_flow_safe(n))
		return false;
	return is_clean(src, true);
}

/* Several lines in quotes, or plain: their indentation means nothing, but
 * it must be deeper than what they stand in. */
static void write_source(struct ch_bytes src, size_t indent, struct strbuf *out)
{
	const char *p = src.p;
	size_t i = 0;

	for (;;) {
		const char *nl = memchr(p + i, '\n', src.len - i);

		if (!nl) {
			strbuf_add(out, p + i, src.len - i);
			return;
		}
		strbuf_add(out, p + i, (size_t)(nl - (p + i)));
		strbuf_add_char(out, '\n');
		i = (size_t)(nl - p) + 1;
		while (i < src.len && (p[i] == ' ' || p[i] == '\t'))
			i++;
		if (i < src.len && p[i] != '\n')
			spaces(indent, out);
	}
}

static void write_tag(const char *tag, struct strbuf *out)
{
	static const char core[] = "tag:yaml.org,2002:";
	const char *p = tag;

	if (tag[0] == '!') {
		strbuf_add_char(out, '!');
		p = tag + 1;
	} else if (strlen(tag) > sizeof(core) - 1 &&
		   memcmp(tag, core, sizeof(core) - 1) == 0) {
		strbuf_add_str(out, "!!");
		p = tag + sizeof(core) - 1;
	} else {
		strbuf_add_str(out, "!<");
	}
	for (const char *q = p; *q; q++)
		if (is_alnum(*q) || memchr("-_;/?:@&=+$.~*'()", *q, 17) ||
		    (p == tag && memchr(",[]!", *q, 4)))
			strbuf_add_char(out, *q);
		else
			strbuf_addf(out, "%%%02X", (unsigned)(unsigned char)*q);
	if (p == tag)
		strbuf_add_char(out, '>');
}

static void write_string(const struct doc_node *n, const struct place *at,
			 struct strbuf *out)
{
	struct ch_bytes value = n->u.scalar.value;
	bool block = may_be_block(value, at);

	if (block && n->syntax == DOC_YAML && n->style == DOC_FOLDED &&
	    write_folded(n, at, out))
		return;
	if (block && (memchr(value.p, '\n', value.len) ||
		      (n->syntax == DOC_YAML &&
		       (n->style == DOC_LITERAL || n->style == DOC_FOLDED))))
		write_literal(value, at, out);
	else if (!n->tag && may_be_plain(value))
		strbuf_add(out, value.p, value.len);
	else
		write_quoted(value, out);
}

/* A scalar, with a space before it where it is not nothing at all. */
static void write_scalar(const struct doc_node *n, const struct place *at,
			 struct strbuf *out)
{
	bool nothing = n->kind == DOC_NULL && n->syntax == DOC_YAML &&
		       !n->u.scalar.src.len && !n->tag && !at->flow;
	struct ch_bytes value = n->u.scalar.value;

	if (nothing)
		return;
	if (!at->key)
		strbuf_add_char(out, ' ');
	if (n->tag) {
		write_tag(n->tag, out);
		strbuf_add_char(out, ' ');
	}
	if (may_stay(n, at))
		write_source(n->u.scalar.src, at->indent, out);
	else if (n->kind == DOC_STRING)
		write_string(n, at, out);
	else
		strbuf_add(out, value.p, value.len);
}

/* "key:", or "? key" and ":" below it where it is too long for that. */
static void write_key(const struct doc_node *key, const struct place *at,
		      struct strbuf *out)
{
	struct place here = {
		.indent = at->indent, .flow = at->flow, .key = true};
	struct strbuf text = STRBUF_INIT;

	write_scalar(key, &here, &text);
	if (text.len > DOC_SIMPLE_KEY_MAX) {
		strbuf_add_str(out, "? ");
		strbuf_add(out, text.buf, text.len);
		if (at->flow) {
			strbuf_add_char(out, ' ');
		} else {
			strbuf_add_char(out, '\n');
			spaces(at->indent - INDENT, out);
		}
	} else {
		strbuf_add(out, text.buf, text.len);
	}
	strbuf_add_char(out, ':');
	out->bad |= text.bad;
	strbuf_release(&text);
}

static void write_flow(const struct doc_node *n, const struct place *at,
		       struct strbuf *out);

static void write_flow_value(const struct doc_node *n, const struct place *at,
			     struct strbuf *out)
{
	if (!doc_is_many(n)) {
		write_scalar(n, at, out);
		return;
	}
	strbuf_add_char(out, ' ');
	write_flow(n, at, out);
}

static void write_flow(const struct doc_node *n, const struct place *at,
		       struct strbuf *out)
{
	bool map = n->kind == DOC_MAP;
	struct place in = {.indent = at->indent, .flow = true};

	if (n->tag) {
		write_tag(n->tag, out);
		strbuf_add_char(out, ' ');
	}
	strbuf_add_char(out, map ? '{' : '[');
	for (size_t i = 0; i < n->u.many.n && !out->bad; i++) {
		const struct doc_entry *e = &n->u.many.v[i];
		size_t start;

		if (i > 0)
			strbuf_add_char(out, ',');
		if (map) {
			if (i > 0)
				strbuf_add_char(out, ' ');
			write_key(e->key, &in, out);
		}
		start = out->len;
		write_flow_value(e->value, &in, out);
		/* [a, b], not [ a, b]. */
		if (!map && i == 0 && !out->bad && out->len > start) {
			memmove(out->buf + start, out->buf + start + 1,
				out->len - start - 1);
			strbuf_set_len(out, out->len - 1);
		}
	}
	strbuf_add_char(out, map ? '}' : ']');
}

static bool is_block(const struct doc_node *n)
{
	return doc_is_many(n) && n->style != DOC_FLOW && n->u.many.n;
}

static void write_block(const struct doc_node *n, size_t indent, bool inlined,
			struct strbuf *out);

/* What stands behind "key:" or "-", to the end of its line and below. */
static void write_value(const struct doc_node *n, size_t indent, bool item,
			struct strbuf *out)
{
	struct place at = {.indent = indent + INDENT};

	if (!doc_is_many(n)) {
		write_scalar(n, &at, out);
		strbuf_add_char(out, '\n');
		return;
	}
	strbuf_add_char(out, ' ');
	if (!is_block(n)) {
		write_flow(n, &at, out);
		strbuf_add_char(out, '\n');
		return;
	}
	if (item && !n->tag) {
		/* "- key: value", "- - item" */
		write_block(n, indent + INDENT, true, out);
		return;
	}
	if (n->tag)
		write_tag(n->tag, out);
	else if (!out->bad)
		strbuf_set_len(out, out->len - 1);
	strbuf_add_char(out, '\n');
	write_block(n, indent + INDENT, false, out);
}

/* The entries, one a line; the first goes on in this line when @inlined. */
static void write_block(const struct doc_node *n, size_t indent, bool inlined,
			struct strbuf *out)
{
	struct place at = {.indent = indent + INDENT};

	for (size_t i = 0; i < n->u.many.n && !out->bad; i++) {
		const struct doc_entry *e = &n->u.many.v[i];

		if (i > 0 || !inlined)
			spaces(indent, out);
		if (e->key)
			write_key(e->key, &at, out);
		else
			strbuf_add_char(out, '-');
		write_value(e->value, indent, !e->key, out);
	}
}

void doc_write_yaml(const struct doc_node *n, struct strbuf *out)
{
	struct place at = {.indent = INDENT};

	if (!is_block(n)) {
		write_flow(n, &at, out);
		strbuf_add_char(out, '\n');
		return;
	}
	if (n->tag) {
		/* Behind ---, for a tag alone on a line is an empty scalar
		 * to some. */
		strbuf_add_str(out, "--- ");
		write_tag(n->tag, out);
		strbuf_add_char(out, '\n');
	}
	write_block(n, 0, false, out);
}
