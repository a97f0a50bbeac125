/*
 * doc_patch.c -- JSON merge patch (RFC 7396) on trees.
 *
 * Nothing is changed: the result is a new tree that shares with both old ones
 * whatever they have in common with it.
 */
#include <errno.h>
#include <string.h>

#include "core/doc_tree.h"
#include "core/mem.h"

/* @spec (NULL: nothing) under @patch. NULL when memory ran out. */
static struct doc_node *merge(struct doc_arena *a, struct doc_node *spec,
			      struct doc_node *patch)
{
	size_t n = 0, room = patch->kind == DOC_MAP ? patch->u.many.n : 0;
	struct doc_entry *v;
	struct doc_node *made;

	if (patch->kind != DOC_MAP)
		return patch;
	if (spec && spec->kind != DOC_MAP)
		spec = NULL;
	if (spec && !room)
		return spec;
	if (spec)
		room += spec->u.many.n;
	v = mem_alloc(room * sizeof(*v));
	if (!v)
		return NULL;
	for (size_t i = 0; spec && i < spec->u.many.n; i++) {
		struct doc_entry e = spec->u.many.v[i];
		struct doc_node *p = doc_find(patch, e.key->u.scalar.value);

		if (p && p->kind == DOC_NULL)
			continue;
		if (p)
			e.value = merge(a, e.value, p);
		if (!e.value)
			goto no_memory;
		v[n++] = e;
	}
	for (size_t i = 0; i < patch->u.many.n; i++) {
		struct doc_entry e = patch->u.many.v[i];

		if (e.value->kind == DOC_NULL ||
		    doc_find(spec, e.key->u.scalar.value))
			continue;
		e.value = merge(a, NULL, e.value);
		if (!e.value)
			goto no_memory;
		v[n++] = e;
	}
	made = doc_many_new(a, DOC_MAP, v, n);
	if (!made || doc_many_seal(a, made, NULL) < 0)
		goto no_memory;
	made->style = (spec ? spec : patch)->style;
	made->tag = (spec ? spec : patch)->tag;
	mem_free(v);
	return made;

no_memory:
	mem_free(v);
	return NULL;
}

struct doc_identity doc_identity(const struct doc_node *n)
{
	const struct doc_node *meta = doc_find(n, ch_str("metadata"));

	return (struct doc_identity){
		.kind = doc_find_string(n, "kind"),
		.name = doc_find_string(meta, "name"),
		.space = doc_find_string(meta, "namespace"),
	};
}

bool doc_identity_equal(const struct doc_identity *a,
			const struct doc_identity *b)
{
	return ch_bytes_equal(a->kind, b->kind) &&
	       ch_bytes_equal(a->name, b->name) &&
	       ch_bytes_equal(a->space, b->space);
}

static bool identity_fits(const struct doc_identity *id,
			  const struct doc_node *n)
{
	struct doc_identity its = doc_identity(n);

	return ch_bytes_equal(id->kind, its.kind) &&
	       ch_bytes_equal(id->name, its.name) &&
	       (!id->space.len || ch_bytes_equal(id->space, its.space));
}

static int shown(struct ch_bytes s)
{
	return (int)doc_utf8_whole(
		(struct ch_bytes){s.p, s.len < 60 ? s.len : 60});
}

/* Which of the @n documents in @v the @no-th document of the patch is for. */
static int place_of(struct doc_node *const *v, size_t n,
		    const struct doc_node *patch, size_t no, size_t *ret_place,
		    struct err *reterr)
{
	struct doc_identity id = doc_identity(patch);
	size_t found = 0;

	if (patch->kind != DOC_MAP)
		return err_set(reterr, -EINVAL,
			       "document %zu of the patch is a list; a merge "
			       "patch is a map",
			       no + 1);
	if (!id.kind.len || !id.name.len) {
		if (n == 1) {
			*ret_place = 0;
			return 0;
		}
		return err_set(reterr, -EINVAL,
			       "the spec has %zu documents, and document %zu "
			       "of the patch does not say which one it is "
			       "for; give it kind and metadata.name",
			       n, no + 1);
	}
	for (size_t i = 0; i < n; i++) {
		if (!identity_fits(&id, v[i]))
			continue;
		*ret_place = i;
		found++;
	}
	if (found == 1)
		return 0;
	if (found)
		return err_set(reterr, -EINVAL,
			       "the spec has %zu documents of kind %.*s and "
			       "name %.*s; give the patch metadata.namespace",
			       found, shown(id.kind), (const char *)id.kind.p,
			       shown(id.name), (const char *)id.name.p);
	return err_set(reterr, -EINVAL,
		       "the spec has no document of kind %.*s and name %.*s "
		       "for document %zu of the patch; patch one that is "
		       "there, or leave kind and name out",
		       shown(id.kind), (const char *)id.kind.p, shown(id.name),
		       (const char *)id.name.p, no + 1);
}

static int patched(struct doc_arena *a, struct doc_node **v, size_t n,
		   const struct doc *patch, struct err *reterr)
{
	for (size_t i = 0; i < patch->n; i++) {
		struct doc_node *made;
		size_t place = 0;
		int r;

		r = place_of(v, n, patch->v[i], i, &place, reterr);
		if (r < 0)
			return r;
		made = merge(a, v[place], patch->v[i]);
		if (!made)
			return err_set(reterr, -ENOMEM, "out of memory");
		v[place] = made;
	}
	return 0;
}

void doc_write_like(const struct doc *spec, struct doc_node *const *v,
		    struct strbuf *out)
{
	struct doc_layout l = {.indented = spec->indented,
			       .colon_space =
				       spec->colon_space || spec->indented,
			       .comma_space = spec->comma_space};

	if (spec->syntax == DOC_JSON) {
		const char *in = spec->in.p;

		doc_write_json(v[0], &l, 0, out);
		if (in[spec->in.len - 1] == '\n')
			strbuf_add_char(out, '\n');
		return;
	}
	for (size_t i = 0; i < spec->n; i++) {
		if (i > 0 && !v[i]->tag)
			strbuf_add_str(out, "---\n");
		doc_write_yaml(v[i], out);
	}
}

int doc_patch(const struct doc *spec, const struct doc *patch,
	      struct strbuf *out, struct err *reterr)
{
	struct strbuf made = STRBUF_INIT;
	struct doc_arena a = {0};
	struct doc_node **v;
	int r;

	v = doc_arena_dup(&a, spec->v, spec->n * sizeof(struct doc_node *));
	r = v ? patched(&a, v, spec->n, patch, reterr) : -ENOMEM;
	if (r == 0) {
		doc_write_like(spec, v, &made);
		r = strbuf_error(&made);
	}
	/* Room first: then adding cannot fail, and @out is as it was. */
	if (r == 0) {
		strbuf_grow(out, made.len);
		r = strbuf_error(out);
	}
	if (r == 0)
		strbuf_add(out, made.buf, made.len);
	if (r == -ENOMEM)
		err_set(reterr, r, "out of memory");
	strbuf_release(&made);
	doc_arena_release(&a);
	return r;
}

int doc_to_json(const struct doc *d, struct strbuf *out)
{
	struct doc_layout l = {.indented = true, .colon_space = true};
	struct strbuf made = STRBUF_INIT;
	int r;

	if (d->n > 1)
		strbuf_add_str(&made, "[\n  ");
	for (size_t i = 0; i < d->n; i++) {
		if (i > 0)
			strbuf_add_str(&made, ",\n  ");
		doc_write_json(d->v[i], &l, d->n > 1, &made);
	}
	strbuf_add_str(&made, d->n > 1 ? "\n]\n" : "\n");
	r = strbuf_error(&made);
	if (r == 0) {
		strbuf_grow(out, made.len);
		r = strbuf_error(out);
	}
	if (r == 0)
		strbuf_add(out, made.buf, made.len);
	strbuf_release(&made);
	return r;
}
