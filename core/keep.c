/*
 * keep.c -- records: kept while they are needed, then let go.
 *
 * A record is dropped by a site that does not hold it any more once all who
 * hold it have acknowledged that, and by its last holder once it is deleted:
 * what remains then is a certificate, the clock alone, so that a new resource
 * of that name knows what the old one had seen.
 *
 * A site that forgets a record without a certificate has also forgotten its
 * own dots in it. A later record of that name must not claim to have seen
 * them: so our dots have another actor from then on.
 */
#include <errno.h>
#include <string.h>

#include "core/check.h"
#include "core/engine.h"
#include "core/peer.h"
#include "core/wire.h"

int keep_load(struct ch_engine *e, struct ch_bytes name, struct record *ret,
	      uint64_t *ret_seq)
{
	struct strbuf value = STRBUF_INIT;
	struct wire w;
	int rc;

	rc = db_get(e, COL_RECORD, name, &value);
	if (rc == 0) {
		w = wire_of(strbuf_bytes(&value));
		*ret_seq = wire_u64(&w);
		rc = w.bad ? -EIO
			   : record_decode((struct ch_bytes){w.p, w.len}, ret,
					   NULL);
		if (rc == -EPROTO)
			rc = -EIO;
	}
	strbuf_release(&value);
	return rc;
}

int keep_fresh(struct ch_engine *e, struct ch_bytes name, struct record *ret)
{
	struct strbuf value = STRBUF_INIT;
	int rc = record_new(ret, name);

	if (rc == 0)
		rc = db_get(e, COL_CERT, name, &value);
	if (rc == 0) {
		struct wire w = wire_of(strbuf_bytes(&value));

		(void)wire_u64(&w);
		vv_release(&ret->clock);
		rc = vv_decode(&w, &ret->clock);
		if (rc == -EPROTO)
			rc = -EIO;
	}
	strbuf_release(&value);
	return rc == -ENOENT ? 0 : rc;
}

static int put_record(struct ch_engine *e, const struct record *r, uint64_t seq)
{
	struct strbuf value = STRBUF_INIT;
	int rc;

	wire_put_u64(&value, seq);
	record_encode(r, &value);
	rc = strbuf_error(&value);
	if (rc == 0)
		rc = db_put(e, COL_RECORD, r->name, strbuf_bytes(&value));
	strbuf_release(&value);
	return rc;
}

static int put_cert(struct ch_engine *e, const struct record *r)
{
	struct strbuf value = STRBUF_INIT;
	int rc;

	wire_put_u64(&value, e->wall_ms / 86400000u);
	vv_encode(&r->clock, &value);
	rc = strbuf_error(&value);
	if (rc == 0)
		rc = db_put(e, COL_CERT, r->name, strbuf_bytes(&value));
	strbuf_release(&value);
	return rc;
}

struct pusher {
	struct ch_engine *e;
	const struct record *r, *old, *theirs;
	uint64_t old_seq, seq;
	const struct ch_id *from;
	bool differs;  /* We know more than they sent. */
	bool corrects; /* Such that it does not hold it any more. */
	bool arrived;  /* We take a part that we did not. */
	bool only_old; /* Sites that the new record names were seen. */
	/* Our report: where its entries stand, and whether they must stand
	 * behind the record's again. */
	uint64_t report_seq, again_seq;
	bool again;
	bool silent; /* Nobody is told. */
};

/* A site that is in is told of it and says how it goes; a witness is told. */
static int part_of(const struct record *r, const struct ch_id *site)
{
	return !r                             ? 0
	       : resource_site_in(r, site)    ? 2
	       : resource_is_witness(r, site) ? 1
					      : 0;
}

/* Did someone write since @old that @site is in, or a witness? Then it may have
 * left in between, and have forgotten all. */
static bool is_rewritten(const struct record *r, const struct record *old,
			 const struct ch_id *site)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct entry *e = &r->v[i];
		struct site_value value;
		struct ch_id id;

		if ((e->type == ENTRY_SITE || e->type == ENTRY_WITNESS) &&
		    entry_site(e, &id) == 0 && id_cmp(&id, site) == 0 &&
		    site_value_decode(e->value, &value) == 0 && value.in &&
		    !vv_covers(&old->clock, &e->dot))
			return true;
	}
	return false;
}

static bool arrives(const struct pusher *p, const struct ch_id *site)
{
	int part = part_of(p->r, site);

	return part > part_of(p->old, site) ||
	       (part && p->old && is_rewritten(p->r, p->old, site));
}

static bool only_dials(struct ch_engine *e, const struct ch_id *site)
{
	const struct peer *p = member_find(e, site);

	return p && !p->address[0];
}

/* Two sites that only dial never meet: what one of them sent us, the other has
 * from us. */
static bool relays(const struct pusher *p, const struct ch_id *site)
{
	return p->from && p->e->cfg.address[0] && only_dials(p->e, p->from) &&
	       only_dials(p->e, site);
}

/*
 * Who gets the record. Whoever sent it tells those that it knows of; but to a
 * site that is new all others send it, and a new site to all others: reports
 * go directly, and are of use only where the record is known before.
 */
static int push_to(void *arg, const struct resource_site *s)
{
	struct pusher *p = arg;
	struct ch_engine *e = p->e;
	int rc = 0;
	bool need;

	if (id_cmp(&s->id, &e->cfg.self) == 0)
		return 0;
	if (!p->from)
		need = true;
	else if (id_cmp(&s->id, p->from) == 0)
		need = p->differs;
	else
		need = p->arrived || p->corrects || arrives(p, &s->id) ||
		       relays(p, &s->id) ||
		       !resource_is_holder(p->theirs, &s->id);
	if (!need && p->old)
		rc = outbox_has(e, &s->id, p->old_seq);
	need |= rc > 0;
	if (rc >= 0 && need) {
		rc = outbox_put(e, &s->id, OUT_RECORD, p->r->name, p->old_seq,
				p->seq);
		if (rc == 0)
			rc = outbox_has(e, &s->id, p->report_seq);
		p->again |= rc > 0;
	}
	p->again |= arrives(p, &s->id);
	return rc < 0 ? rc : 0;
}

/* Whom the old record named, and the new one does not. */
static int part_from(void *arg, const struct resource_site *s)
{
	struct pusher *p = arg;
	struct ch_engine *e = p->e;
	bool from = p->from && id_cmp(&s->id, p->from) == 0;
	struct strbuf key = STRBUF_INIT;
	int rc = 0;

	if (id_cmp(&s->id, &e->cfg.self) == 0 ||
	    resource_site_in(p->r, &s->id) || resource_site_out(p->r, &s->id))
		return 0;
	/* It says nothing more of this. */
	key_report(&key, p->r->name, &s->id);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_del(e, COL_REPORT, strbuf_bytes(&key));
	strbuf_release(&key);
	if (rc < 0 || p->silent || resource_is_holder(p->r, &s->id))
		return rc;
	rc = outbox_del(e, &s->id, p->report_seq);
	if (rc < 0)
		return rc;
	/* A site that was in has left by itself. A witness was told to go, and
	 * must hear of it; so must one whose leaving crossed another's, and one
	 * that a batch may be on its way to which says that it holds this. */
	rc = outbox_has(e, &s->id, p->old_seq);
	if (rc < 0)
		return rc;
	/* Whom we never met, others have told, and others tell again. */
	if (rc > 0 && !member_find(e, &s->id))
		return outbox_del(e, &s->id, p->old_seq);
	if (rc > 0 || (from ? p->differs : s->witness || relays(p, &s->id)))
		return outbox_put(e, &s->id, OUT_RECORD, p->r->name, p->old_seq,
				  p->seq);
	return 0;
}

/* Our report goes behind the record, to whom it is new or still owed. */
static int report_to(void *arg, const struct resource_site *s)
{
	struct pusher *p = arg;
	int rc;

	if (id_cmp(&s->id, &p->e->cfg.self) == 0)
		return 0;
	rc = outbox_has(p->e, &s->id, p->report_seq);
	if (rc < 0 || (rc == 0 && !arrives(p, &s->id)))
		return rc;
	return outbox_put(p->e, &s->id, OUT_REPORT, p->r->name, p->report_seq,
			  p->again_seq);
}

/* Who sent it holds it, as he thinks; as we know it, he does not: he hears of
 * that, or what he has would never go. So do all others, to whom he perhaps
 * told the same, and who do not hear from him that he goes. */
static int correct(struct pusher *p)
{
	int rc;

	if (!p->corrects)
		return 0;
	rc = outbox_has(p->e, p->from, p->seq);
	return rc ? (rc < 0 ? rc : 0)
		  : outbox_put(p->e, p->from, OUT_RECORD, p->r->name,
			       p->old_seq, p->seq);
}

/* Who was let go by an earlier change, and has yet to hear of it. */
static int still_owed(struct pusher *p)
{
	struct ch_engine *e = p->e;
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < e->n_peers; i++) {
		const struct ch_id *site = &e->peers[i]->id;

		if (!e->peers[i]->backlog)
			continue;
		rc = outbox_has(e, site, p->old_seq);
		if (rc > 0)
			rc = outbox_put(e, site, OUT_RECORD, p->r->name,
					p->old_seq, p->seq);
	}
	return rc < 0 ? rc : 0;
}

static int push(struct pusher *p)
{
	int rc;

	rc = report_seq(p->e, p->r->name, &p->report_seq);
	if (rc == 0)
		rc = resource_sites(p->r, push_to, p);
	if (rc == 0 && p->old)
		rc = resource_sites(p->old, part_from, p);
	if (rc == 0)
		rc = still_owed(p);
	if (rc == 0)
		rc = correct(p);
	if (rc < 0 || !p->again || !p->report_seq)
		return rc;
	p->again_seq = outbox_next(p->e);
	rc = resource_sites(p->r, report_to, p);
	return rc < 0 ? rc : report_move(p->e, p->r->name, p->again_seq);
}

/* How many resources a site has, as far as we hold them. */
static int move_site_count(struct ch_engine *e, const struct ch_id *site,
			   bool is)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	uint64_t n = 0;
	int rc;

	strbuf_add_str(&key, "n/");
	strbuf_add(&key, site->b, sizeof(site->b));
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_get(e, COL_SYS, strbuf_bytes(&key), &value);
	if (rc == 0) {
		struct wire w = wire_of(strbuf_bytes(&value));

		n = wire_u64(&w);
	} else if (rc == -ENOENT) {
		rc = 0;
	}
	strbuf_reset(&value);
	wire_put_u64(&value, is ? n + 1 : n ? n - 1 : 0);
	if (rc == 0)
		rc = strbuf_error(&value);
	if (rc == 0)
		rc = db_put(e, COL_SYS, strbuf_bytes(&key),
			    strbuf_bytes(&value));
	strbuf_release(&value);
	strbuf_release(&key);
	return rc;
}

/* Sites of the new record, or (@gone) those of the old that it leaves out. */
static int see_site(void *arg, const struct resource_site *s)
{
	struct pusher *p = arg;
	bool was = p->old && resource_site_in(p->old, &s->id);
	bool is = resource_site_in(p->r, &s->id);
	struct ch_bytes name = member_name(p->e, &s->id);

	if (was == is || (p->only_old && resource_is_holder(p->r, &s->id)))
		return 0;
	update_stale(p->e, CH_STALE_SITE, p->r->name, name.len ? name : s->name,
		     is);
	return move_site_count(p->e, &s->id, is);
}

static bool mode_changed(const struct record *a, const struct record *b)
{
	for (int of_spec = 0; of_spec < 2; of_spec++) {
		struct mode_value x = resource_mode(a, of_spec != 0);
		struct mode_value y = resource_mode(b, of_spec != 0);

		if (x.mode != y.mode || !ch_bytes_equal(x.owner, y.owner) ||
		    !ch_bytes_equal(x.group, y.group))
			return true;
	}
	return false;
}

static struct ch_bytes author(struct ch_engine *e, const struct entry *entry)
{
	return member_name(e, &entry_origin(entry)->actor.site);
}

static bool is_torn(const struct record *r, uint16_t type, const char *sub)
{
	return r && resource_is_there(r) &&
	       resource_is_torn(r, type, ch_str(sub));
}

/* The driver, or a mode, that several wrote at once: each value, and whose. */
static int announce_register(struct ch_engine *e, const struct record *r,
			     const struct record *old, uint16_t type,
			     const char *sub)
{
	const char *what = type == ENTRY_DRIVER ? "driver"
			   : *sub               ? "mode of spec"
						: "mode";
	bool is = is_torn(r, type, sub), was = is_torn(old, type, sub);
	struct ch_bytes none = ch_str("");
	struct strbuf text = STRBUF_INIT;
	const struct entry *entry;
	size_t pos = 0;
	int rc;

	while (is && !was && (entry = record_next(r, type, &pos))) {
		if (!ch_bytes_equal(entry->sub, ch_str(sub)))
			continue;
		strbuf_add_str(&text, text.len ? ", " : "");
		if (type == ENTRY_DRIVER)
			strbuf_add(&text, entry->value.p, entry->value.len);
		else
			resource_mode_words(entry, &text);
		strbuf_add_str(&text, " of ");
		strbuf_add(&text, author(e, entry).p, author(e, entry).len);
	}
	rc = strbuf_error(&text);
	if (rc == 0 && is && !was)
		update_notice(e, "conflict", r->name, none, NULL, none,
			      "%s: %s: see conflicts/", what, text.buf);
	if (rc == 0 && was && !is && resource_is_there(r))
		update_notice(e, "resolved", r->name, none, NULL, none, "%s",
			      what);
	strbuf_release(&text);
	return rc;
}

/* Was that merge made here or elsewhere before? Two sites may write it. */
static bool is_new_merge(const struct entry *entry, const struct record *old)
{
	if (!(entry->flags & ENTRY_MERGED) ||
	    vv_covers(&old->clock, &entry->dot))
		return false;
	for (size_t i = 0; i < old->n; i++)
		if ((old->v[i].flags & ENTRY_MERGED) &&
		    resource_says_same(&old->v[i], entry))
			return false;
	return true;
}

static void announce_merges(struct ch_engine *e, const struct record *r,
			    const struct record *old)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct entry *entry = &r->v[i];
		struct version v = {0};
		struct ch_bytes of = ch_str("");
		struct ch_id site;

		if (!is_new_merge(entry, old))
			continue;
		entry_vid(entry, &v.vid);
		if (entry->type == ENTRY_PATCH && entry_site(entry, &site) == 0)
			of = member_name(e, &site);
		update_notice(
			e, "merge", r->name, author(e, entry), &v, ch_str(""),
			"concurrent versions of %s%.*s that changed "
			"different fields",
			entry->type == ENTRY_PATCH ? "the patch of " : "spec",
			(int)of.len, (const char *)of.p);
	}
}

static bool has_versions(const struct record *r)
{
	const struct entry *entry;
	size_t pos = 0;

	while ((entry = resource_hidden(r, &pos)))
		if (entry->type == ENTRY_SPEC || entry->type == ENTRY_PATCH)
			return true;
	return false;
}

/* Versions that contradict each other, and such that are one again. */
static int announce_conflicts(struct ch_engine *e, const struct record *r,
			      const struct record *old,
			      const struct version *shown)
{
	struct ch_bytes none = ch_str("");
	bool is, was = false;
	const char *why;
	int rc = 0;

	if (old && resource_is_there(old) && resource_is_there(r))
		announce_merges(e, r, old);
	if (old)
		rc = merge_apart(e, old, &was, &why);
	if (rc == 0)
		rc = merge_apart(e, r, &is, &why);
	if (rc == 0 && is && !was)
		update_notice(e, "conflict", r->name, none, shown, none,
			      "%zu concurrent versions%s%s: see conflicts/",
			      resource_conflicts(r), *why ? ", " : "", why);
	if (rc == 0 && was && !has_versions(r) && resource_is_there(r))
		update_notice(e, "resolved", r->name, none, shown, none, "%s",
			      "");
	if (rc == 0)
		rc = announce_register(e, r, old, ENTRY_DRIVER, "");
	if (rc == 0)
		rc = announce_register(e, r, old, ENTRY_MODE, "");
	if (rc == 0)
		rc = announce_register(e, r, old, ENTRY_MODE, "spec");
	return rc;
}

/* Tell people and the kernel what became of @name. */
static int announce(struct ch_engine *e, const struct record *r,
		    const struct record *old)
{
	const struct entry *is = resource_spec(r), *tomb = NULL;
	const struct entry *was = old ? resource_spec(old) : NULL;
	bool there = resource_is_there(r);
	bool was_there = old && resource_is_there(old);
	struct pusher p = {.e = e, .r = r, .old = old};
	struct version v = {0}, w = {0};
	struct ch_bytes none = ch_str("");
	size_t pos = 0;
	int rc;

	if (there && r->clock.n >= VV_WARN && (!old || old->clock.n < VV_WARN))
		update_notice(e, "refused", r->name, none, NULL, none,
			      "written in %zu lives of its sites: beyond %d "
			      "it takes no more writes, and can only be "
			      "deleted",
			      r->clock.n, VV_WRITE_MAX);
	if (is)
		entry_vid(is, &v.vid);
	if (was)
		entry_vid(was, &w.vid);
	if (there != was_there || (there && mode_changed(r, old)))
		update_stale(e, CH_STALE_RESOURCE, r->name, none, there);
	rc = resource_sites(r, see_site, &p);
	p.only_old = true;
	if (rc == 0 && old)
		rc = resource_sites(old, see_site, &p);
	update_stale(e, CH_STALE_CONTENT, r->name, none, false);
	/* A version that came by a rename was told of under its other name. */
	if (there && is && !version_equal(&v, &w) &&
	    (was_there || !is->origin_name.len))
		update_notice(e, "version", r->name, author(e, is), &v,
			      is->user, "%s", "");
	if (rc == 0)
		rc = announce_conflicts(e, r, old, &v);
	while (was_there && !there && (tomb = record_next(r, ENTRY_TOMB, &pos)))
		if (!tomb->to.len && !resource_moved(r, &tomb->lineage))
			break;
	if (was_there && !there && tomb)
		update_notice(e, "deleted", r->name, author(e, tomb), NULL,
			      tomb->user, "%s", "");
	return rc;
}

struct eraser {
	struct ch_engine *e;
	struct ch_bytes name;
};

static int del_report(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct eraser *x = arg;

	(void)value;
	return db_del(x->e, COL_REPORT, key);
}

static int del_report_of(struct ch_engine *e, struct ch_bytes name,
			 const struct ch_id *site)
{
	struct strbuf key = STRBUF_INIT;

	key_report(&key, name, site);
	return db_del_key(e, COL_REPORT, &key);
}

/* A report of this round is not found by a scan. */
static int erase_site(void *arg, const struct resource_site *s)
{
	struct eraser *x = arg;
	int rc = s->in ? move_site_count(x->e, &s->id, false) : 0;

	return rc < 0 ? rc : del_report_of(x->e, x->name, &s->id);
}

static int move_count(struct ch_engine *e, bool was, bool is)
{
	if (was == is)
		return 0;
	if (is)
		e->count++;
	else if (e->count)
		e->count--;
	return db_put_u64(e, COL_SYS, "count", e->count);
}

static bool has_left(const struct record *r)
{
	const struct entry *tomb;
	size_t pos = 0;

	while ((tomb = record_next(r, ENTRY_TOMB, &pos)))
		if (tomb->to.len)
			return true;
	return false;
}

int keep_forget(struct ch_engine *e, const struct record *r)
{
	bool there = resource_is_there(r);
	struct strbuf prefix = STRBUF_INIT;
	struct eraser x = {e, r->name};
	int rc;

	rc = body_move_refs(e, r->name, r, NULL);
	if (rc == 0 && (record_get(r, ENTRY_HOLD, ch_str("")) || has_left(r)))
		rc = hold_forget(e, r->name);
	if (rc == 0)
		rc = db_del(e, COL_RECORD, r->name);
	if (rc == 0)
		rc = move_count(e, there, false);
	if (rc == 0)
		rc = say_nothing(e, r->name);
	if (rc == 0)
		rc = resource_sites(r, erase_site, &x);
	strbuf_add(&prefix, r->name.p, r->name.len);
	strbuf_add_char(&prefix, '\0');
	if (rc == 0)
		rc = strbuf_error(&prefix);
	if (rc == 0)
		rc = db_scan(e, COL_REPORT, strbuf_bytes(&prefix), ch_str(""),
			     del_report, &x);
	strbuf_release(&prefix);
	if (there)
		update_stale(e, CH_STALE_RESOURCE, r->name, ch_str(""), false);
	return rc;
}

struct crowd {
	struct ch_engine *e;
	uint64_t seq;  /* Of the record's outbox entries; 0: not asked for. */
	bool owed;     /* A site that it names has yet to acknowledge it. */
	size_t others; /* Holders but us. */
	size_t active; /* Who is in, or a witness. */
};

static int see_holder(void *arg, const struct resource_site *s)
{
	struct crowd *c = arg;

	int rc = outbox_has(c->e, &s->id, c->seq);

	c->others += id_cmp(&s->id, &c->e->cfg.self) != 0;
	c->active += s->in || s->witness;
	c->owed |= rc > 0;
	return rc < 0 ? rc : 0;
}

int keep_settle(struct ch_engine *e, struct ch_bytes name)
{
	struct crowd c = {.e = e};
	struct strbuf job = STRBUF_INIT;
	bool there, holder;
	struct record r;
	int rc;

	record_init(&r);
	rc = keep_load(e, name, &r, &c.seq);
	if (rc == 0 && rejoin_is_unconfirmed(e, name, c.seq, &rc))
		goto out;
	if (rc == 0)
		rc = resource_sites(&r, see_holder, &c);
	if (rc < 0)
		goto out;
	there = resource_is_there(&r);
	holder = resource_is_holder(&r, &e->cfg.self);
	if (holder &&
	    (there || c.others || resource_site_out(&r, &e->cfg.self)))
		goto out;
	/* What belongs under another name is brought there first, by us or by
	 * who holds it and knows of it. */
	if (move_is_open(&r) && (holder || !c.others))
		goto out;
	rc = db_get(e, COL_JOB, name, &job);
	if (rc == 0)
		goto out; /* Its driver has yet to remove it. */
	rc = rc == -ENOENT ? c.owed : rc;
	/* Or one that it names no more. */
	for (size_t i = 0; rc == 0 && i < e->n_peers; i++)
		rc = outbox_has(e, &e->peers[i]->id, c.seq);
	/* A certificate says that all it covers is gone: it is not for what
	 * others still have. */
	if (rc == 0 && !there && !c.others)
		rc = put_cert(e, &r);
	else if (vv_get(&r.clock, &e->writer))
		e->writer_spent = true;
	if (rc == 0)
		rc = exchange_fence(e);
	if (rc == 0)
		rc = keep_forget(e, &r);
out:
	strbuf_release(&job);
	record_release(&r);
	return rc == -ENOENT || rc > 0 ? 0 : rc;
}

bool keep_fits(const struct record *r, unsigned int share)
{
	size_t len = 64 + r->name.len + r->extra.len + 32 * r->clock.n;
	size_t actors = share == 1   ? VV_WRITE_MAX
			: share == 4 ? VV_JOIN_MAX
				     : VV_DELETE_MAX;
	size_t specs = 0;

	for (size_t i = 0; i < r->n; i++) {
		len += 17 + r->v[i].sub.len + r->v[i].payload.len;
		specs += r->v[i].type == ENTRY_SPEC;
	}
	return len <= RECORD_LEN_MAX / 4 * share && r->clock.n <= actors &&
	       r->n <= RECORD_ENTRIES_MAX / 4 * (share < 4 ? 2 : 4) &&
	       (share == 4 || specs <= RECORD_SPECS_MAX);
}

int keep_hold(struct ch_engine *e, struct record *r, bool leaving)
{
	struct crowd c = {.e = e};
	int rc;

	if (!resource_is_there(r))
		return 0;
	rc = resource_sites(r, see_holder, &c);
	if (rc < 0 || c.active ||
	    (!leaving && (c.others || resource_is_holder(r, &e->cfg.self))))
		return rc;
	return sites_set(e, r, ENTRY_WITNESS, &e->cfg.self, engine_name(e),
			 true);
}

static bool policy_changed(const struct record *r, const struct record *old)
{
	for (size_t i = 0; i < POLICIES; i++) {
		enum policy_key key = (enum policy_key)i;

		if (!ch_bytes_equal(resource_policy(r, key),
				    resource_policy(old, key)))
			return true;
	}
	return false;
}

static int touch_all(struct ch_engine *e, const struct entry *made)
{
	struct ch_bytes name;
	int rc = 0;

	for (size_t i = 0; rc == 0 && entry_from(made, i, &name) == 0; i++)
		rc = plan_touch(e, name);
	return rc;
}

/* What has not followed yet from where it was called otherwise may do so now.
 */
static int touch_former(struct ch_engine *e, const struct record *r)
{
	int rc = 0;

	for (size_t i = 0; i < r->n && r->v[i].type <= ENTRY_TOMB; i++) {
		struct entry was;
		size_t pos = 0;

		if (rc == 0 && r->v[i].type == ENTRY_MADE)
			rc = touch_all(e, &r->v[i]);
		while (rc == 0 && r->v[i].type == ENTRY_TOMB &&
		       image_next(r->v[i].image, &pos, &was) > 0)
			if (was.type == ENTRY_MADE)
				rc = touch_all(e, &was);
	}
	return rc;
}

/* One that ended is forgotten; one that was renamed goes on from there. */
static int move_hold(struct ch_engine *e, const struct record *r,
		     const struct record *old)
{
	uint64_t left, end;

	if (record_get(r, ENTRY_HOLD, ch_str("")))
		return hold_left(e, r, &left, &end);
	return old && record_get(old, ENTRY_HOLD, ch_str("")) && !has_left(r)
		       ? hold_forget(e, r->name)
		       : 0;
}

static int save(struct ch_engine *e, struct record *r, const struct record *old,
		uint64_t old_seq, const struct ch_id *from,
		const struct record *theirs, bool confirmed)
{
	struct pusher p = {
		.e = e,
		.r = r,
		.old = old,
		.theirs = theirs,
		.old_seq = old ? old_seq : 0,
		.seq = outbox_next(e),
		.from = from,
	};
	bool is = resource_is_there(r);
	int rc;

	CHECK(!from == !theirs);
	p.differs = theirs && !record_equal(r, theirs);
	p.corrects = p.differs && !resource_is_holder(r, from) &&
		     resource_is_holder(theirs, from);
	p.arrived = arrives(&p, &e->cfg.self);
	rc = trash_fill(e, r, old);
	if (rc == 0)
		rc = move_count(e, old && resource_is_there(old), is);
	if (rc == 0)
		rc = announce(e, r, old);
	p.silent = !confirmed;
	if (rc == 0 && confirmed)
		rc = push(&p);
	else if (rc == 0 && old)
		rc = resource_sites(old, part_from, &p);
	if (rc == 0) /* It looks whether the record may go, too. */
		rc = plan_touch(e, r->name);
	if (rc == 0)
		rc = touch_former(e, r);
	if (rc == 0 && old &&
	    (resource_is_secret(old) != resource_is_secret(r) ||
	     policy_changed(r, old)))
		rc = plan_changed(e, r->name);
	if (rc == 0)
		rc = body_move_refs(e, r->name, old, r);
	if (rc == 0)
		rc = move_hold(e, r, old);
	if (rc == 0 && is && !old)
		rc = db_del(e, COL_CERT, r->name);
	return rc < 0 ? rc : put_record(e, r, p.seq);
}

int keep_save(struct ch_engine *e, struct record *r, const struct record *old,
	      uint64_t old_seq, const struct ch_id *from,
	      const struct record *theirs)
{
	bool unconfirmed;
	int rc = 0;

	unconfirmed = old && rejoin_is_unconfirmed(e, r->name, old_seq, &rc);
	if (rc == 0 && unconfirmed && !from) {
		rc = rejoin_is_alone(e, old, old_seq);
		unconfirmed = rc == 0;
		rc = rc < 0 ? rc : 0;
	}
	if (rc == 0 && unconfirmed)
		rc = rejoin_keep_clock(e, old, old_seq);
	if (rc == 0 && unconfirmed && from)
		rc = rejoin_named(e, r);
	return rc < 0 ? rc
		      : save(e, r, old, old_seq, from, theirs, !unconfirmed);
}

int keep_save_confirmed(struct ch_engine *e, struct record *r,
			const struct record *old, uint64_t old_seq)
{
	return save(e, r, old, old_seq, NULL, NULL, true);
}
