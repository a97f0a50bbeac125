/* change.c -- what users ask for becomes writes of records. */
#include <errno.h>
#include <string.h>

#include "core/edit.h"
#include "core/gone.h"
#include "core/name.h"
#include "core/rng.h"
#include "core/wire.h"

#define REMOVED_MAX 512 /* Sites that one deletion remembers. */

static const struct vv nothing; /* A write that replaces none. */

int edit_open(struct ch_engine *e, struct ch_bytes name, struct edit *x)
{
	int rc;

	memset(x, 0, sizeof(*x));
	record_init(&x->r);
	record_init(&x->old);
	rc = keep_load(e, name, &x->old, &x->seq);
	x->was_stored = rc == 0;
	if (rc == -ENOENT)
		rc = keep_fresh(e, name, &x->old);
	return rc < 0 ? rc : record_copy(&x->r, &x->old);
}

void edit_close(struct edit *x)
{
	record_release(&x->r);
	record_release(&x->old);
}

/* 1: it has grown too large, and @s is answered. */
int edit_save(struct ch_engine *e, const struct ch_submit *s, struct edit *x)
{
	/* A deletion holds all that it deletes; and a withdrawal leads to it.
	 */
	unsigned int share = s->op == CH_RMDIR      ? 3
			     : s->op == CH_SITE_DEL ? 2
						    : 1;

	if (!keep_fits(&x->r, share)) {
		if (x->r.clock.n > VV_WRITE_MAX)
			update_done(e, s->token, -ENOSPC,
				    "written in too many lives of its sites: "
				    "delete it, and make it anew under another "
				    "name");
		else
			update_done(e, s->token, -ENOSPC,
				    "too many sites, patches or concurrent "
				    "versions in one resource");
		return 1;
	}
	return keep_save(e, &x->r, x->was_stored ? &x->old : NULL, x->seq, NULL,
			 NULL);
}

/* Write @entry, its payload made from its fields. */
int edit_put(struct ch_engine *e, struct record *r, const struct vv *ctx,
	     struct entry *entry)
{
	struct strbuf payload = STRBUF_INIT;
	int rc;

	entry->dot = engine_dot(e);
	if (!entry->hlc)
		entry->hlc = engine_hlc(e);
	entry_payload(entry, &payload);
	entry->payload = strbuf_bytes(&payload);
	rc = strbuf_error(&payload);
	if (rc == 0)
		rc = record_write(r, ctx, entry);
	strbuf_release(&payload);
	return rc;
}

int change_put(struct ch_engine *e, struct record *r, struct entry *entry)
{
	return edit_put(e, r, NULL, entry);
}

int sites_set(struct ch_engine *e, struct record *r, uint16_t type,
	      const struct ch_id *site, struct ch_bytes name, bool in)
{
	const struct site_value value = {.in = in, .name = name};
	struct entry entry = {.type = type};
	struct strbuf v = STRBUF_INIT;
	int rc;

	entry.sub = (struct ch_bytes){site->b, sizeof(site->b)};
	entry.user = e->user;
	site_value_encode(&value, &v);
	entry.value = strbuf_bytes(&v);
	rc = strbuf_error(&v);
	if (rc == 0)
		rc = edit_put(e, r, NULL, &entry);
	strbuf_release(&v);
	return rc;
}

static int set_mode(struct ch_engine *e, struct record *r, bool of_spec,
		    const struct mode_value *mode)
{
	struct entry entry = {.type = ENTRY_MODE};
	struct strbuf v = STRBUF_INIT;
	int rc;

	entry.sub = ch_str(of_spec ? "spec" : "");
	mode_value_encode(mode, &v);
	entry.value = strbuf_bytes(&v);
	rc = strbuf_error(&v);
	if (rc == 0)
		rc = edit_put(e, r, NULL, &entry);
	strbuf_release(&v);
	return rc;
}

/* A new lineage of this name, and we its witness. */
static int make(struct ch_engine *e, struct record *r,
		const struct ch_id *lineage, struct ch_bytes user)
{
	struct entry entry = {
		.type = ENTRY_MADE, .lineage = *lineage, .user = user};
	int rc = edit_put(e, r, NULL, &entry);

	if (rc == 0 && !resource_is_witness(r, &e->cfg.self))
		rc = sites_set(e, r, ENTRY_WITNESS, &e->cfg.self,
			       engine_name(e), true);
	return rc;
}

struct ch_id edit_lineage(struct ch_engine *e, struct ch_bytes name)
{
	/* Of our own life and a number never used twice, and of what nobody
	 * else knows: the same in each run of a simulation. */
	static const char domain[] = "cheops lineage 1\n";
	struct strbuf sb = STRBUF_INIT;
	struct ch_bytes part[3];
	struct ch_hash hash;
	struct ch_id id;

	wire_put_raw(&sb, e->me.site.b, 16);
	wire_put_u32(&sb, e->me.epoch);
	wire_put_u32(&sb, e->me.nonce);
	wire_put_u64(&sb, e->seq + 1);
	wire_put_u64(&sb, rng_next(&e->rng));
	part[0] = (struct ch_bytes){domain, sizeof(domain) - 1};
	part[1] = strbuf_bytes(&sb);
	part[2] = name;
	hash_sum(part, 3, &hash);
	e->u->arena->bad |= sb.bad;
	strbuf_release(&sb);
	memcpy(id.b, hash.b, sizeof(id.b));
	/* RFC 9562: version 8, made as its maker likes. */
	id.b[6] = (uint8_t)((id.b[6] & 0x0f) | 0x80);
	id.b[8] = (uint8_t)((id.b[8] & 0x3f) | 0x80);
	return id;
}

int change_clear(struct ch_engine *e, struct record *r,
		 const struct ch_id *lineage)
{
	size_t i = 0;

	while (i < r->n) {
		struct entry *entry = &r->v[i];
		bool its = id_cmp(&entry->lineage, lineage) == 0;
		struct site_value value;
		struct ch_id site;

		if (entry->type == ENTRY_WITNESS) {
			i++;
			continue;
		}
		/* Where others went, and what is to follow them. */
		if (entry->type <= ENTRY_TOMB) {
			if ((!its && entry->to.len) ||
			    (entry->type == ENTRY_SPEC &&
			     entry_is_left(r, entry))) {
				i++;
				continue;
			}
			record_drop_dot(r, entry->dot);
			i = 0;
			continue;
		}
		if (entry->type == ENTRY_SITE &&
		    entry_site(entry, &site) == 0 &&
		    site_value_decode(entry->value, &value) == 0) {
			int rc;

			if (!value.in) {
				i++;
				continue;
			}
			rc = sites_set(e, r, ENTRY_SITE, &site, value.name,
				       false);
			if (rc < 0)
				return rc;
			i = 0;
			continue;
		}
		record_drop(r, entry->type, entry->sub, NULL);
		i = 0;
	}
	return 0;
}

static int do_mkdir(struct ch_engine *e, const struct ch_submit *s)
{
	const struct mode_value mode = {s->mode, s->owner, s->group};
	struct err err = ERR_INIT;
	struct ch_id lineage;
	struct edit x;
	int rc;

	rc = name_check_resource(s->name, &err);
	if (rc < 0) {
		update_done(e, s->token, rc, "%s", err.text);
		return 0;
	}
	rc = edit_open(e, s->name, &x);
	if (rc == 0 && resource_is_there(&x.r)) {
		update_done(e, s->token, -EEXIST, "it is there already");
		goto out;
	}
	lineage = edit_lineage(e, s->name);
	if (rc == 0)
		rc = change_clear(e, &x.r, &lineage);
	if (rc == 0)
		rc = make(e, &x.r, &lineage, s->user);
	if (rc == 0)
		rc = set_mode(e, &x.r, false, &mode);
	if (rc == 0)
		rc = edit_save(e, s, &x);
	if (rc == 0)
		rc = plan_fresh(e, s->name);
	if (rc == 0)
		update_done(e, s->token, 0, "%s", "");
out:
	edit_close(&x);
	return rc < 0 ? rc : 0;
}

/* A spec that did not know of a deletion overruled it: whoever changes the
 * resource next writes down what that means. Its sites stood in the tombstone
 * alone. */
int change_settle(struct ch_engine *e, struct record *r)
{
	const struct entry *tomb;
	size_t pos = 0;
	int rc = 0;

	while (rc == 0 && (tomb = record_next(r, ENTRY_TOMB, &pos))) {
		/* Bytes stay where they are. */
		const struct ch_bytes image = tomb->image;
		struct entry was;
		size_t at = 0;

		while (rc == 0 && image_next(image, &at, &was) > 0) {
			struct site_value value;
			struct ch_id site;

			/* Without it nobody knew its former names. */
			if (was.type == ENTRY_MADE &&
			    resource_has_lineage(r, &was.lineage) &&
			    !resource_made(r, &was.lineage)) {
				rc = move_make(e, r, &was.lineage, r->name,
					       &was);
				pos++; /* It stands in front. */
			} else if (was.type == ENTRY_SITE &&
				   entry_site(&was, &site) == 0 &&
				   site_value_decode(was.value, &value) == 0) {
				rc = sites_set(e, r, ENTRY_SITE, &site,
					       value.name, true);
			}
		}
	}
	pos = 0;
	while (rc == 0 && (tomb = record_next(r, ENTRY_TOMB, &pos)))
		if (!tomb->to.len) {
			record_drop_dot(r, tomb->dot);
			pos = 0;
		}
	return rc;
}

/* Open an edit of a resource that is there; else 1, and @s is answered. */
int edit_there(struct ch_engine *e, const struct ch_submit *s, struct edit *x)
{
	int rc = edit_open(e, s->name, x);

	if (rc == 0 && !resource_is_there(&x->r)) {
		update_done(e, s->token, -ENOENT, "there is no such resource");
		rc = 1;
	}
	return rc == 0 ? change_settle(e, &x->r) : rc;
}

int edit_answer(struct ch_engine *e, const struct ch_submit *s, int rc)
{
	if (rc < 0)
		return rc;
	if (rc == 0)
		update_done(e, s->token, 0, "%s", "");
	return 0;
}

static int see_in(void *arg, const struct resource_site *s)
{
	*(size_t *)arg += s->in;
	return 0;
}

static int bury(struct ch_engine *e, const struct ch_submit *s,
		struct record *r)
{
	struct resource_site also[REMOVED_MAX];
	struct ch_id gone[REMOVED_MAX];
	struct strbuf image = STRBUF_INIT;
	struct entry tomb = {
		.type = ENTRY_TOMB,
		.lineage = resource_lineage(r),
		.user = s->user,
		.value = engine_name(e),
	};
	size_t n;
	int rc;

	n = plan_removed_by(e, s->name, s->group_id, gone, REMOVED_MAX);
	for (size_t i = 0; i < n; i++)
		also[i] = (struct resource_site){
			.id = gone[i], .name = member_name(e, &gone[i])};
	image_make(r, also, n, &image);
	tomb.image = strbuf_bytes(&image);
	rc = strbuf_error(&image);
	if (rc == 0)
		rc = trash_number(e, &tomb.number);
	/* But what belongs to one that was renamed stays. */
	for (size_t i = 0; rc == 0 && i < r->n;) {
		if (entry_is_alive(r, &r->v[i]))
			record_drop_dot(r, r->v[i].dot);
		else
			i++;
	}
	if (rc == 0)
		rc = edit_put(e, r, &nothing, &tomb);
	strbuf_release(&image);
	return rc;
}

static int do_rmdir(struct ch_engine *e, const struct ch_submit *s)
{
	struct edit x;
	size_t in = 0;
	int rc = edit_there(e, s, &x);

	if (rc == 0)
		rc = resource_sites(&x.r, see_in, &in);
	if (rc == 0 && in) {
		update_done(e, s->token, -ENOTEMPTY,
			    "it still has %zu site%s: remove their "
			    "directories first, or use rm -r",
			    in, in == 1 ? "" : "s");
		rc = 1;
	}
	if (rc == 0)
		rc = bury(e, s, &x.r);
	if (rc == 0)
		rc = edit_save(e, s, &x);
	edit_close(&x);
	return edit_answer(e, s, rc);
}

static int do_site_add(struct ch_engine *e, const struct ch_submit *s)
{
	struct ch_id site;
	struct edit x;
	int rc = edit_there(e, s, &x);

	if (rc == 0 && member_id(e, s->site, &site) < 0) {
		struct strbuf why = STRBUF_INIT;

		member_unknown(e, s->site, &why);
		update_done(e, s->token, -ENXIO, "%s", why.buf);
		rc = strbuf_error(&why) < 0 ? -ENOMEM : 1;
		strbuf_release(&why);
	}
	if (rc == 0 && resource_site_in(&x.r, &site)) {
		update_done(e, s->token, -EEXIST, "that site is in already");
		rc = 1;
	}
	if (rc == 0) {
		/* Undone in time it comes back whole; later it starts anew. */
		if (!plan_is_in_grace(e, s->name, &site))
			record_drop(&x.r, ENTRY_PATCH,
				    (struct ch_bytes){site.b, 16}, NULL);
		rc = sites_set(e, &x.r, ENTRY_SITE, &site, s->site, true);
	}
	if (rc == 0)
		rc = edit_save(e, s, &x);
	edit_close(&x);
	return edit_answer(e, s, rc);
}

static int do_site_del(struct ch_engine *e, const struct ch_submit *s)
{
	struct ch_id site;
	struct edit x;
	int rc = edit_there(e, s, &x);

	if (rc == 0 && (member_id(e, s->site, &site) < 0 ||
			!resource_site_in(&x.r, &site))) {
		update_done(e, s->token, -ENOENT, "that site is not in");
		rc = 1;
	}
	if (rc == 0)
		rc = plan_removed(e, s->name, s->group_id, &site);
	if (rc == 0)
		rc = sites_set(e, &x.r, ENTRY_SITE, &site, s->site, false);
	if (rc == 0)
		rc = sites_last(e, &x.r, &site, s->site);
	if (rc == 0)
		rc = edit_save(e, s, &x);
	edit_close(&x);
	return edit_answer(e, s, rc);
}

static int do_mode(struct ch_engine *e, const struct ch_submit *s)
{
	const struct mode_value mode = {s->mode, s->owner, s->group};
	struct edit x;
	int rc = edit_there(e, s, &x);

	if (rc == 0)
		rc = set_mode(e, &x.r, s->of_spec, &mode);
	if (rc == 0)
		rc = edit_save(e, s, &x);
	edit_close(&x);
	return edit_answer(e, s, rc);
}

static int do_forget(struct ch_engine *e, const struct ch_submit *s)
{
	int rc = trash_drop(e, s->trash);

	if (rc == -ENOENT) {
		update_done(e, s->token, rc, "that is not in .trash");
		return 0;
	}
	return edit_answer(e, s, rc);
}

int change_without(struct ch_engine *e, struct ch_bytes name,
		   const struct ch_id *site)
{
	const struct ch_bytes sub = {site->b, sizeof(site->b)};
	struct edit x;
	int rc = edit_open(e, name, &x);

	if (rc == 0 && x.was_stored) {
		/* In an image of a deletion that was overruled it would be in
		 * still. */
		if (resource_is_there(&x.r))
			rc = change_settle(e, &x.r);
		record_drop(&x.r, ENTRY_SITE, sub, NULL);
		record_drop(&x.r, ENTRY_WITNESS, sub, NULL);
		record_drop(&x.r, ENTRY_PATCH, sub, NULL);
		if (rc == 0)
			rc = keep_hold(e, &x.r, true);
		if (rc == 0)
			rc = keep_save(e, &x.r, &x.old, x.seq, NULL, NULL);
	}
	edit_close(&x);
	return rc;
}

static int submit(struct ch_engine *e, const struct ch_submit *s)
{
	switch (s->op) {
	case CH_MKDIR:
		return do_mkdir(e, s);
	case CH_RMDIR:
		return do_rmdir(e, s);
	case CH_SITE_ADD:
		return do_site_add(e, s);
	case CH_SITE_DEL:
		return do_site_del(e, s);
	case CH_WRITE:
		return write_file(e, s);
	case CH_MODE:
		return do_mode(e, s);
	case CH_RENAME:
		return move_rename(e, s);
	case CH_RESTORE:
		return restore_trash(e, s);
	case CH_FORGET:
		return do_forget(e, s);
	case CH_LET_GO:
		return guard_let_go(e, s);
	case CH_KEEP:
		return restore_held(e, s);
	case CH_SITE_GONE:
		return gone_declare(e, s);
	case CH_ADDRESS:
		return member_set_address(e, s);
	case CH_LABELS:
		return member_set_labels(e, s);
	case CH_WAIT:
		return wait_start(e, s);
	case CH_DISCARD:
		return discard_submit(e, s);
	}
	return 0;
}

int change_submit(struct ch_engine *e, const struct ch_submit *s)
{
	int rc;

	e->user = s->user;
	rc = submit(e, s);
	e->user = ch_str("");
	return rc;
}
