/* doc_write_json.c -- JSON out: what JSON wrote stays as it was written. */
#include "core/doc_tree.h"

#define INDENT 2

static void newline(size_t depth, struct strbuf *out)
{
	strbuf_add_char(out, '\n');
	for (size_t i = 0; i < depth * INDENT; i++)
		strbuf_add_char(out, ' ');
}

static void write_string(struct ch_bytes s, struct strbuf *out)
{
	const char *p = s.p;
	size_t done = 0;

	strbuf_add_char(out, '"');
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
			continue;
		strbuf_add(out, p + done, i - done);
		done = i + 1;
		switch (c) {
		case '"':
		case '\\':
			strbuf_add_char(out, '\\');
			strbuf_add_char(out, (char)c);
			break;
		case '\n':
			strbuf_add_str(out, "\\n");
			break;
		case '\t':
			strbuf_add_str(out, "\\t");
			break;
		case '\r':
			strbuf_add_str(out, "\\r");
			break;
		default:
			strbuf_addf(out, "\\u%04x", c);
		}
	}
	strbuf_add(out, p + done, s.len - done);
	strbuf_add_char(out, '"');
}

static void write_scalar(const struct doc_node *n, struct strbuf *out)
{
	struct ch_bytes value = n->u.scalar.value, src = n->u.scalar.src;

	if (n->syntax == DOC_JSON && src.len)
		strbuf_add(out, src.p, src.len);
	else if (n->kind == DOC_STRING)
		write_string(value, out);
	else
		strbuf_add(out, value.p, value.len);
}

void doc_write_json(const struct doc_node *n, const struct doc_layout *l,
		    size_t depth, struct strbuf *out)
{
	bool map = n->kind == DOC_MAP;

	if (!doc_is_many(n)) {
		write_scalar(n, out);
		return;
	}
	strbuf_add_char(out, map ? '{' : '[');
	for (size_t i = 0; i < n->u.many.n; i++) {
		const struct doc_entry *e = &n->u.many.v[i];

		if (i > 0) {
			strbuf_add_char(out, ',');
			if (!l->indented && l->comma_space)
				strbuf_add_char(out, ' ');
		}
		if (l->indented)
			newline(depth + 1, out);
		if (map) {
			write_scalar(e->key, out);
			strbuf_add_char(out, ':');
			if (l->colon_space)
				strbuf_add_char(out, ' ');
		}
		doc_write_json(e->value, l, depth + 1, out);
		if (out->bad)
			return;
	}
	if (l->indented && n->u.many.n)
		newline(depth, out);
	strbuf_add_char(out, map ? '}' : ']');
}
