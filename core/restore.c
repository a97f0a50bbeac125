/* restore.c -- what was deleted, or is held, comes back. */
#include <errno.h>

#include "core/edit.h"
#include "core/gone.h"
#include "core/name.h"

static const struct vv nothing; /* A write that replaces none. */

/* Entries of an image become writes of ours; @anew: of a new lineage. */
static int restore(struct ch_engine *e, struct record *r,
		   const struct stored_trash *t, bool anew,
		   struct ch_bytes user)
{
	struct entry was, made = {.type = ENTRY_MADE, .user = user};
	uint64_t held, end;
	size_t pos = 0;
	int rc = hold_left(e, r, &held, &end), more = 0;

	while (image_next(t->image, &pos, &was) > 0)
		if (was.type == ENTRY_MADE && was.renames >= made.renames) {
			made.renames = was.renames;
			made.from = was.from;
		}
	made.hlc = engine_hlc(e);
	pos = 0;
	if (rc == 0)
		rc = change_clear(e, r, &t->lineage);
	if (rc == 0)
		rc = move_make(e, r, &t->lineage, t->name, &made);
	if (rc == 0 && !resource_is_witness(r, &e->cfg.self))
		rc = sites_set(e, r, ENTRY_WITNESS, &e->cfg.self,
			       engine_name(e), true);
	if (rc == 0)
		rc = edit_hold(e, r, held, user);
	while (rc == 0 && (more = image_next(t->image, &pos, &was)) > 0) {
		struct site_value value;
		struct ch_id site;

		switch (was.type) {
		case ENTRY_MADE:
		case ENTRY_WITNESS:
		case ENTRY_HOLD: /* What was left of it is there already. */
			break;
		case ENTRY_SITE:
			if (entry_site(&was, &site) == 0 &&
			    site_value_decode(was.value, &value) == 0 &&
			    !gone_has(e, &site))
				rc = sites_set(e, r, ENTRY_SITE, &site,
					       value.name, true);
			break;
		default:
			/* Concurrent ones stay concurrent: they see no dots.
			 * The bodies of bases are not kept in .trash. */
			was.has_base = false;
			was.origin_name.len = 0;
			if (anew && was.type == ENTRY_SPEC)
				was.lineage = t->lineage;
			rc = edit_put(e, r, &nothing, &was);
			break;
		}
	}
	return rc == 0 && more < 0 ? more : rc;
}

/* May @t come back? 0; 1: no, and @s is answered. Under another name, where
 * nothing is known any more of what it was, it is a resource of its own, see
 * *ret_anew: else it could come back so here and otherwise elsewhere. */
static int check_elsewhere(struct ch_engine *e, const struct ch_submit *s,
			   const struct stored_trash *t, bool *ret_anew)
{
	bool other = !ch_bytes_equal(t->name, s->name);
	struct record r, now;
	struct entry was;
	size_t pos = 0;
	uint64_t seq;
	int rc;

	record_init(&r);
	record_init(&now);
	rc = keep_load(e, t->name, &r, &seq);
	*ret_anew = other && rc == -ENOENT;
	if (rc == -ENOENT) {
		rc = 0;
		goto out;
	}
	while (other && rc == 0 && image_next(t->image, &pos, &was) > 0)
		if ((was.type == ENTRY_MADE || was.type == ENTRY_SPEC) &&
		    id_cmp(&was.lineage, &t->lineage) != 0) {
			update_done(e, s->token, -EBUSY,
				    "these were two resources of one name: "
				    "bring them back under it");
			rc = 1;
		}
	if (rc == 0 && resource_has_lineage(&r, &t->lineage)) {
		update_done(e, s->token, -EBUSY, "it lives on as '%.*s'",
			    (int)r.name.len, (const char *)r.name.p);
		rc = 1;
	}
	if (rc == 0 && resource_moved(&r, &t->lineage)) {
		rc = move_find(e, &r, &t->lineage, &now);
		if (rc == 0 ||
		    (rc == 1 && resource_has_lineage(&now, &t->lineage))) {
			update_done(e, s->token, -EBUSY, "%s",
				    "it was renamed, and lives on");
			rc = 1;
		} else if (rc == 1 || rc == -ENOENT) {
			rc = 0;
		}
	}
out:
	record_release(&now);
	record_release(&r);
	return rc;
}

struct ower {
	struct ch_engine *e;
	struct record *r;
};

static int owe_site(void *arg, const struct resource_site *s)
{
	struct ower *x = arg;

	return !s->out || resource_site_in(x->r, &s->id)
		       ? 0
		       : sites_set(x->e, x->r, ENTRY_SITE, &s->id, s->name,
				   false);
}

/* Who has yet to remove what was called @name has yet to remove @r. */
static int owe(struct ch_engine *e, struct record *r, struct ch_bytes name)
{
	struct ower x = {e, r};
	struct record was;
	uint64_t seq;
	int rc;

	record_init(&was);
	rc = keep_load(e, name, &was, &seq);
	if (rc == 0)
		rc = resource_sites(&was, owe_site, &x);
	record_release(&was);
	return rc == -ENOENT ? 0 : rc;
}

int restore_trash(struct ch_engine *e, const struct ch_submit *s)
{
	struct strbuf value = STRBUF_INIT;
	struct err err = ERR_INIT;
	struct stored_trash t;
	bool anew = false;
	struct edit x;
	int rc = name_check_resource(s->name, &err);

	if (rc < 0) {
		update_done(e, s->token, rc, "%s", err.text);
		return 0;
	}
	rc = edit_open(e, s->name, &x);
	if (rc == 0)
		rc = db_get(e, COL_TRASH, s->trash, &value);
	if (rc == -ENOENT) {
		update_done(e, s->token, rc, "that is not in .trash");
		rc = 1;
	}
	if (rc == 0 && stored_trash_decode(strbuf_bytes(&value), &t) < 0)
		rc = -EIO;
	if (rc == 0 && resource_is_there(&x.r)) {
		update_done(e, s->token, -EEXIST,
			    "there is a resource of that name");
		rc = 1;
	}
	if (rc == 0)
		rc = check_elsewhere(e, s, &t, &anew);
	if (rc == 0 && anew)
		t.lineage = edit_lineage(e, s->name);
	if (rc == 0)
		rc = restore(e, &x.r, &t, anew, s->user);
	if (rc == -EPROTO) {
		update_done(e, s->token, -EIO, "its record is damaged");
		rc = 1;
	}
	if (rc == 0 && !anew && !ch_bytes_equal(t.name, s->name))
		rc = owe(e, &x.r, t.name);
	if (rc == 0)
		rc = edit_save(e, s, &x);
	if (rc == 0 && !anew && !ch_bytes_equal(t.name, s->name))
		rc = move_restored(e, t.name, resource_made(&x.r, &t.lineage),
				   s->name, s->user);
	if (rc == 0)
		update_notice(e, "restored", s->name, engine_name(e), NULL,
			      s->user, "%s", "");
	if (rc == 0)
		rc = trash_drop(e, s->trash);
	if (rc == -ENOENT)
		rc = 0; /* It went with the record that lives again. */
	strbuf_release(&value);
	edit_close(&x);
	return edit_answer(e, s, rc);
}

/* What is held here as deleted comes back, as it was. */
static int keep_deleted(struct ch_engine *e, const struct ch_submit *s,
			struct edit *x, const struct stored_job *job)
{
	struct stored_trash t = {.name = s->name, .lineage = job->lineage};
	const struct entry *tomb;
	size_t pos = 0;

	while ((tomb = record_next(&x->old, ENTRY_TOMB, &pos)))
		if (!tomb->to.len && id_cmp(&tomb->lineage, &job->lineage) == 0)
			break;
	if (!tomb) {
		update_done(e, s->token, -ENOENT,
			    "what it was is not known here any more");
		return 1;
	}
	t.image = tomb->image;
	return restore(e, &x->r, &t, false, s->user);
}

/* What is held here as withdrawn is in again, and by the driver that has it. */
static int keep_withdrawn(struct ch_engine *e, const struct ch_submit *s,
			  struct edit *x, const struct stored_job *job)
{
	struct entry driver = {.type = ENTRY_DRIVER, .user = s->user};
	int rc = change_settle(e, &x->r);

	if (rc == 0 && (!resource_has_lineage(&x->r, &job->lineage) ||
			!resource_spec(&x->r))) {
		update_done(e, s->token, -EEXIST,
			    "another resource has that name by now");
		return 1;
	}
	driver.value = job->driver;
	if (rc == 0 && !ch_bytes_equal(resource_driver(&x->r), job->driver))
		rc = edit_put(e, &x->r, NULL, &driver);
	if (rc == 0 && !resource_site_in(&x->r, &e->cfg.self))
		rc = sites_set(e, &x->r, ENTRY_SITE, &e->cfg.self,
			       engine_name(e), true);
	return rc;
}

int restore_held(struct ch_engine *e, const struct ch_submit *s)
{
	struct strbuf buf = STRBUF_INIT;
	struct stored_job job;
	struct edit x;
	int rc;

	rc = edit_open(e, s->name, &x);
	if (rc == 0)
		rc = guard_held(e, s->name, &buf, &job);
	if (rc == -ENOENT) {
		update_done(e, s->token, rc, "no such removal is held here");
		rc = 1;
	}
	if (rc == 0)
		rc = resource_is_there(&x.r) ? keep_withdrawn(e, s, &x, &job)
					     : keep_deleted(e, s, &x, &job);
	if (rc == -EPROTO) {
		update_done(e, s->token, -EIO, "its record is damaged");
		rc = 1;
	}
	if (rc == 0)
		rc = edit_save(e, s, &x);
	if (rc == 0)
		update_notice(e, "restored", s->name, engine_name(e), NULL,
			      s->user, "%s", "");
	strbuf_release(&buf);
	edit_close(&x);
	return edit_answer(e, s, rc);
}
