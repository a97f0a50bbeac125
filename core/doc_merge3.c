/*
 * doc_merge3.c -- what several versions changed of one base, in one.
 *
 * A change is what a merge patch (RFC 7396) from the base to the version would
 * say: maps are changed key by key, everything else whole. Two changes of one
 * place agree when they lead to the same value; else they contradict each
 * other, unless both leave a map there.
 *
 * Nothing is changed here either: the result is a new tree that shares with
 * the old ones whatever it has in common with them.
 */
#include <errno.h>
#include <string.h>

#include "core/doc_tree.h"
#include "core/mem.h"

#define PATH_SHOWN_MAX 8

/* Where we are, from the leaf up. */
struct path {
	const struct path *up;
	struct ch_bytes key;
};

struct merging {
	struct doc_arena *a;
	size_t n; /* Versions. */
	struct err *reterr;
};

static bool same_tag(const struct doc_node *a, const struct doc_node *b)
{
	return a->tag && b->tag ? strcmp(a->tag, b->tag) == 0
				: a->tag == b->tag;
}

/* The same value, however it is written; NULL: nothing is there. */
static bool same(const struct doc_node *a, const struct doc_node *b)
{
	if (a == b)
		return true;
	if (!a || !b || a->kind != b->kind || !same_tag(a, b))
		return false;
	if (!doc_is_many(a))
		return ch_bytes_equal(a->u.scalar.value, b->u.scalar.value);
	if (a->u.many.n != b->u.many.n)
		return false;
	for (size_t i = 0; i < a->u.many.n; i++) {
		const struct doc_entry *e = &a->u.many.v[i];
		const struct doc_node *other =
			e->key ? doc_find(b, e->key->u.scalar.value)
			       : b->u.many.v[i].value;

		if (!same(e->value, other))
			return false;
	}
	return true;
}

static int contradiction(const struct merging *m, const struct path *at)
{
	struct strbuf text = STRBUF_INIT;
	const struct path *part[PATH_SHOWN_MAX];
	size_t n = 0;
	int rc;

	for (; at && at->up; at = at->up) {
		if (n == PATH_SHOWN_MAX) { /* The outer ones say more. */
			memmove(part, part + 1, (n - 1) * sizeof(part[0]));
			n--;
		}
		part[n++] = at;
	}
	while (n--) {
		struct ch_bytes key = part[n]->key;

		if (key.len > 40)
			key.len = 40;
		strbuf_add_char(&text, '.');
		strbuf_add(&text, key.p, doc_utf8_whole(key));
	}
	if (strbuf_error(&text) < 0)
		rc = err_set(m->reterr, -ENOMEM, "out of memory");
	else
		rc = err_set(m->reterr, -EINVAL, "%s is changed in two ways",
			     text.len ? text.buf : "the whole");
	strbuf_release(&text);
	return rc;
}

static int merge(const struct merging *m, const struct path *at,
		 struct doc_node *base, struct doc_node *const *v,
		 struct doc_node **ret_node);

/* What becomes of one key; @v are the maps that it stands in. */
static int merge_key(const struct merging *m, const struct path *up,
		     struct doc_node *base, struct doc_node *const *v,
		     struct ch_bytes key, struct doc_node **ret_node)
{
	const struct path at = {up, key};
	struct doc_node **below = mem_alloc(m->n * sizeof(*below));
	int rc;

	if (!below)
		return err_set(m->reterr, -ENOMEM, "out of memory");
	for (size_t i = 0; i < m->n; i++)
		below[i] = doc_find(v[i], key);
	rc = merge(m, &at, doc_find(base, key), below, ret_node);
	mem_free(below);
	return rc;
}

struct entries {
	struct doc_entry *v;
	size_t n;
};

static int add_key(const struct merging *m, const struct path *at,
		   struct doc_node *base, struct doc_node *const *v,
		   struct doc_node *key, struct entries *to)
{
	struct doc_entry e = {.key = key};
	int rc = merge_key(m, at, base, v, key->u.scalar.value, &e.value);

	if (rc == 0 && e.value)
		to->v[to->n++] = e;
	return rc;
}

/* Is the key in the base, or in a version before the @i-th? */
static bool is_known(struct doc_node *base, struct doc_node *const *v, size_t i,
		     struct ch_bytes key)
{
	if (doc_find(base, key))
		return true;
	while (i--)
		if (doc_find(v[i], key))
			return true;
	return false;
}

static int merge_maps(const struct merging *m, const struct path *at,
		      struct doc_node *base, struct doc_node *const *v,
		      struct doc_node **ret_node)
{
	const struct doc_node *like = base ? base : v[0];
	size_t room = base ? base->u.many.n : 0;
	struct entries to = {NULL, 0};
	struct doc_node *made = NULL;
	int rc = 0;

	for (size_t i = 0; i < m->n; i++)
		room += v[i]->u.many.n;
	to.v = mem_alloc((room + 1) * sizeof(*to.v));
	if (!to.v)
		return err_set(m->reterr, -ENOMEM, "out of memory");
	for (size_t i = 0; rc == 0 && base && i < base->u.many.n; i++)
		rc = add_key(m, at, base, v, base->u.many.v[i].key, &to);
	for (size_t i = 0; rc == 0 && i < m->n; i++)
		for (size_t k = 0; rc == 0 && k < v[i]->u.many.n; k++) {
			struct doc_node *key = v[i]->u.many.v[k].key;

			if (!is_known(base, v, i, key->u.scalar.value))
				rc = add_key(m, at, base, v, key, &to);
		}
	if (rc == 0) {
		made = doc_many_new(m->a, DOC_MAP, to.v, to.n);
		if (!made || doc_many_seal(m->a, made, NULL) < 0)
			rc = err_set(m->reterr, -ENOMEM, "out of memory");
	}
	mem_free(to.v);
	if (rc < 0)
		return rc;
	made->style = like->style;
	made->tag = like->tag;
	*ret_node = made;
	return 0;
}

/* @ret_node NULL: nothing stands there any more. */
static int merge(const struct merging *m, const struct path *at,
		 struct doc_node *base, struct doc_node *const *v,
		 struct doc_node **ret_node)
{
	bool apart = false, maps = !base || base->kind == DOC_MAP;
	struct doc_node *changed = base;

	for (size_t i = 0; i < m->n; i++) {
		if (!v[i] || v[i]->kind != DOC_MAP ||
		    (base ? !same_tag(base, v[i])
			  : v[0] && !same_tag(v[0], v[i])))
			maps = false;
		if (same(base, v[i]))
			continue;
		if (changed != base && !same(changed, v[i]))
			apart = true;
		else if (changed == base)
			changed = v[i];
	}
	if (!apart) {
		*ret_node = changed;
		return 0;
	}
	return maps ? merge_maps(m, at, base, v, ret_node)
		    : contradiction(m, at);
}

/* Which document of each version goes with which of the base. */

static bool has_identities(const struct doc *d)
{
	for (size_t i = 0; i < d->n; i++) {
		struct doc_identity id = doc_identity(d->v[i]);

		if (!id.kind.len || !id.name.len)
			return false;
		for (size_t k = 0; k < i; k++) {
			struct doc_identity other = doc_identity(d->v[k]);

			if (doc_identity_equal(&id, &other))
				return false;
		}
	}
	return true;
}

static struct doc_node *identified(const struct doc *d,
				   const struct doc_identity *id)
{
	for (size_t i = 0; i < d->n; i++) {
		struct doc_identity its = doc_identity(d->v[i]);

		if (doc_identity_equal(id, &its))
			return d->v[i];
	}
	return NULL;
}

struct stream {
	const struct doc *base;
	const struct doc *const *v;
	struct doc_node *nothing; /* Stands for a document that is NULL. */
	bool by_identity;
};

static struct doc_node *document(const struct stream *s, const struct doc *d,
				 size_t place)
{
	struct doc_identity id;

	if (!d)
		return s->nothing;
	if (d == s->base || !s->by_identity)
		return d->v[place];
	id = doc_identity(s->base->v[place]);
	return identified(d, &id);
}

static int other_documents(const struct merging *m)
{
	return err_set(m->reterr, -EINVAL, "the documents are not the same");
}

static int merge_document(const struct merging *m, const struct stream *s,
			  size_t count, size_t place,
			  struct doc_node **ret_node)
{
	struct doc_node *base = document(s, s->base, place);
	struct doc_identity id = doc_identity(base);
	const struct path root = {NULL, {NULL, 0}};
	struct doc_node **v;
	int rc = 0;

	v = mem_alloc(m->n * sizeof(struct doc_node *));
	if (!v)
		return err_set(m->reterr, -ENOMEM, "out of memory");
	for (size_t i = 0; rc == 0 && i < m->n; i++) {
		struct doc_identity its;

		v[i] = document(s, s->v[i], place);
		its = doc_identity(v[i]);
		if (count > 1 && !doc_identity_equal(&id, &its))
			rc = other_documents(m);
	}
	if (rc == 0)
		rc = merge(m, &root, base, v, ret_node);
	mem_free(v);
	return rc;
}

/* Whose syntax and layout the result has: the base's, unless all versions
 * have another. */
static const struct doc *model(const struct doc *base,
			       const struct doc *const *v, size_t n)
{
	const struct doc *first = NULL;

	for (size_t i = 0; i < n; i++) {
		if (!v[i])
			continue;
		if (!first)
			first = v[i];
		else if (base && v[i]->syntax != first->syntax)
			return base;
	}
	return base && (!first || base->syntax == first->syntax) ? base : first;
}

static int merge_stream(struct merging *m, const struct stream *s,
			const struct doc *like, struct strbuf *made)
{
	struct doc_node **v;
	int rc = 0;

	v = doc_arena_alloc(m->a, like->n * sizeof(struct doc_node *));
	if (!v)
		return err_set(m->reterr, -ENOMEM, "out of memory");
	for (size_t i = 0; rc == 0 && i < like->n; i++)
		rc = merge_document(m, s, like->n, i, &v[i]);
	if (rc < 0)
		return rc;
	doc_write_like(like, v, made);
	if (strbuf_error(made) < 0)
		return err_set(m->reterr, -ENOMEM, "out of memory");
	return 0;
}

int doc_merge3(const struct doc *base, const struct doc *const *v, size_t n,
	       struct strbuf *out, struct err *reterr)
{
	struct stream s = {.base = base, .v = v, .by_identity = base != NULL};
	const struct doc *like = model(base, v, n);
	struct strbuf made = STRBUF_INIT;
	struct doc_arena a = {0};
	struct merging m = {&a, n, reterr};
	size_t count = base ? base->n : 1;
	int rc = like ? 0 : other_documents(&m);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		if ((v[i] ? v[i]->n : 1) != count)
			rc = other_documents(&m);
		s.by_identity &= v[i] && has_identities(v[i]);
	}
	if (rc == 0) {
		s.by_identity &= count > 1 && has_identities(base);
		s.nothing = doc_many_new(&a, DOC_MAP, NULL, 0);
		if (!s.nothing || doc_many_seal(&a, s.nothing, NULL) < 0)
			rc = err_set(reterr, -ENOMEM, "out of memory");
	}
	/* One that is missing in a version counts as another. */
	for (size_t i = 0; rc == 0 && s.by_identity && i < n; i++)
		for (size_t k = 0; rc == 0 && k < count; k++)
			if (!document(&s, v[i], k))
				rc = other_documents(&m);
	if (rc == 0)
		rc = merge_stream(&m, &s, like, &made);
	if (rc == 0) {
		strbuf_grow(out, made.len);
		rc = strbuf_error(out);
	}
	if (rc == 0)
		strbuf_add(out, made.buf, made.len);
	strbuf_release(&made);
	doc_arena_release(&a);
	return rc;
}
