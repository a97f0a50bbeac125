/*
 * trash.c -- what was deleted, kept so that it can be restored.
 *
 * A tombstone carries an image of what it deleted; each holder puts that into
 * COL_TRASH under the same name, with references to the bodies in it.
 */
#include <errno.h>

#include "core/engine.h"

#define TRASH_MS (30u * 86400000ull)

/* NAME@, its name cut so that a directory may be called so. */
static void trash_prefix(struct ch_bytes name, struct strbuf *sb)
{
	size_t len = name.len > 180 ? 180 : name.len;
	const unsigned char *p = name.p;

	while (len < name.len && len && (p[len] & 0xc0) == 0x80)
		len--;
	strbuf_add(sb, name.p, len);
	strbuf_add_char(sb, '@');
}

/* NAME@SITE-N */
static void trash_name(const struct record *r, const struct entry *tomb,
		       struct strbuf *sb)
{
	trash_prefix(r->name, sb);
	strbuf_addf(sb, "%.*s-%u", (int)tomb->value.len,
		    (const char *)tomb->value.p, (unsigned)tomb->number);
}

/* Is there something in @image that a user might want back? */
static bool is_worth_it(struct ch_bytes image)
{
	struct entry was;
	size_t pos = 0;

	while (image_next(image, &pos, &was) > 0)
		if (was.type == ENTRY_SPEC || was.type == ENTRY_SITE ||
		    was.type == ENTRY_PATCH || was.type == ENTRY_DRIVER)
			return true;
	return false;
}

int trash_put(struct ch_engine *e, const struct record *r,
	      const struct entry *tomb)
{
	struct stored_trash t = {
		.name = r->name,
		.user = tomb->user,
		.site = tomb->dot.actor.site,
		.site_name = tomb->value,
		.lineage = tomb->lineage,
		.deleted_ms = tomb->hlc >> 16,
		.run_ms = engine_run(e),
		.image = tomb->image,
	};
	struct strbuf name = STRBUF_INIT, value = STRBUF_INIT;
	struct strbuf who = STRBUF_INIT;
	int rc;

	trash_name(r, tomb, &name);
	stored_trash_encode(&t, &value);
	strbuf_add_char(&who, '\0');
	strbuf_add(&who, name.buf, name.len);
	rc = name.bad || value.bad || who.bad ? -ENOMEM : 0;
	if (rc == 0) /* Of a site that gave a number twice: the last. */
		rc = trash_drop(e, strbuf_bytes(&name));
	if (rc == 0 || rc == -ENOENT)
		rc = db_put(e, COL_TRASH, strbuf_bytes(&name),
			    strbuf_bytes(&value));
	if (rc == 0)
		rc = body_move_image(e, strbuf_bytes(&who), tomb->image, true);
	if (rc == 0)
		update_stale(e, CH_STALE_TRASH, strbuf_bytes(&name), ch_str(""),
			     true);
	strbuf_release(&who);
	strbuf_release(&value);
	strbuf_release(&name);
	return rc;
}

int trash_number(struct ch_engine *e, uint32_t *ret_n)
{
	uint64_t n;
	int rc = db_get_u64(e, COL_SYS, "trash", &n);

	if (rc == 0)
		rc = db_put_u64(e, COL_SYS, "trash", n + 1);
	*ret_n = (uint32_t)(n + 1);
	return rc;
}

static bool lives(const struct record *r, const struct ch_id *lineage)
{
	return resource_has_lineage(r, lineage) || resource_moved(r, lineage);
}

struct reviver {
	struct ch_engine *e;
	const struct record *r;
	struct ch_bytes name; /* That it has, or had. */
};

static int revive_one(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct reviver *x = arg;
	struct stored_trash t;
	int rc;

	if (stored_trash_decode(value, &t) < 0)
		return -EIO;
	if (!ch_bytes_equal(t.name, x->name) || !lives(x->r, &t.lineage))
		return 0;
	rc = trash_drop(x->e, key);
	return rc == -ENOENT ? 0 : rc;
}

static int revive_name(struct ch_engine *e, const struct record *r,
		       struct ch_bytes name)
{
	struct strbuf prefix = STRBUF_INIT;
	struct reviver x = {e, r, name};
	int rc;

	trash_prefix(name, &prefix);
	rc = strbuf_error(&prefix);
	if (rc == 0)
		rc = db_scan(e, COL_TRASH, strbuf_bytes(&prefix), ch_str(""),
			     revive_one, &x);
	strbuf_release(&prefix);
	return rc;
}

/* What is there again, or under another name, leaves .trash. */
static int revive(struct ch_engine *e, const struct record *r,
		  const struct record *old)
{
	struct strbuf prefix = STRBUF_INIT;
	const struct entry *tomb, *made;
	struct ch_bytes name;
	size_t pos = 0;
	int rc = revive_name(e, r, r->name);

	while (rc >= 0 && (made = record_next(r, ENTRY_MADE, &pos)))
		for (size_t i = 0; rc >= 0 && entry_from(made, i, &name) == 0;
		     i++)
			rc = revive_name(e, r, name);
	pos = 0;
	/* What was put there in this very round, no scan finds. */
	while (rc >= 0 && old && (tomb = record_next(old, ENTRY_TOMB, &pos))) {
		if (tomb->to.len || !lives(r, &tomb->lineage))
			continue;
		strbuf_reset(&prefix);
		trash_name(old, tomb, &prefix);
		rc = strbuf_error(&prefix);
		if (rc == 0)
			rc = trash_drop(e, strbuf_bytes(&prefix));
		if (rc == -ENOENT)
			rc = 0;
	}
	strbuf_release(&prefix);
	return rc;
}

int trash_fill(struct ch_engine *e, const struct record *r,
	       const struct record *old)
{
	const struct entry *tomb;
	bool moves = false;
	size_t pos = 0;
	int rc = 0;

	while ((tomb = record_next(r, ENTRY_TOMB, &pos)))
		moves |= tomb->to.len &&
			 (!old || !vv_covers(&old->clock, &tomb->dot));
	if (moves || (resource_is_there(r) && !(old && resource_is_there(old))))
		rc = revive(e, r, old);
	if (resource_is_there(r))
		return rc;
	pos = 0;
	while (rc == 0 && (tomb = record_next(r, ENTRY_TOMB, &pos)))
		if (!tomb->to.len && !lives(r, &tomb->lineage) &&
		    (!old || resource_is_there(old) ||
		     !vv_covers(&old->clock, &tomb->dot)) &&
		    is_worth_it(tomb->image))
			rc = trash_put(e, r, tomb);
	return rc;
}

int trash_drop(struct ch_engine *e, struct ch_bytes trash)
{
	struct strbuf value = STRBUF_INIT, who = STRBUF_INIT;
	struct stored_trash t;
	int rc;

	rc = db_get(e, COL_TRASH, trash, &value);
	if (rc == 0 && stored_trash_decode(strbuf_bytes(&value), &t) < 0)
		rc = -EIO;
	strbuf_add_char(&who, '\0');
	strbuf_add(&who, trash.p, trash.len);
	if (rc == 0)
		rc = strbuf_error(&who);
	if (rc == 0)
		rc = body_move_image(e, strbuf_bytes(&who), t.image, false);
	if (rc == 0)
		rc = db_del(e, COL_TRASH, trash);
	if (rc == 0)
		update_stale(e, CH_STALE_TRASH, trash, ch_str(""), false);
	strbuf_release(&who);
	strbuf_release(&value);
	return rc;
}

struct expiry {
	struct ch_engine *e;
	uint64_t run_ms;
};

static int expire_one(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct expiry *x = arg;
	struct stored_trash t;

	if (stored_trash_decode(value, &t) < 0)
		return -EIO;
	if (x->run_ms < t.run_ms || x->run_ms - t.run_ms < TRASH_MS)
		return 0;
	return trash_drop(x->e, key);
}

int trash_expire(struct ch_engine *e)
{
	struct expiry x = {e, engine_run(e)};

	return db_scan(e, COL_TRASH, ch_str(""), ch_str(""), expire_one, &x);
}
