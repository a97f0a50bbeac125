/* doc.c -- the door; doc.h says what a doc is, doc_tree.h how it is made. */
#include "core/doc.h"

#include <errno.h>
#include <string.h>

#include "core/doc_tree.h"
#include "core/mem.h"

/* Of a growing file only so much is looked at: an error further on is told
 * at its end, and a file written in pieces is not read over and over. */
#define PREFIX_MAX (128u * 1024u)

static struct ch_bytes without_mark(struct ch_bytes in)
{
	if (in.len >= 3 && memcmp(in.p, "\xef\xbb\xbf", 3) == 0)
		return (struct ch_bytes){(const char *)in.p + 3, in.len - 3};
	return in;
}

static int no_memory(struct err *reterr)
{
	return err_set(reterr, -ENOMEM, "out of memory");
}

static int say(struct ch_bytes in, const struct doc_fail *f, struct err *reterr)
{
	size_t line, col;

	doc_where(in, f->at, &line, &col);
	return err_set(reterr, -EINVAL, "line %zu, column %zu: %s", line, col,
		       f->text);
}

static bool looks_like_json(struct ch_bytes in)
{
	const char *p = in.p;

	for (size_t i = 0; i < in.len; i++)
		if (!memchr(" \t\r\n", p[i], 4))
			return p[i] == '{' || p[i] == '[';
	return false;
}

static void clear(struct doc *d)
{
	doc_arena_release(&d->arena);
	*d = (struct doc){.in = d->in};
}

/* What is neither: the error of which the writer will have meant to hear. */
static void choose(const struct doc_fail *json, struct doc_fail *f)
{
	if (json->reach >= f->reach && strcmp(json->what, DOC_NOT_BEGUN) != 0)
		*f = *json;
}

static int parse(struct doc *d, struct doc_fail *f)
{
	struct doc_fail json = {0};
	bool tried = looks_like_json(d->in);
	int r;

	if (tried) {
		r = doc_parse_json(d, &json);
		if (r != -EINVAL)
			return r;
		clear(d);
	}
	r = doc_parse_yaml(d, f);
	if (r == -EINVAL && tried)
		choose(&json, f);
	return r;
}

int doc_parse(struct ch_bytes in, struct doc **ret_doc, struct err *reterr)
{
	struct doc_fail f = {0};
	struct doc *d;
	int r;

	in = without_mark(in);
	r = doc_check_utf8(in, &f);
	if (r < 0)
		return r == -ENOMEM ? no_memory(reterr) : say(in, &f, reterr);
	d = mem_alloc(sizeof(*d));
	if (!d)
		return no_memory(reterr);
	d->in.p = mem_dup(in.p, in.len);
	d->in.len = in.len;
	r = d->in.p ? parse(d, &f) : -ENOMEM;
	if (r < 0) {
		doc_free(d);
		return r == -ENOMEM ? no_memory(reterr) : say(in, &f, reterr);
	}
	*ret_doc = d;
	return 0;
}

void doc_free(struct doc *d)
{
	if (!d)
		return;
	doc_arena_release(&d->arena);
	mem_free((void *)d->in.p);
	mem_free(d);
}

enum doc_syntax doc_syntax(const struct doc *d)
{
	return d->syntax;
}

size_t doc_count(const struct doc *d)
{
	return d->n;
}

bool doc_is_manifest(const struct doc *d)
{
	for (size_t i = 0; i < d->n; i++)
		if (!doc_find_string(d->v[i], "apiVersion").len ||
		    !doc_find_string(d->v[i], "kind").len)
			return false;
	return d->n > 0;
}

static bool is_secret(const struct doc_node *n)
{
	struct ch_bytes kind = doc_find_string(n, "kind");
	const struct doc_node *items = n;

	if (ch_bytes_equal(kind, ch_str("Secret")) ||
	    ch_bytes_equal(kind, ch_str("SecretList")))
		return true;
	if (ch_bytes_equal(kind, ch_str("List")))
		items = doc_find(n, ch_str("items"));
	if (!items || items->kind != DOC_LIST)
		return false;
	for (size_t i = 0; i < items->u.many.n; i++)
		if (is_secret(items->u.many.v[i].value))
			return true;
	return false;
}

bool doc_has_secret(const struct doc *d)
{
	for (size_t i = 0; i < d->n; i++)
		if (is_secret(d->v[i]))
			return true;
	return false;
}

static int prefix(struct ch_bytes in, struct doc_fail *f)
{
	struct doc_fail json = {0};
	bool tried = looks_like_json(in);
	int r;

	if (tried) {
		r = doc_prefix_json(in, &json);
		if (r != -EINVAL)
			return r;
		if (strcmp(json.what, DOC_CERTAIN) == 0) {
			*f = json;
			return r;
		}
	}
	r = doc_prefix_yaml(in, f);
	if (r == -EINVAL && tried)
		choose(&json, f);
	return r;
}

int doc_check_prefix(struct ch_bytes in, struct err *reterr)
{
	struct doc_fail f = {0};
	int r;

	/* The mark itself may be cut. */
	if (in.len < 3 && memcmp(in.p ? in.p : "", "\xef\xbb\xbf", in.len) == 0)
		return 0;
	in = without_mark(in);
	if (in.len > PREFIX_MAX)
		in.len = PREFIX_MAX;
	in.len = doc_utf8_whole(in);
	r = doc_check_utf8(in, &f);
	if (r == 0)
		r = prefix(in, &f);
	if (r == -ENOMEM)
		return no_memory(reterr);
	return r < 0 ? say(in, &f, reterr) : 0;
}

bool doc_claims_manifest(struct ch_bytes in)
{
	static const char word[] = "apiVersion:";
	const size_t len = sizeof(word) - 1;
	const char *p, *nl;
	size_t i = 0;

	in = without_mark(in);
	p = in.p;
	while (in.len - i >= len) {
		if (memcmp(p + i, word, len) == 0)
			return true;
		nl = memchr(p + i, '\n', in.len - i);
		if (!nl)
			return false;
		i = (size_t)(nl - p) + 1;
	}
	return false;
}
