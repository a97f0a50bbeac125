/* change.c -- what users ask for becomes writes of records. */
#include <errno.h>
#include <string.h>

#include "core/context.h"
#include "core/engine.h"
#include "core/gone.h"
#include "core/name.h"
#include "core/place.h"
#include "core/policy.h"
#include "core/rng.h"
#include "core/wire.h"

#define REMOVED_MAX 512 /* Sites that one deletion remembers. */

static const struct vv nothing; /* A write that replaces none. */

/* The record a change is made to, before and after. */
struct edit {
	struct record r, old;
	uint64_t seq;
	bool was_stored; /* Else old is what a certificate knows. */
};

static int edit_open(struct ch_engine *e, struct ch_bytes name, struct edit *x)
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

static void edit_close(struct edit *x)
{
	record_release(&x->r);
	record_release(&x->old);
}

/* 1: it has grown too large, and @s is answered. */
static int edit_save(struct ch_engine *e, const struct ch_submit *s,
		     struct edit *x)
{
	/* A deletion holds all that it deletes; and a withdrawal leads to it. */
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
static int put(struct ch_engine *e, struct record *r, const struct vv *ctx,
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
	return put(e, r, NULL, entry);
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
		rc = put(e, r, NULL, &entry);
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
		rc = put(e, r, NULL, &entry);
	strbuf_release(&v);
	return rc;
}

/* A new lineage of this name, and we its witness. */
static int make(struct ch_engine *e, struct record *r,
		const struct ch_id *lineage, struct ch_bytes user)
{
	struct entry entry = {
		.type = ENTRY_MADE, .lineage = *lineage, .user = user};
	int rc = put(e, r, NULL, &entry);

	if (rc == 0 && !resource_is_witness(r, &e->cfg.self))
		rc = sites_set(e, r, ENTRY_WITNESS, &e->cfg.self,
			       engine_name(e), true);
	return rc;
}

static struct ch_id new_lineage(struct ch_engine *e, struct ch_bytes name)
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
		if (entry->type == ENTRY_SITE && entry_site(entry, &site) == 0 &&
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
	lineage = new_lineage(e, s->name);
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
static int edit_there(struct ch_engine *e, const struct ch_submit *s,
		      struct edit *x)
{
	int rc = edit_open(e, s->name, x);

	if (rc == 0 && !resource_is_there(&x->r)) {
		update_done(e, s->token, -ENOENT, "there is no such resource");
		rc = 1;
	}
	return rc == 0 ? change_settle(e, &x->r) : rc;
}

static int answer(struct ch_engine *e, const struct ch_submit *s, int rc)
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
		rc = put(e, r, &nothing, &tomb);
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
	return answer(e, s, rc);
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
	return answer(e, s, rc);
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
	return answer(e, s, rc);
}

/* What the writer of @entry had before it: as it was at open, else what is
 * @shown now (NULL: nothing). */
static int set_base(struct ch_engine *e, struct entry *entry,
		    const struct ch_submit *s, const struct context *ctx,
		    const struct entry *shown)
{
	int rc = 0;

	if (s->context.len) {
		entry->has_base = ctx->has_base;
		entry->base_vid = ctx->base_vid;
		entry->base = ctx->base;
		entry->base_syntax = ctx->base_syntax;
	} else if (shown) {
		entry->has_base = true;
		entry_vid(shown, &entry->base_vid);
		entry->base = shown->body;
		entry->base_syntax = shown->syntax;
	}
	if (entry->has_base && entry->base.len) {
		/* A base that has been let go of meanwhile is no base. */
		bool has = body_has(e, &entry->base, &rc);

		entry->has_base = has;
	}
	return rc;
}

/* Write @entry in place of what @ctx had seen (NULL: of all). What belongs to
 * one that was renamed is not replaced by another. */
static int put_over(struct ch_engine *e, struct record *r,
		    const struct context *ctx, struct entry *entry)
{
	for (size_t i = 0; i < r->n;) {
		const struct entry *x = &r->v[i];

		if (x->type == entry->type &&
		    ch_bytes_equal(x->sub, entry->sub) &&
		    !entry_is_left(r, x) && (!ctx || context_covers(ctx, r, x)))
			record_drop_dot(r, x->dot);
		else
			i++;
	}
	return put(e, r, &nothing, entry);
}

static int write_spec(struct ch_engine *e, struct record *r,
		      const struct ch_submit *s, const struct context *ctx)
{
	const struct entry *shown = resource_spec(r);
	struct entry entry = {
		.type = ENTRY_SPEC,
		.lineage = resource_lineage(r),
		.user = s->user,
		.body = {s->prepared.hash, s->body.len},
		.syntax = s->prepared.syntax,
		.flags = s->prepared.secret ? ENTRY_SECRET : 0,
	};
	int rc;

	rc = body_put(e, &entry.body.hash, s->body);
	if (rc == 0)
		rc = set_base(e, &entry, s, ctx, shown);
	return rc < 0 ? rc
		      : put_over(e, r, s->context.len ? ctx : NULL, &entry);
}

/* The driver is chosen once, with the first spec. */
static int choose_driver(struct ch_engine *e, struct record *r)
{
	struct entry entry = {.type = ENTRY_DRIVER};

	if (resource_driver(r).len)
		return 0;
	entry.value = ch_str(e->cfg.driver_default);
	return put(e, r, NULL, &entry);
}

static int write_patch(struct ch_engine *e, struct record *r,
		       const struct ch_submit *s, const struct context *ctx,
		       const struct ch_id *site)
{
	struct entry entry = {
		.type = ENTRY_PATCH,
		.sub = {site->b, sizeof(site->b)},
		.user = s->user,
		.body = {s->prepared.hash, s->body.len},
		.syntax = s->prepared.syntax,
		.flags = s->prepared.secret ? ENTRY_SECRET : 0,
	};
	const struct entry *shown = record_get(r, ENTRY_PATCH, entry.sub);
	int rc = 0;

	if (!place_trim(s->body).len) { /* An empty line clears it. */
		entry.body.len = 0;
		entry.syntax = 0;
	}
	if (entry.body.len)
		rc = body_put(e, &entry.body.hash, s->body);
	/* The base of a first patch is {}: there is one, with nothing in it. */
	if (s->context.len ? !ctx->has_base : !shown)
		entry.has_base = true;
	else if (rc == 0)
		rc = set_base(e, &entry, s, ctx, shown);
	return rc < 0 ? rc
		      : put_over(e, r, s->context.len ? ctx : NULL, &entry);
}

static int write_driver(struct ch_engine *e, struct record *r,
			const struct ch_submit *s, const struct context *ctx)
{
	struct entry entry = {.type = ENTRY_DRIVER, .user = s->user};

	entry.value = place_trim(s->body);
	return put_over(e, r, s->context.len ? ctx : NULL, &entry);
}

/* The version that was just written; NULL: none. */
static const struct entry *written(const struct record *r, uint16_t type,
				   const struct context_own *own)
{
	const struct entry *entry;
	size_t pos = 0;

	while ((entry = record_next(r, type, &pos)))
		if (actor_cmp(&entry->dot.actor, &own->actor) == 0 &&
		    entry->dot.seq >= own->from && entry->dot.seq <= own->to)
			return entry;
	return NULL;
}

/* What the same open file wrote before goes: entries of that register which
 * are its own, but for what it has written now. */
static void drop_own(struct record *r, const struct ch_submit *s,
		     const struct ch_id *site, const struct context *ctx)
{
	static const uint16_t type_of[] = {
		[CH_FILE_SPEC] = ENTRY_SPEC,
		[CH_FILE_DRIVER] = ENTRY_DRIVER,
		[CH_FILE_PATCH] = ENTRY_PATCH,
	};
	size_t i = 0;

	if (s->file != CH_FILE_SPEC && s->file != CH_FILE_DRIVER &&
	    s->file != CH_FILE_PATCH)
		return; /* Of sites see sites.c; the others count by key. */
	while (i < r->n) {
		const struct entry *entry = &r->v[i];
		struct ch_id of;

		if (entry->type == type_of[s->file] &&
		    context_is_own(ctx, entry_origin(entry)) &&
		    (s->file != CH_FILE_PATCH ||
		     (entry_site(entry, &of) == 0 && id_cmp(&of, site) == 0))) {
			record_drop_dot(r, entry->dot);
			i = 0;
		} else {
			i++;
		}
	}
}

/* The answer to a write that knew what it had seen: what it has seen now. */
static int answer_written(struct ch_engine *e, const struct ch_submit *s,
			  const struct record *r, const struct context *ctx,
			  uint64_t before)
{
	const struct context_own own = {e->writer, before + 1, e->seq};
	struct strbuf next = STRBUF_INIT;
	int rc;

	if (!s->context.len || e->seq == before)
		return answer(e, s, 0);
	context_encode_next(ctx, &own,
			    written(r,
				    s->file == CH_FILE_PATCH ? ENTRY_PATCH
							     : ENTRY_SPEC,
				    &own),
			    &next);
	rc = strbuf_error(&next);
	if (rc == 0)
		update_written(e, s->token, strbuf_bytes(&next));
	strbuf_release(&next);
	return rc;
}

struct policy_edit {
	struct ch_bytes word[POLICIES]; /* The last line of a key counts. */
};

static int see_policy(void *arg, enum policy_key key, struct ch_bytes word)
{
	struct policy_edit *x = arg;

	x->word[key] = word;
	return 0;
}

/* Each key is a register of its own; what is so already is not written. */
static int write_policy(struct ch_engine *e, struct record *r,
			const struct ch_submit *s, const struct context *ctx)
{
	struct policy_edit x = {.word = {{NULL, 0}}};
	struct err err = ERR_INIT;
	int rc = policy_parse(s->body, see_policy, &x, &err);

	if (rc == -EINVAL) {
		update_done(e, s->token, rc, "%s", err.text);
		return 1;
	}
	for (size_t i = 0; rc == 0 && i < POLICIES; i++) {
		enum policy_key key = (enum policy_key)i;
		struct entry entry = {.type = ENTRY_POLICY, .user = s->user};

		if (!x.word[i].len ||
		    ch_bytes_equal(resource_policy(r, key), x.word[i]))
			continue;
		entry.sub = ch_str(policy_name(key));
		entry.value = x.word[i];
		rc = put_over(e, r, s->context.len ? ctx : NULL, &entry);
	}
	return rc;
}

static int set_hold(struct ch_engine *e, struct record *r, uint64_t ms,
		    struct ch_bytes user)
{
	struct entry entry = {.type = ENTRY_HOLD, .user = user};
	struct strbuf v = STRBUF_INIT;
	int rc;

	/* Whoever wrote what this one had not seen: the last word counts. */
	record_drop(r, ENTRY_HOLD, ch_str(""), NULL);
	if (!ms)
		return 0;
	hold_value_encode(ms, &v);
	entry.value = strbuf_bytes(&v);
	rc = strbuf_error(&v);
	if (rc == 0)
		rc = put(e, r, NULL, &entry);
	strbuf_release(&v);
	return rc;
}

static int write_hold(struct ch_engine *e, struct record *r,
		      const struct ch_submit *s)
{
	struct err err = ERR_INIT;
	uint64_t ms = 0;
	int rc = hold_parse(s->body, &ms, &err);

	if (rc < 0) {
		update_done(e, s->token, rc, "%s", err.text);
		return 1;
	}
	return set_hold(e, r, ms, s->user);
}

/* A file that was opened under another name of the resource, to be written
 * where that is now. 1: @ret_name. */
static int find_renamed(struct ch_engine *e, const struct ch_submit *s,
			const struct context *ctx, struct strbuf *ret_name)
{
	struct record r, now;
	uint64_t seq;
	int rc;

	record_init(&r);
	record_init(&now);
	rc = keep_load(e, s->name, &r, &seq);
	if (rc == 0 && !resource_has_lineage(&r, &ctx->lineage))
		rc = move_find(e, &r, &ctx->lineage, &now);
	if (rc == 1) {
		strbuf_add(ret_name, now.name.p, now.name.len);
		rc = strbuf_error(ret_name);
		rc = rc < 0 ? rc : 1;
	}
	record_release(&now);
	record_release(&r);
	return rc == -ENOENT ? 0 : rc;
}

static int do_write(struct ch_engine *e, const struct ch_submit *submit)
{
	struct strbuf name = STRBUF_INIT;
	struct ch_submit renamed = *submit, *s = &renamed;
	uint64_t before = 0;
	struct context ctx;
	struct ch_id site = {{0}};
	struct edit x;
	int rc;

	context_init(&ctx);
	memset(&x, 0, sizeof(x));
	rc = s->context.len ? context_decode(s->context, &ctx) : 0;
	if (rc == -EPROTO) {
		update_done(e, s->token, -EIO, "the open file is damaged");
		rc = 1;
	}
	if (rc == 0 && s->context.len)
		rc = find_renamed(e, s, &ctx, &name);
	if (rc == 1 && name.len) {
		s->name = strbuf_bytes(&name);
		rc = 0;
	}
	if (rc == 0)
		rc = edit_there(e, s, &x);
	if (rc == 0 && ch_bytes_equal(ctx.name, s->name))
		vv_clamp(&ctx.clock, &x.r.clock);
	before = e->seq;
	if (rc == 0 && s->file == CH_FILE_PATCH &&
	    (member_id(e, s->site, &site) < 0 ||
	     !resource_site_in(&x.r, &site))) {
		update_done(e, s->token, -ENOENT, "that site is not in");
		rc = 1;
	}
	if (rc == 0 && s->file == CH_FILE_SITES) {
		rc = sites_write(e, &x.r, &x.old, s,
				 s->context.len ? &ctx : NULL);
	} else if (rc == 0 && s->file == CH_FILE_SPEC) {
		rc = write_spec(e, &x.r, s, &ctx);
		if (rc == 0)
			rc = choose_driver(e, &x.r);
	} else if (rc == 0 && s->file == CH_FILE_PATCH) {
		rc = write_patch(e, &x.r, s, &ctx, &site);
	} else if (rc == 0 && s->file == CH_FILE_POLICY) {
		rc = write_policy(e, &x.r, s, &ctx);
	} else if (rc == 0 && s->file == CH_FILE_HOLD) {
		rc = write_hold(e, &x.r, s);
	} else if (rc == 0) {
		rc = write_driver(e, &x.r, s, &ctx);
	}
	if (rc == 0) {
		drop_own(&x.r, s, &site, &ctx);
		rc = edit_save(e, s, &x);
	}
	if (rc == 0)
		rc = answer_written(e, s, &x.r, &ctx, before);
	edit_close(&x);
	context_release(&ctx);
	rc = rc < 0 ? rc : 0;
	strbuf_release(&name);
	return rc;
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
	return answer(e, s, rc);
}

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
		rc = set_hold(e, r, held, user);
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
			rc = put(e, r, &nothing, &was);
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

static int do_restore(struct ch_engine *e, const struct ch_submit *s)
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
		t.lineage = new_lineage(e, s->name);
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
	return answer(e, s, rc);
}

/* What is held here as deleted comes back, as it was. */
static int keep_deleted(struct ch_engine *e, const struct ch_submit *s,
			struct edit *x, const struct stored_job *job)
{
	struct stored_trash t = {.name = s->name, .lineage = job->lineage};
	const struct entry *tomb;
	size_t pos = 0;

	while ((tomb = record_next(&x->old, ENTRY_TOMB, &pos)))
		if (!tomb->to.len &&
		    id_cmp(&tomb->lineage, &job->lineage) == 0)
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
		rc = put(e, &x->r, NULL, &driver);
	if (rc == 0 && !resource_site_in(&x->r, &e->cfg.self))
		rc = sites_set(e, &x->r, ENTRY_SITE, &e->cfg.self,
			       engine_name(e), true);
	return rc;
}

static int do_keep(struct ch_engine *e, const struct ch_submit *s)
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
	return answer(e, s, rc);
}

static int do_forget(struct ch_engine *e, const struct ch_submit *s)
{
	int rc = trash_drop(e, s->trash);

	if (rc == -ENOENT) {
		update_done(e, s->token, rc, "that is not in .trash");
		return 0;
	}
	return answer(e, s, rc);
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
		return do_write(e, s);
	case CH_MODE:
		return do_mode(e, s);
	case CH_RENAME:
		return move_rename(e, s);
	case CH_RESTORE:
		return do_restore(e, s);
	case CH_FORGET:
		return do_forget(e, s);
	case CH_LET_GO:
		return guard_let_go(e, s);
	case CH_KEEP:
		return do_keep(e, s);
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
