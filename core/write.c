/* write.c -- what users write to the files of a resource. */
#include <errno.h>
#include <string.h>

#include "core/context.h"
#include "core/edit.h"
#include "core/place.h"
#include "core/policy.h"

static const struct vv nothing; /* A write that replaces none. */

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
	return edit_put(e, r, &nothing, entry);
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
	return edit_put(e, r, NULL, &entry);
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
		return edit_answer(e, s, 0);
	context_encode_next(
		ctx, &own,
		written(r, s->file == CH_FILE_PATCH ? ENTRY_PATCH : ENTRY_SPEC,
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

int edit_hold(struct ch_engine *e, struct record *r, uint64_t ms,
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
		rc = edit_put(e, r, NULL, &entry);
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
	return edit_hold(e, r, ms, s->user);
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

int write_file(struct ch_engine *e, const struct ch_submit *submit)
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
