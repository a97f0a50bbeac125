/* sites.c -- the file sites, written: who is in, who is a witness. */
#include <errno.h>

#include "core/context.h"
#include "core/engine.h"
#include "core/mem.h"
#include "core/place.h"

struct sites_edit {
	struct ch_engine *e;
	struct record *r;
	struct ch_id *named; /* Sites that a line names. */
	size_t n, alloc;
	struct err err;
};

static int see_line(void *arg, enum place_kind kind, struct ch_bytes name,
		    unsigned int line)
{
	struct sites_edit *x = arg;
	struct ch_id site;

	if (member_id(x->e, name, &site) < 0) {
		struct strbuf why = STRBUF_INIT;

		member_unknown(x->e, name, &why);
		err_set(&x->err, -ENXIO, "line %u: %s", line, why.buf);
		strbuf_release(&why);
		return -ENXIO;
	}
	switch (kind) {
	case PLACE_WITNESS:
		if (resource_is_witness(x->r, &site))
			return 0;
		return sites_set(x->e, x->r, ENTRY_WITNESS, &site, name, true);
	case PLACE_NO_WITNESS:
		record_drop(x->r, ENTRY_WITNESS,
			    (struct ch_bytes){site.b, sizeof(site.b)}, NULL);
		return 0;
	case PLACE_SITE:
		break;
	}
	if (x->n == x->alloc) {
		size_t alloc = x->alloc ? 2 * x->alloc : 16;
		struct ch_id *v = mem_realloc(x->named, alloc * sizeof(*v));

		if (!v)
			return -ENOMEM;
		x->named = v;
		x->alloc = alloc;
	}
	x->named[x->n++] = site;
	if (resource_site_in(x->r, &site))
		return 0;
	return sites_set(x->e, x->r, ENTRY_SITE, &site, name, true);
}

static bool is_named(const struct sites_edit *x, const struct ch_id *site)
{
	for (size_t i = 0; i < x->n; i++)
		if (id_cmp(&x->named[i], site) == 0)
			return true;
	return false;
}

/* Did the writer see that site in when it opened the file? */
static bool was_seen(const struct record *r, const struct ch_id *site,
		     const struct context *seen)
{
	const struct entry *entry;
	size_t pos = 0;

	if (!seen)
		return true;
	while ((entry = record_next(r, ENTRY_SITE, &pos))) {
		struct ch_id id;

		if (entry_site(entry, &id) == 0 && id_cmp(&id, site) == 0 &&
		    (context_covers(seen, r, entry) ||
		     context_is_own(seen, entry_origin(entry))))
			return true;
	}
	pos = 0; /* In by a deletion that was overruled: seen with it. */
	while ((entry = record_next(r, ENTRY_TOMB, &pos)))
		if (image_has_site(entry->image, site) &&
		    context_covers(seen, r, entry))
			return true;
	return false;
}

static int see_active(void *arg, const struct resource_site *s)
{
	*(bool *)arg |= s->in || s->witness;
	return 0;
}

int sites_last(struct ch_engine *e, struct record *r,
	       const struct ch_id *site, struct ch_bytes name)
{
	bool active = false;
	int rc = resource_sites(r, see_active, &active);

	if (rc < 0 || active)
		return rc;
	return sites_set(e, r, ENTRY_WITNESS, site, name, true);
}

struct leaver {
	struct sites_edit *x;
	const struct record *old;
	const struct context *seen;
	const struct ch_submit *s;
	struct ch_id last; /* Who was left out. */
	struct ch_bytes last_name;
};

static int leave_out(void *arg, const struct resource_site *s)
{
	struct leaver *l = arg;
	int rc;

	if (!s->in || is_named(l->x, &s->id) ||
	    !was_seen(l->old, &s->id, l->seen))
		return 0;
	rc = plan_removed(l->x->e, l->s->name, l->s->group_id, &s->id);
	if (rc < 0)
		return rc;
	l->last = s->id;
	l->last_name = s->name;
	return sites_set(l->x->e, l->x->r, ENTRY_SITE, &s->id, s->name, false);
}

int sites_write(struct ch_engine *e, struct record *r, const struct record *old,
		const struct ch_submit *s, const struct context *seen)
{
	struct sites_edit x = {.e = e, .r = r, .err = ERR_INIT};
	struct leaver l = {
		.x = &x,
		.old = old,
		.seen = seen,
		.s = s,
		.last = e->cfg.self,
		.last_name = engine_name(e),
	};
	int rc = place_parse(s->body, see_line, &x, &x.err);

	if (rc == -EINVAL || rc == -ENXIO) {
		update_done(e, s->token, rc, "%s", x.err.text);
		rc = 1;
	}
	if (rc == 0)
		rc = resource_sites(old, leave_out, &l);
	if (rc == 0)
		rc = sites_last(e, r, &l.last, l.last_name);
	mem_free(x.named);
	return rc;
}
