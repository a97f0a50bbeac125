/*
 * move.c -- renames, and what did not know of them.
 *
 * A rename is two writes in one round. Under the new name: a MADE entry of the
 * same lineage, and a copy of every register, each with its origin, so that
 * versions stay what they are. Under the old one: a TOMB that says where the
 * lineage went (and nothing of it is there any more), and who has to hear of
 * that. No dot of one record ever gets into another.
 *
 *	M1  A lineage that is at rest is alive under one name at most.
 *	M2  Nothing leaves a record for another name but in the round that
 *	    writes it there.
 *	M3  What a rename had seen is never brought after it: only what was
 *	    written by who did not know of it is.
 *	M4  Whatever way renames lead, what is left has a place: stay().
 *
 * What is left (entry_is_left()) is brought to where the lineage is now: by its
 * author as soon as he knows both records; by the next holder, in the order of
 * their ids, after 30 s each. Done twice it is the same version twice. So with
 * two renames that did not know of each other: what the lesser one made is
 * brought where the greater one went (rename_rank()).
 */
#include <errno.h>
#include <string.h>

#include "core/engine.h"
#include "core/mem.h"
#include "core/name.h"
#include "core/wire.h"

#define FROM_MAX 8       /* Former names that a resource remembers. */
#define TOMBS_MAX 16     /* Lineages that one name remembers to have left. */
#define HOPS_MAX 64      /* From name to name, as far as one looks. */
#define AUTHOR_MS 30000u /* So long the author of what is left has. */

static const struct vv nothing; /* A write that replaces none. */

/* A record that is changed here, and what it was. */
struct page {
	struct record r, old;
	uint64_t seq;
	bool stored;
};

static void page_init(struct page *p)
{
	memset(p, 0, sizeof(*p));
	record_init(&p->r);
	record_init(&p->old);
}

static void page_release(struct page *p)
{
	record_release(&p->r);
	record_release(&p->old);
}

static int page_open(struct ch_engine *e, struct ch_bytes name, struct page *p)
{
	int rc = keep_load(e, name, &p->old, &p->seq);

	p->stored = rc == 0;
	if (rc == -ENOENT)
		rc = keep_fresh(e, name, &p->old);
	return rc < 0 ? rc : record_copy(&p->r, &p->old);
}

static int page_save(struct ch_engine *e, struct page *p)
{
	int rc = keep_hold(e, &p->r, false);

	return rc < 0 ? rc
		      : keep_save(e, &p->r, p->stored ? &p->old : NULL, p->seq,
				  NULL, NULL);
}

static int write_raw(struct ch_engine *e, struct record *r,
		     const struct entry *x, struct ch_bytes payload)
{
	const struct entry entry = {
		.type = x->type,
		.sub = x->sub,
		.dot = engine_dot(e),
		.payload = payload,
	};

	return record_write(r, &nothing, &entry);
}

static int write_entry(struct ch_engine *e, struct record *r,
		       const struct entry *x)
{
	struct strbuf payload = STRBUF_INIT;
	int rc;

	entry_payload(x, &payload);
	rc = strbuf_error(&payload);
	if (rc == 0)
		rc = write_raw(e, r, x, strbuf_bytes(&payload));
	strbuf_release(&payload);
	return rc;
}

static int write_moved(struct ch_engine *e, struct record *r,
		       const struct entry *x, struct ch_bytes name)
{
	struct strbuf payload = STRBUF_INIT;
	int rc;

	entry_payload_moved(x, name, &payload);
	rc = strbuf_error(&payload);
	if (rc == 0)
		rc = write_raw(e, r, x, strbuf_bytes(&payload));
	strbuf_release(&payload);
	return rc;
}

/* Former names. */

struct names {
	struct ch_bytes v[FROM_MAX];
	size_t n;
};

static void names_add(struct names *l, struct ch_bytes name,
		      struct ch_bytes but)
{
	bool have = !name.len || ch_bytes_equal(name, but);

	for (size_t i = 0; i < l->n; i++)
		have |= ch_bytes_equal(l->v[i], name);
	if (!have && l->n < FROM_MAX)
		l->v[l->n++] = name;
}

static void names_of(struct names *l, const struct entry *made,
		     struct ch_bytes but)
{
	struct ch_bytes name;

	for (size_t i = 0; made && entry_from(made, i, &name) == 0; i++)
		names_add(l, name, but);
}

/* As resource_made() of @r, with the names in @l; it replaces what it was. */
static int put_made(struct ch_engine *e, struct record *r,
		    const struct ch_id *lineage, const struct names *l,
		    const struct entry *was, uint32_t renames)
{
	struct strbuf from = STRBUF_INIT;
	struct entry made = {
		.type = ENTRY_MADE,
		.lineage = *lineage,
		.hlc = was ? was->hlc : engine_hlc(e),
		.user = was ? was->user : ch_str(""),
		.renames = renames,
	};
	const struct entry *x;
	int rc;

	for (size_t i = 0; i < l->n; i++)
		wire_put_b16(&from, l->v[i]);
	made.from = strbuf_bytes(&from);
	while ((x = resource_made(r, lineage)))
		record_drop_dot(r, x->dot);
	rc = strbuf_error(&from);
	if (rc == 0)
		rc = write_entry(e, r, &made);
	strbuf_release(&from);
	return rc;
}

int move_make(struct ch_engine *e, struct record *r,
	      const struct ch_id *lineage, struct ch_bytes name,
	      const struct entry *was)
{
	bool other = !ch_bytes_equal(name, r->name);
	struct names l = {.n = 0};

	names_add(&l, name, r->name);
	names_of(&l, was, r->name);
	return put_made(e, r, lineage, &l, was,
			(was ? was->renames : 0) + other);
}

/* What leaves. */

static void drop_tombs(struct record *r)
{
	for (;;) {
		const struct entry *tomb, *oldest = NULL;
		size_t pos = 0, n = 0;

		while ((tomb = record_next(r, ENTRY_TOMB, &pos))) {
			n += tomb->to.len != 0;
			if (tomb->to.len &&
			    (!oldest || entry_rank(tomb, oldest) < 0))
				oldest = tomb;
		}
		if (n <= TOMBS_MAX)
			return;
		record_drop_dot(r, oldest->dot);
	}
}

/* The site or witness of @x was told of what is here: it hears where that
 * went. */
static int forward(struct ch_engine *e, struct record *r, const struct entry *x,
		   struct ch_bytes to)
{
	struct entry entry = {
		.type = x->type, .sub = x->sub, .hlc = engine_hlc(e), .to = to};
	struct site_value value = {.name = ch_str("")};
	struct strbuf v = STRBUF_INIT;
	int rc;

	(void)site_value_decode(x->value, &value);
	value.in = x->type == ENTRY_WITNESS;
	site_value_encode(&value, &v);
	entry.value = strbuf_bytes(&v);
	rc = strbuf_error(&v);
	record_drop(r, entry.type, entry.sub, NULL);
	if (rc == 0)
		rc = write_entry(e, r, &entry);
	strbuf_release(&v);
	return rc;
}

/* @lineage is not under this name any more but as @made, in the record @to. */
static int leave(struct ch_engine *e, struct record *r,
		 const struct ch_id *lineage, struct ch_bytes to,
		 const struct entry *made, struct ch_bytes user)
{
	struct strbuf seen = STRBUF_INIT;
	struct entry tomb = {
		.type = ENTRY_TOMB,
		.lineage = *lineage,
		.hlc = engine_hlc(e),
		.user = user,
		.to = to,
		.made = made->dot,
		.renames = made->renames,
	};
	size_t i = 0;
	int rc;

	vv_encode(&r->clock, &seen);
	tomb.seen = strbuf_bytes(&seen);
	rc = strbuf_error(&seen);
	if (rc == 0)
		rc = write_entry(e, r, &tomb);
	strbuf_release(&seen);
	while (rc == 0 && i < r->n) {
		const struct entry *x = &r->v[i];
		bool its = id_cmp(&x->lineage, lineage) == 0;

		if (its && (x->type == ENTRY_MADE || x->type == ENTRY_SPEC ||
			    (x->type == ENTRY_TOMB && !x->to.len)))
			record_drop_dot(r, x->dot);
		else
			i++;
	}
	/* The rest was its own, unless another is here or was deleted. */
	i = 0;
	while (rc == 0 && i < r->n) {
		const struct entry *x = &r->v[i];

		i++;
		if (x->type <= ENTRY_TOMB || !entry_is_left(r, x))
			continue;
		if (x->type == ENTRY_SITE || x->type == ENTRY_WITNESS)
			rc = forward(e, r, x, to);
		else
			record_drop(r, x->type, x->sub, NULL);
		i = 0;
	}
	drop_tombs(r);
	return rc;
}

/* What arrives. */

static bool seen_covers(struct ch_bytes seen, const struct dot *dot,
			int *ret_rc)
{
	struct wire w = wire_of(seen);
	struct vv vv;
	bool covers;

	vv_init(&vv);
	*ret_rc = vv_decode(&w, &vv);
	covers = *ret_rc == 0 && vv_covers(&vv, dot);
	vv_release(&vv);
	if (*ret_rc == -EPROTO)
		*ret_rc = 0; /* Who wrote it had seen nothing, then. */
	return covers;
}

static int bring_site(struct ch_engine *e, struct record *r,
		      const struct entry *x, struct ch_bytes name)
{
	struct site_value value;
	struct ch_id site;
	size_t i = 0;

	if (entry_site(x, &site) < 0 || site_value_decode(x->value, &value) < 0)
		return 0;
	if (x->type == ENTRY_WITNESS)
		return !value.in || resource_is_witness(r, &site)
			       ? 0
			       : sites_set(e, r, x->type, &site, value.name,
					   true);
	if (value.in && resource_site_in(r, &site))
		return 0;
	/* Out: of what was in by the rename. Who was added since stays. */
	while (i < r->n) {
		const struct entry *y = &r->v[i];

		if (y->type == ENTRY_SITE && ch_bytes_equal(y->sub, x->sub) &&
		    (value.in || ch_bytes_equal(y->origin_name, name)))
			record_drop_dot(r, y->dot);
		else
			i++;
	}
	return resource_site_in(r, &site) ? 0 : write_moved(e, r, x, name);
}

/* @x, an entry of the record @name, is from now on one of @r too. @seen: what
 * the rename that made @r had seen of @over; no name: it was just that. */
static int bring(struct ch_engine *e, struct record *r, const struct entry *x,
		 struct ch_bytes name, struct ch_bytes over,
		 struct ch_bytes seen)
{
	struct ch_hash vid, its;
	size_t i = 0;
	int rc = 0;

	if (over.len && ch_bytes_equal(x->origin_name, over) &&
	    seen_covers(seen, &x->origin, &rc))
		return 0;
	if (rc < 0)
		return rc;
	if (x->type == ENTRY_SITE || x->type == ENTRY_WITNESS)
		return bring_site(e, r, x, name);
	entry_vid(x, &vid);
	for (i = 0; i < r->n; i++) {
		const struct entry *y = &r->v[i];

		if (y->type != x->type || !ch_bytes_equal(y->sub, x->sub))
			continue;
		entry_vid(y, &its);
		if (hash_cmp(&its, &vid) == 0 ||
		    (y->has_base && hash_cmp(&y->base_vid, &vid) == 0))
			return 0; /* It is here, or was seen. */
	}
	i = 0;
	while (x->has_base && i < r->n) {
		const struct entry *y = &r->v[i];

		entry_vid(y, &its);
		if (y->type == x->type && ch_bytes_equal(y->sub, x->sub) &&
		    hash_cmp(&its, &x->base_vid) == 0)
			record_drop_dot(r, y->dot);
		else
			i++;
	}
	return write_moved(e, r, x, name);
}

/* All of @lineage that is alive in @from. */
static int bring_all(struct ch_engine *e, struct record *r,
		     const struct record *from, const struct ch_id *lineage,
		     struct ch_bytes over, struct ch_bytes seen)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < from->n; i++) {
		const struct entry *x = &from->v[i];

		switch (x->type) {
		case ENTRY_MADE:
		case ENTRY_TOMB:
			break;
		case ENTRY_SPEC:
			if (id_cmp(&x->lineage, lineage) == 0)
				rc = bring(e, r, x, from->name, over, seen);
			break;
		case ENTRY_SITE:
			/* Owed by one that left here before. */
			if (x->to.len)
				break;
			rc = bring(e, r, x, from->name, over, seen);
			break;
		default:
			rc = bring(e, r, x, from->name, over, seen);
			break;
		}
	}
	return rc;
}

/* Renaming. 1: @s is answered. */
static int check_names(struct ch_engine *e, const struct ch_submit *s,
		       const struct page *from, const struct page *to)
{
	if (!resource_is_there(&from->r))
		update_done(e, s->token, -ENOENT, "there is no such resource");
	else if (resource_is_split(&from->r))
		update_done(e, s->token, -EBUSY,
			    "these are two resources of one name: write spec "
			    "to settle it first");
	else if (ch_bytes_equal(s->name, s->to))
		update_done(e, s->token, 0, "%s", "");
	else if (resource_is_there(&to->r))
		update_done(e, s->token, -EEXIST,
			    "there is a resource of that name");
	else
		return 0;
	return 1;
}

static int rename_pages(struct ch_engine *e, const struct ch_submit *s,
			struct page *from, struct page *to)
{
	const struct ch_id lineage = resource_lineage(&from->r);
	int rc = change_settle(e, &from->r);

	if (rc == 0)
		rc = change_clear(e, &to->r, &lineage);
	if (rc == 0)
		rc = move_make(e, &to->r, &lineage, s->name,
			       resource_made(&from->r, &lineage));
	if (rc == 0)
		rc = bring_all(e, &to->r, &from->r, &lineage, ch_str(""),
			       ch_str(""));
	if (rc == 0)
		rc = leave(e, &from->r, &lineage, s->to,
			   resource_made(&to->r, &lineage), s->user);
	if (rc == 0 && (!keep_fits(&to->r, 1) || !keep_fits(&from->r, 3))) {
		update_done(e, s->token, -ENOSPC,
			    "too many sites, patches or concurrent versions "
			    "in one resource");
		return 1;
	}
	if (rc == 0)
		rc = page_save(e, to);
	if (rc == 0)
		rc = page_save(e, from);
	if (rc == 0 && plan_is_fresh(e, s->name))
		rc = plan_fresh(e, s->to);
	return rc;
}

int move_rename(struct ch_engine *e, const struct ch_submit *s)
{
	struct err err = ERR_INIT;
	struct page from, to;
	int rc = name_check_resource(s->to, &err);

	if (rc < 0) {
		update_done(e, s->token, rc, "%s", err.text);
		return 0;
	}
	page_init(&from);
	page_init(&to);
	rc = page_open(e, s->name, &from);
	if (rc == 0)
		rc = page_open(e, s->to, &to);
	if (rc == 0)
		rc = check_names(e, s, &from, &to);
	if (rc == 0)
		rc = rename_pages(e, s, &from, &to);
	if (rc == 0)
		update_done(e, s->token, 0, "%s", "");
	page_release(&to);
	page_release(&from);
	return rc < 0 ? rc : 0;
}

int move_restored(struct ch_engine *e, struct ch_bytes name,
		  const struct entry *made, struct ch_bytes to,
		  struct ch_bytes user)
{
	struct page p;
	int rc;

	page_init(&p);
	rc = page_open(e, name, &p);
	if (rc == 0 && p.stored &&
	    !resource_has_lineage(&p.r, &made->lineage)) {
		rc = leave(e, &p.r, &made->lineage, to, made, user);
		if (rc == 0)
			rc = page_save(e, &p);
	}
	page_release(&p);
	return rc;
}

/* Where it went. */

/* As move_find(), from the rename that made @made under @name. */
static int follow(struct ch_engine *e, struct ch_bytes name, struct dot made,
		  const struct ch_id *lineage, struct record *ret)
{
	struct strbuf at = STRBUF_INIT;
	int rc = 0;

	strbuf_add(&at, name.p, name.len);
	for (size_t i = 0; rc == 0 && i < HOPS_MAX; i++) {
		const struct entry *tomb;
		uint64_t seq;
		bool here;

		rc = strbuf_error(&at);
		if (rc == 0)
			rc = keep_load(e, strbuf_bytes(&at), ret, &seq);
		here = rc == 0;
		if (rc == -ENOENT)
			rc = keep_fresh(e, strbuf_bytes(&at), ret);
		if (rc < 0)
			break;
		if (!vv_covers(&ret->clock, &made)) {
			strbuf_release(&at);
			return 0;
		}
		if (!here) {
			rc = -ENOENT;
			break;
		}
		tomb = resource_moved(ret, lineage);
		if (!tomb) {
			rc = 1;
			break;
		}
		strbuf_reset(&at);
		strbuf_add(&at, tomb->to.p, tomb->to.len);
		made = tomb->made;
	}
	strbuf_release(&at);
	return rc;
}

int move_find(struct ch_engine *e, const struct record *r,
	      const struct ch_id *lineage, struct record *ret)
{
	const struct entry *tomb = resource_moved(r, lineage);

	return tomb ? follow(e, tomb->to, tomb->made, lineage, ret) : -ENOENT;
}

/* What did not know of it. */

/* A rename that did not know of one that counts. */
static bool is_lesser(const struct record *r, const struct entry *tomb)
{
	return tomb->type == ENTRY_TOMB && tomb->to.len &&
	       resource_moved(r, &tomb->lineage) != tomb;
}

bool move_is_open(const struct record *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (entry_is_left(r, &r->v[i]) || is_lesser(r, &r->v[i]))
			return true;
	return false;
}

struct turn {
	struct ch_engine *e;
	struct ch_id author;
	uint64_t n; /* Holders in front of us, but the author. */
};

static int see_turn(void *arg, const struct resource_site *s)
{
	struct turn *t = arg;

	t->n += id_cmp(&s->id, &t->author) != 0 &&
		id_cmp(&s->id, &t->e->cfg.self) < 0;
	return 0;
}

/* Is it for us to bring what @dot wrote? */
static bool is_ours(struct ch_engine *e, const struct record *r,
		    const struct dot *dot, uint64_t since_ms,
		    uint64_t *ret_due_ms, int *ret_rc)
{
	struct turn t = {e, dot->actor.site, 0};
	uint64_t due;

	*ret_rc = 0;
	if (id_cmp(&dot->actor.site, &e->cfg.self) == 0)
		return true;
	if (!resource_is_holder(r, &e->cfg.self))
		return false;
	*ret_rc = resource_sites(r, see_turn, &t);
	due = since_ms + AUTHOR_MS * (t.n + 1);
	if (*ret_rc == 0 && e->now_ms >= due)
		return true;
	if (due < *ret_due_ms)
		*ret_due_ms = due;
	return false;
}

static bool has_origin(const struct record *r, const struct dot *dot)
{
	for (size_t i = 0; i < r->n; i++)
		if (dot_cmp(entry_origin(&r->v[i]), dot) == 0)
			return true;
	return false;
}

/* What both renames of @name had seen and brought along, and what has been
 * replaced since in @from, goes from @r. */
static int drop_replaced(struct record *r, const struct record *from,
			 struct ch_bytes name, struct ch_bytes seen)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->n;) {
		const struct entry *x = &r->v[i];

		if (x->type != ENTRY_SITE && x->type != ENTRY_WITNESS &&
		    ch_bytes_equal(x->origin_name, name) &&
		    !has_origin(from, &x->origin) &&
		    seen_covers(seen, &x->origin, &rc))
			record_drop_dot(r, x->dot);
		else
			i++;
	}
	return rc;
}

/* What the rename @lesser, of @name, made, now under @from, goes to @to. */
static int absorb(struct ch_engine *e, struct page *from, struct page *to,
		  const struct entry *lesser, struct ch_bytes name,
		  struct ch_bytes over, struct ch_bytes seen)
{
	const struct ch_id *lineage = &lesser->lineage;
	const struct entry *a = resource_made(&from->r, lineage);
	const struct entry *b = resource_made(&to->r, lineage);
	uint32_t renames = a ? a->renames : 0;
	struct names l = {.n = 0};
	int rc;

	if (b && b->renames > renames)
		renames = b->renames;
	names_add(&l, from->r.name, to->r.name);
	names_of(&l, b, to->r.name);
	names_of(&l, a, to->r.name);
	rc = put_made(e, &to->r, lineage, &l, b ? b : a, renames + 1);
	if (rc == 0)
		rc = drop_replaced(&to->r, &from->r, name, lesser->seen);
	if (rc == 0)
		rc = bring_all(e, &to->r, &from->r, lineage, over, seen);
	return rc < 0 ? rc
		      : leave(e, &from->r, lineage, to->r.name,
			      resource_made(&to->r, lineage), ch_str(""));
}

/* Two renames of @p->r: @lesser, and one that counts. 1: it is settled; 0: not
 * yet; below. */
static int settle_two(struct ch_engine *e, struct page *p,
		      const struct entry *lesser)
{
	const struct ch_id lineage = lesser->lineage;
	const struct dot dot = lesser->dot;
	const struct entry *tomb = resource_moved(&p->r, &lineage);
	struct ch_bytes seen = tomb ? tomb->seen : ch_str("");
	const struct dot won = tomb ? tomb->dot : dot;
	struct ch_bytes over = tomb ? p->r.name : ch_str("");
	struct page from, other, *to = tomb ? &other : p;
	struct record r;
	int rc, has = 1, had;

	record_init(&r);
	page_init(&from);
	page_init(&other);
	had = rc = follow(e, lesser->to, lesser->made, &lineage, &r);
	if (rc == 1)
		rc = page_open(e, r.name, &from);
	if (rc >= 0 && had && tomb) {
		has = rc = move_find(e, &p->r, &lineage, &r);
		if (rc == 1)
			rc = page_open(e, r.name, &other);
	}
	if (had == 0 || has == 0 || (rc < 0 && rc != -ENOENT))
		goto out;
	rc = 0;
	had = had == 1 && resource_has_lineage(&from.r, &lineage);
	has = has == 1 && resource_has_lineage(&to->r, &lineage);
	if (had && !has) {
		/* That was deleted since; this was not. */
		record_drop_dot(&p->r, won);
	} else {
		if (had && !ch_bytes_equal(from.r.name, to->r.name)) {
			rc = absorb(e, &from, to, lesser, p->r.name, over,
				    seen);
			if (rc == 0 && to != p)
				rc = page_save(e, to);
			if (rc == 0)
				rc = page_save(e, &from);
		}
		record_drop_dot(&p->r, dot);
	}
	if (rc == 0)
		rc = page_save(e, p);
	has = had = 1;
out:
	page_release(&other);
	page_release(&from);
	record_release(&r);
	return rc < 0 && rc != -ENOENT ? rc : had == 0 || has == 0 ? 0 : 1;
}

/* Of which of those that left here is it? Where it does not say, of the last.
 */
static const struct entry *tomb_of(const struct record *r,
				   const struct entry *x)
{
	const struct entry *tomb, *best = NULL;
	size_t pos = 0;

	if (!id_is_zero(&x->lineage))
		return resource_moved(r, &x->lineage);
	while ((tomb = record_next(r, ENTRY_TOMB, &pos)))
		if (tomb->to.len && !is_lesser(r, tomb) &&
		    (!best || entry_rank(tomb, best) > 0))
			best = tomb;
	return best;
}

/* It left a site that was deleted whole: not that site. */
static bool was_deleted(const struct record *r, const struct entry *x)
{
	const struct entry *tomb;
	struct site_value value;
	struct ch_id site;
	size_t pos = 0;

	if (x->type != ENTRY_SITE || entry_site(x, &site) < 0 ||
	    site_value_decode(x->value, &value) < 0 || value.in)
		return false;
	while ((tomb = record_next(r, ENTRY_TOMB, &pos)))
		if (image_has_site(tomb->image, &site))
			return true;
	return false;
}

struct left {
	const struct record *r;
	const struct entry *tomb;
	uint64_t since_ms, due_ms;
	bool specs, any;
};

/* Is @x to be brought where l->tomb says, and by us, now? */
static bool is_due(struct ch_engine *e, struct left *l, const struct entry *x,
		   int *ret_rc)
{
	*ret_rc = 0;
	return entry_is_left(l->r, x) && tomb_of(l->r, x) == l->tomb &&
	       is_ours(e, l->r, &x->dot, l->since_ms, &l->due_ms, ret_rc);
}

/* To @to, from the record that @l is about; @alive: its lineage is there. */
static int bring_left(struct ch_engine *e, struct left *l, struct record *to,
		      bool alive)
{
	int rc = 0;

	for (int specs = 1; specs >= 0; specs--)
		for (size_t i = 0; rc == 0 && i < l->r->n; i++) {
			const struct entry *x = &l->r->v[i];

			if ((x->type == ENTRY_SPEC) != (specs != 0) ||
			    !is_due(e, l, x, &rc) || rc < 0)
				continue;
			l->any = true;
			l->specs |= specs != 0;
			if (x->type == ENTRY_MADE || x->type == ENTRY_TOMB ||
			    was_deleted(l->r, x) || !(alive || l->specs))
				continue;
			rc = bring(e, to, x, l->r->name, l->r->name,
				   l->tomb->seen);
		}
	return rc;
}

/* What was brought leaves. */
static int drop_left(struct ch_engine *e, struct left *l, struct record *r)
{
	const struct ch_bytes to = l->tomb->to;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < l->r->n; i++) {
		const struct entry *x = &l->r->v[i];

		if (!is_due(e, l, x, &rc) || rc < 0)
			continue;
		if (x->type == ENTRY_SITE || x->type == ENTRY_WITNESS)
			rc = forward(e, r, x, to);
		else
			record_drop_dot(r, x->dot);
	}
	return rc;
}

static bool has_entries(const struct record *r, const struct ch_id *lineage)
{
	for (size_t i = 0; i < r->n && r->v[i].type <= ENTRY_SPEC; i++)
		if (id_cmp(&r->v[i].lineage, lineage) == 0)
			return true;
	return false;
}

static bool is_before(struct ch_bytes a, struct ch_bytes b)
{
	int c = memcmp(a.p, b.p, a.len < b.len ? a.len : b.len);

	return c < 0 || (c == 0 && a.len < b.len);
}

/*
 * Renames that did not know of each other can lead around in a circle, where
 * what the last name had was deleted. Then what is left would be nowhere: it
 * stays in the record of the least name on that way that has any. Is it @r?
 */
static int is_where_it_stays(struct ch_engine *e, const struct record *r,
			     const struct ch_id *lineage, bool *ret_is)
{
	struct strbuf at = STRBUF_INIT;
	bool around = false, least = has_entries(r, lineage);
	const struct entry *tomb = resource_moved(r, lineage);
	int rc = 0;

	strbuf_add(&at, tomb->to.p, tomb->to.len);
	for (size_t i = 0; rc == 0 && !around && least && i < HOPS_MAX; i++) {
		struct record next;
		uint64_t seq;

		record_init(&next);
		around = ch_bytes_equal(strbuf_bytes(&at), r->name);
		rc = strbuf_error(&at);
		if (rc == 0 && !around)
			rc = keep_load(e, strbuf_bytes(&at), &next, &seq);
		if (rc == 0 && !around) {
			least = !has_entries(&next, lineage) ||
				is_before(r->name, next.name);
			tomb = resource_moved(&next, lineage);
			strbuf_reset(&at);
			if (tomb)
				strbuf_add(&at, tomb->to.p, tomb->to.len);
			else
				rc = -ENOENT;
		}
		record_release(&next);
	}
	strbuf_release(&at);
	*ret_is = rc == 0 && around && least;
	return rc == -ENOENT ? 0 : rc;
}

/* As bring_one(), where nobody knows yet where it went. */
static int stay(struct ch_engine *e, struct page *p, struct left *l)
{
	bool is, due = false;
	int rc = is_where_it_stays(e, &p->old, &l->tomb->lineage, &is);

	for (size_t i = 0; rc == 0 && is && !due && i < p->old.n; i++)
		due = p->old.v[i].type <= ENTRY_SPEC &&
		      is_due(e, l, &p->old.v[i], &rc);
	if (rc < 0 || !due)
		return rc;
	record_drop_dot(&p->r, l->tomb->dot);
	rc = page_save(e, p);
	return rc < 0 ? rc : 1;
}

/* What @tomb, which counts, did not know of. 1: something was brought. */
static int bring_one(struct ch_engine *e, struct page *p,
		     const struct entry *tomb, uint64_t since_ms,
		     uint64_t *ret_due_ms)
{
	struct left l = {
		.r = &p->old, .since_ms = since_ms, .due_ms = CH_NEVER};
	struct record r;
	struct page to;
	bool gone, alive;
	int rc;

	record_init(&r);
	page_init(&to);
	l.tomb = tomb;
	rc = move_find(e, &p->old, &tomb->lineage, &r);
	gone = rc == -ENOENT;
	if (rc == 1 || gone)
		rc = page_open(e, r.name, &to);
	else if (rc == 0) {
		rc = stay(e, p, &l);
		if (l.due_ms < *ret_due_ms)
			*ret_due_ms = l.due_ms;
		goto out;
	}
	alive = rc == 0 && resource_has_lineage(&to.r, &tomb->lineage);
	if (rc == 0)
		rc = bring_left(e, &l, &to.r, alive);
	if (l.due_ms < *ret_due_ms)
		*ret_due_ms = l.due_ms;
	if (rc < 0 || !l.any)
		goto out;
	rc = drop_left(e, &l, &p->r);
	if (rc == 0 && (alive || l.specs))
		rc = page_save(e, &to);
	if (rc == 0)
		rc = page_save(e, p);
	if (rc == 0)
		rc = 1;
out:
	page_release(&to);
	record_release(&r);
	return rc;
}

int move_bring(struct ch_engine *e, struct ch_bytes name, uint64_t since_ms,
	       uint64_t *ret_due_ms)
{
	const struct entry *tomb;
	struct page p;
	size_t pos = 0;
	int rc;

	*ret_due_ms = CH_NEVER;
	page_init(&p);
	rc = page_open(e, name, &p);
	while (rc == 0 && (tomb = record_next(&p.old, ENTRY_TOMB, &pos))) {
		if (!tomb->to.len)
			continue;
		if (!is_lesser(&p.old, tomb))
			rc = bring_one(e, &p, tomb, since_ms, ret_due_ms);
		else if (is_ours(e, &p.old, &tomb->dot, since_ms, ret_due_ms,
				 &rc) &&
			 rc == 0)
			rc = settle_two(e, &p, tomb);
	}
	page_release(&p);
	return rc;
}
