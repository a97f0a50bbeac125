/*
 * view_conflict.c -- conflicts/: what is there, but not shown.
 *
 *	TIME-SITE-DIGITS            a version of spec
 *	TIME-SITE-DIGITS.patch      of a site's patch
 *	TIME-SITE-DIGITS.driver     the word that someone else wrote
 *	TIME-SITE-DIGITS.mode       mode, owner and group of the directory
 *	TIME-SITE-DIGITS.spec-mode  of spec
 *
 * A version that names its base has it beside it: the same name and `.base`.
 * One that is being discarded is listed no more; but its base is still found
 * by who has seen the listing before, as rm -r has.
 */
#include <errno.h>

#include "core/text.h"
#include "core/view_private.h"
#include "core/wire.h"

#define BASE ".base"

void view_conflict_name(const struct view *v, const struct entry *e,
			struct strbuf *sb)
{
	struct strbuf buf = STRBUF_INIT;
	struct stored_site site;
	struct ch_hash vid;

	text_time((e->hlc >> 16) + !e->hlc, sb);
	strbuf_add_char(sb, '-');
	if (view_site_stored(v, &entry_origin(e)->actor.site, &buf, &site) == 0)
		strbuf_add(sb, site.name.p, site.name.len);
	else
		strbuf_add_hex(sb, entry_origin(e)->actor.site.b, 4);
	strbuf_add_char(sb, '-');
	entry_vid(e, &vid);
	strbuf_add_hex(sb, vid.b, 4);
	strbuf_release(&buf);
}

static const char *suffix(const struct entry *e)
{
	switch (e->type) {
	case ENTRY_PATCH:
		return ".patch";
	case ENTRY_DRIVER:
		return ".driver";
	case ENTRY_MODE:
		return e->sub.len ? ".spec-mode" : ".mode";
	default:
		return "";
	}
}

/* One file of conflicts/: a version that is not shown, or its base. */
struct hidden {
	const struct entry *e;
	struct ch_bytes name; /* Valid during the call. */
	bool base;
	bool leaving; /* It is being discarded. */
};
/* 0 to go on, 1 to stop, below 0 to fail. */
typedef int hidden_fn(void *arg, const struct hidden *h);

static int is_leaving(const struct view *v, const struct record *r,
		      const struct entry *e, bool *ret_leaving)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	int rc;

	key_discard(&key, r->name, &e->dot);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = v->store->get(v->store, COL_SYS, strbuf_bytes(&key),
				   &value);
	*ret_leaving = rc == 0;
	strbuf_release(&value);
	strbuf_release(&key);
	return rc == -ENOENT ? 0 : rc;
}

static int each_hidden(const struct view *v, const struct record *r,
		       hidden_fn *fn, void *arg)
{
	struct strbuf name = STRBUF_INIT;
	size_t pos = 0;
	struct hidden h;
	int rc = 0;

	while (rc == 0 && (h.e = resource_hidden(r, &pos))) {
		strbuf_reset(&name);
		view_conflict_name(v, h.e, &name);
		strbuf_add_str(&name, suffix(h.e));
		rc = strbuf_error(&name);
		if (rc == 0)
			rc = is_leaving(v, r, h.e, &h.leaving);
		h.name = strbuf_bytes(&name);
		h.base = false;
		if (rc == 0)
			rc = fn(arg, &h);
		if (rc != 0 || !h.e->has_base)
			continue;
		strbuf_add_str(&name, BASE);
		rc = strbuf_error(&name);
		h.name = strbuf_bytes(&name);
		h.base = true;
		if (rc == 0)
			rc = fn(arg, &h);
	}
	strbuf_release(&name);
	return rc;
}

struct listing {
	view_name_fn *fn;
	void *arg;
};

static int list_one(void *arg, const struct hidden *h)
{
	struct listing *l = arg;

	return h->leaving ? 0 : l->fn(l->arg, h->name, NULL);
}

int view_conflicts(const struct view *v, struct ch_bytes name, view_name_fn *fn,
		   void *arg)
{
	struct listing l = {fn, arg};
	struct record r;
	int rc;

	record_init(&r);
	rc = view_load(v, name, &r);
	if (rc == 0)
		rc = each_hidden(v, &r, list_one, &l);
	record_release(&r);
	return rc;
}

struct search {
	const struct view *v;
	const struct record *r;
	struct ch_bytes name;
	struct strbuf *out; /* For its content, or for what discards it. */
	bool found, base;
};

/* Is it that one? */
static bool is_it(struct search *s, const struct hidden *h)
{
	s->found = ch_bytes_equal(h->name, s->name) && (!h->leaving || h->base);
	s->base = h->base;
	return s->found;
}

static int find_one(void *arg, const struct hidden *h)
{
	return is_it(arg, h);
}

int view_conflict(const struct view *v, struct ch_bytes name,
		  struct ch_bytes file)
{
	struct search s = {.v = v, .name = file};
	struct record r;
	int rc;

	record_init(&r);
	rc = view_load(v, name, &r);
	if (rc == 0)
		rc = each_hidden(v, &r, find_one, &s);
	record_release(&r);
	return rc < 0 ? rc : s.found ? 0 : -ENOENT;
}

static int read_one(void *arg, const struct hidden *h)
{
	struct search *s = arg;
	int rc = 0;

	if (!is_it(s, h))
		return 0;
	if (h->base)
		rc = view_body(s->v, &h->e->base, s->out);
	else if (h->e->type == ENTRY_DRIVER)
		strbuf_addf(s->out, "%.*s\n", (int)h->e->value.len,
			    (const char *)h->e->value.p);
	else if (h->e->type == ENTRY_MODE) {
		resource_mode_words(h->e, s->out);
		strbuf_add_char(s->out, '\n');
	} else /* A patch that said "no patch" has nothing to show but that. */
		rc = view_body(s->v, &h->e->body, s->out);
	return rc < 0 ? rc : 1;
}

int view_conflict_text(const struct view *v, const struct record *r,
		       struct ch_bytes file, struct strbuf *out)
{
	struct search s = {.v = v, .name = file, .out = out};
	int rc = each_hidden(v, r, read_one, &s);

	return rc < 0 ? rc : s.found ? 0 : -ENOENT;
}

/* All that say the same go with it. */
static int discard_one(void *arg, const struct hidden *h)
{
	struct search *s = arg;

	if (!is_it(s, h))
		return 0;
	for (size_t i = 0; !h->base && i < s->r->n; i++)
		if (resource_says_same(&s->r->v[i], h->e))
			dot_encode(&s->r->v[i].dot, s->out);
	return 1;
}

int view_discard(const struct view *v, struct ch_bytes name,
		 struct ch_bytes file, struct strbuf *out)
{
	struct search s = {.v = v, .name = file, .out = out};
	struct record r;
	int rc;

	record_init(&r);
	rc = view_load(v, name, &r);
	s.r = &r;
	if (rc == 0)
		rc = each_hidden(v, &r, discard_one, &s);
	record_release(&r);
	if (rc >= 0 && s.found)
		rc = strbuf_error(out);
	return rc < 0 ? rc : !s.found ? -ENOENT : s.base ? 1 : 0;
}
