/*
 * keep.c -- records and bodies: kept while they are needed, then let go.
 *
 * A body is stored once, under its hash, however many records need it; COL_REF
 * says which do. A body that lost its last reference, or that came before the
 * record that needs it, is marked in COL_SYS ("part/"), and swept later.
 *
 * A record is dropped by a site that does not hold it any more once all who
 * hold it have acknowledged that, and by its last holder once it is deleted:
 * what remains then is a certificate, the clock alone, so that a new resource
 * of that name knows what the old one had seen.
 */
#include <errno.h>
#include <string.h>

#include "core/check.h"
#include "core/engine.h"
#include "core/mem.h"
#include "core/wire.h"

#define SWEEP_MAX 16 /* Bodies looked at in one round. */
#define TRASH_MS (30u * 86400000ull)

enum part_kind {
	PART_COMING = 1, /* Chunks are missing. */
	PART_SPARE = 2,	 /* Whole, but perhaps nobody needs it. */
};

struct part {
	uint8_t kind;
	uint64_t len;
	uint32_t next; /* First chunk that is missing. */
};

/* 0, -ENOENT, below. */
static int part_get(struct ch_engine *e, const struct ch_hash *hash,
		    struct part *ret_part)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	struct wire w;
	int rc;

	key_part(&key, hash);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_get(e, COL_SYS, strbuf_bytes(&key), &value);
	if (rc == 0) {
		w = wire_of(strbuf_bytes(&value));
		ret_part->kind = wire_u8(&w);
		ret_part->len = wire_u64(&w);
		ret_part->next = wire_u32(&w);
		if (!wire_done(&w))
			rc = -EIO;
	}
	strbuf_release(&value);
	strbuf_release(&key);
	return rc;
}

/* NULL: remove the mark. */
static int part_put(struct ch_engine *e, const struct ch_hash *hash,
		    const struct part *part)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	int rc;

	key_part(&key, hash);
	if (part) {
		wire_put_u8(&value, part->kind);
		wire_put_u64(&value, part->len);
		wire_put_u32(&value, part->next);
	}
	rc = key.bad || value.bad ? -ENOMEM : 0;
	if (rc == 0)
		rc = part ? db_put(e, COL_SYS, strbuf_bytes(&key),
				   strbuf_bytes(&value))
			  : db_del(e, COL_SYS, strbuf_bytes(&key));
	strbuf_release(&value);
	strbuf_release(&key);
	return rc;
}

static int chunk_get(struct ch_engine *e, const struct ch_hash *hash,
		     uint32_t no, struct strbuf *ret_value)
{
	struct strbuf key = STRBUF_INIT;
	int rc;

	key_body(&key, hash, no);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_get(e, COL_BODY, strbuf_bytes(&key), ret_value);
	strbuf_release(&key);
	return rc;
}

static int chunk_put(struct ch_engine *e, const struct ch_hash *hash,
		     uint32_t no, struct ch_bytes bytes)
{
	struct strbuf key = STRBUF_INIT;
	int rc;

	key_body(&key, hash, no);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_put(e, COL_BODY, strbuf_bytes(&key), bytes);
	strbuf_release(&key);
	return rc;
}

static uint32_t chunks_of(uint64_t len)
{
	return len ? (uint32_t)((len + CHUNK_LEN - 1) / CHUNK_LEN) : 1;
}

bool keep_has_body(struct ch_engine *e, const struct body_ref *body,
		   int *ret_rc)
{
	struct strbuf value = STRBUF_INIT;
	struct part part;
	int rc;

	*ret_rc = 0;
	rc = part_get(e, &body->hash, &part);
	if (rc == 0 && part.kind == PART_COMING)
		return false;
	if (rc == 0 || rc == -ENOENT)
		rc = chunk_get(e, &body->hash, chunks_of(body->len) - 1,
			       &value);
	strbuf_release(&value);
	if (rc < 0 && rc != -ENOENT)
		*ret_rc = rc;
	return rc == 0;
}

int keep_missing(struct ch_engine *e, const struct body_ref *body,
		 uint32_t *ret_chunk)
{
	struct part part;
	int rc = part_get(e, &body->hash, &part);

	*ret_chunk = 0;
	if (rc == 0 && part.kind == PART_COMING && part.len == body->len)
		*ret_chunk = part.next;
	return rc == -ENOENT ? 0 : rc;
}

int keep_body(struct ch_engine *e, const struct ch_hash *hash,
	      struct ch_bytes body)
{
	const struct part spare = {.kind = PART_SPARE, .len = body.len};
	const struct body_ref ref = {*hash, body.len};
	int rc;

	if (keep_has_body(e, &ref, &rc) || rc < 0)
		return rc;
	for (uint32_t no = 0; rc == 0 && no < chunks_of(body.len); no++) {
		size_t at = (size_t)no * CHUNK_LEN;
		size_t n = body.len - at < CHUNK_LEN ? body.len - at
						     : CHUNK_LEN;

		rc = chunk_put(e, hash, no,
			       (struct ch_bytes){(const char *)body.p + at, n});
	}
	return rc < 0 ? rc : part_put(e, hash, &spare);
}

/* All chunks are here: do they make the body that was announced? */
static int verify(struct ch_engine *e, const struct ch_hash *hash, uint64_t len,
		  bool *ret_good)
{
	uint32_t n = chunks_of(len);
	struct strbuf chunk = STRBUF_INIT, all = STRBUF_INIT;
	struct ch_bytes whole;
	struct ch_hash sum;
	int rc = 0;

	for (uint32_t no = 0; rc == 0 && no < n; no++) {
		rc = chunk_get(e, hash, no, &chunk);
		strbuf_add(&all, chunk.buf, chunk.len);
	}
	if (rc == 0)
		rc = strbuf_error(&all);
	whole = strbuf_bytes(&all);
	hash_sum(&whole, 1, &sum);
	*ret_good = rc == 0 && all.len == len && hash_cmp(&sum, hash) == 0;
	strbuf_release(&all);
	strbuf_release(&chunk);
	return rc == -ENOENT ? 0 : rc;
}

int keep_chunk(struct ch_engine *e, const struct ch_hash *hash, uint32_t no,
	       uint64_t len, struct ch_bytes bytes)
{
	const struct body_ref ref = {*hash, len};
	struct part part = {.kind = PART_COMING, .len = len};
	uint64_t at = (uint64_t)no * CHUNK_LEN;
	uint32_t n;
	bool good;
	int rc;

	if (!len || len > CH_SPEC_MAX || at >= len ||
	    bytes.len != (len - at < CHUNK_LEN ? len - at : CHUNK_LEN))
		return 0;
	n = chunks_of(len);
	if (keep_has_body(e, &ref, &rc))
		return 1;
	if (rc < 0)
		return rc;
	if (n == 1) {
		struct ch_hash sum;

		hash_sum(&bytes, 1, &sum);
		if (hash_cmp(&sum, hash) != 0)
			return 0;
		rc = keep_body(e, hash, bytes);
		return rc < 0 ? rc : 1;
	}
	rc = part_get(e, hash, &part);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	if (part.kind != PART_COMING || part.len != len || part.next != no)
		return 0;
	rc = chunk_put(e, hash, no, bytes);
	if (rc < 0)
		return rc;
	part.next = no + 1;
	if (part.next == n) {
		rc = verify(e, hash, len, &good);
		if (rc < 0)
			return rc;
		if (good)
			part.kind = PART_SPARE;
		else
			part.next = 0;
	}
	rc = part_put(e, hash, &part);
	return rc < 0 ? rc : 1;
}

static int sweep_add(struct ch_engine *e, const struct ch_hash *hash)
{
	if (e->n_sweep == e->alloc_sweep) {
		size_t alloc = e->alloc_sweep ? 2 * e->alloc_sweep : 16;
		struct ch_hash *v;

		v = mem_realloc(e->sweep, alloc * sizeof(*v));
		if (!v)
			return -ENOMEM;
		e->sweep = v;
		e->alloc_sweep = alloc;
	}
	e->sweep[e->n_sweep++] = *hash;
	return 0;
}

static int see_part(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct ch_hash hash;

	(void)value;
	if (key.len != 5 + sizeof(hash.b))
		return 0;
	memcpy(hash.b, (const char *)key.p + 5, sizeof(hash.b));
	return sweep_add(arg, &hash);
}

int keep_start(struct ch_engine *e)
{
	return db_scan(e, COL_SYS, ch_str("part/"), ch_str(""), see_part, e);
}

static int see_any(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	(void)key;
	(void)value;
	*(bool *)arg = true;
	return 1;
}

static int del_chunk(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	(void)value;
	return db_del(arg, COL_BODY, key);
}

/* Runs before the round's first change: what is stored is the truth. */
int keep_sweep(struct ch_engine *e)
{
	for (size_t i = 0; e->n_sweep && i < SWEEP_MAX; i++) {
		const struct ch_hash hash = e->sweep[--e->n_sweep];
		const struct ch_bytes prefix = {hash.b, sizeof(hash.b)};
		struct part part;
		bool needed = false;
		int rc;

		rc = part_get(e, &hash, &part);
		if (rc == -ENOENT)
			continue;
		if (rc == 0)
			rc = db_scan(e, COL_REF, prefix, ch_str(""), see_any,
				     &needed);
		if (rc >= 0 && !needed)
			rc = db_scan(e, COL_BODY, prefix, ch_str(""),
				     del_chunk, e);
		if (rc >= 0)
			rc = part_put(e, &hash, NULL);
		if (rc < 0)
			return rc;
	}
	if (e->n_sweep)
		update_by(e, e->now_ms);
	return 0;
}

struct refs {
	struct ch_engine *e;
	struct ch_hash *v;
	size_t n, alloc;
};

static int see_ref(void *arg, const struct body_ref *body)
{
	struct refs *refs = arg;

	for (size_t i = 0; i < refs->n; i++)
		if (hash_cmp(&refs->v[i], &body->hash) == 0)
			return 0;
	if (refs->n == refs->alloc) {
		size_t alloc = refs->alloc ? 2 * refs->alloc : 8;
		struct ch_hash *v;

		v = mem_realloc(refs->v, alloc * sizeof(*v));
		if (!v)
			return -ENOMEM;
		refs->v = v;
		refs->alloc = alloc;
	}
	refs->v[refs->n++] = body->hash;
	return 0;
}

static bool has_ref(const struct refs *refs, const struct ch_hash *hash)
{
	for (size_t i = 0; i < refs->n; i++)
		if (hash_cmp(&refs->v[i], hash) == 0)
			return true;
	return false;
}

static int ref_add(struct ch_engine *e, const struct ch_hash *hash,
		   struct ch_bytes who)
{
	struct strbuf key = STRBUF_INIT;
	struct part part;
	int rc;

	key_ref(&key, hash, who);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_put(e, COL_REF, strbuf_bytes(&key), ch_str(""));
	strbuf_release(&key);
	if (rc == 0)
		rc = part_get(e, hash, &part);
	if (rc == 0 && part.kind == PART_SPARE)
		rc = part_put(e, hash, NULL);
	return rc == -ENOENT ? 0 : rc;
}

static int ref_del(struct ch_engine *e, const struct ch_hash *hash,
		   struct ch_bytes who)
{
	const struct part spare = {.kind = PART_SPARE};
	struct strbuf key = STRBUF_INIT;
	int rc;

	key_ref(&key, hash, who);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_del(e, COL_REF, strbuf_bytes(&key));
	strbuf_release(&key);
	if (rc == 0)
		rc = part_put(e, hash, &spare);
	return rc < 0 ? rc : sweep_add(e, hash);
}

/* What @who needs was @old (NULL: nothing), and is @r (NULL: nothing). */
static int move_refs(struct ch_engine *e, struct ch_bytes who,
		     const struct record *old, const struct record *r)
{
	struct refs was = {.e = e}, is = {.e = e};
	int rc = 0;

	if (old)
		rc = resource_bodies(old, see_ref, &was);
	if (rc == 0 && r)
		rc = resource_bodies(r, see_ref, &is);
	for (size_t i = 0; rc == 0 && i < is.n; i++)
		if (!has_ref(&was, &is.v[i]))
			rc = ref_add(e, &is.v[i], who);
	for (size_t i = 0; rc == 0 && i < was.n; i++)
		if (!has_ref(&is, &was.v[i]))
			rc = ref_del(e, &was.v[i], who);
	mem_free(was.v);
	mem_free(is.v);
	return rc;
}

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
	bool differs; /* We know more than they sent. */
	size_t others; /* Holders but us. */
	bool only_old; /* Sites that the new record names were seen. */
};

static int push_to(void *arg, const struct resource_site *s)
{
	struct pusher *p = arg;
	struct ch_engine *e = p->e;
	bool need, is_new;
	int rc;

	if (id_cmp(&s->id, &e->cfg.self) == 0)
		return 0;
	p->others++;
	is_new = !p->old || !resource_is_holder(p->old, &s->id);
	if (!p->from)
		need = true;
	else if (id_cmp(&s->id, p->from) == 0)
		need = p->differs;
	else /* Who sent it tells those that it knows of. */
		need = !resource_is_holder(p->theirs, &s->id) ||
		       (is_new && p->differs);
	if (!need && p->old) {
		rc = outbox_has(e, &s->id, p->old_seq);
		if (rc < 0)
			return rc;
		need = rc > 0;
	}
	if (need) {
		rc = outbox_put(e, &s->id, OUT_RECORD, p->r->name, p->old_seq,
				p->seq);
		if (rc < 0)
			return rc;
	}
	return is_new ? plan_report_to(e, p->r->name, &s->id) : 0;
}

/* Whom the old record named and the new one does not: nothing is owed. */
static int owe_nothing(void *arg, const struct resource_site *s)
{
	struct pusher *p = arg;

	if (resource_is_holder(p->r, &s->id))
		return 0;
	return outbox_del(p->e, &s->id, p->old_seq);
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
	return member_name(e, &entry->dot.actor.site);
}

/* Tell people and the kernel what became of @name. */
static int announce(struct ch_engine *e, const struct record *r,
		    const struct record *old)
{
	const struct entry *is = resource_spec(r), *tomb;
	const struct entry *was = old ? resource_spec(old) : NULL;
	bool there = resource_is_there(r);
	bool was_there = old && resource_is_there(old);
	size_t n = resource_versions(r), m = old ? resource_versions(old) : 0;
	struct pusher p = {.e = e, .r = r, .old = old};
	struct version v = {0}, w = {0};
	struct ch_bytes none = ch_str("");
	size_t pos = 0;
	int rc;

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
	if (there && is && !version_equal(&v, &w))
		update_notice(e, "version", r->name, author(e, is), &v,
			      is->user, "%s", "");
	if (n > 1 && m < 2)
		update_notice(e, "conflict", r->name, none, &v, none,
			      "%zu concurrent versions: see conflicts/", n);
	if (there && n < 2 && m > 1)
		update_notice(e, "resolved", r->name, none, &v, none, "%s", "");
	if (was_there && !there && (tomb = record_next(r, ENTRY_TOMB, &pos)))
		update_notice(e, "deleted", r->name, author(e, tomb), NULL,
			      tomb->user, "%s", "");
	return rc;
}

/* NAME@SITE-N, its name cut so that a directory may be called so. */
static void trash_name(const struct record *r, const struct entry *tomb,
		       struct strbuf *sb)
{
	size_t len = r->name.len > 180 ? 180 : r->name.len;
	const unsigned char *p = r->name.p;

	while (len < r->name.len && len && (p[len] & 0xc0) == 0x80)
		len--;
	strbuf_add(sb, r->name.p, len);
	strbuf_addf(sb, "@%.*s-%u", (int)tomb->value.len,
		    (const char *)tomb->value.p, (unsigned)tomb->number);
}

static int put_trash(struct ch_engine *e, const struct record *r,
		     const struct entry *tomb)
{
	struct stored_trash t = {
		.name = r->name,
		.user = tomb->user,
		.site = tomb->dot.actor.site,
		.site_name = tomb->value,
		.lineage = tomb->lineage,
		.deleted_ms = tomb->hlc >> 16,
		.run_ms = e->run_ms + (e->now_ms - e->start_ms),
		.image = tomb->image,
	};
	struct strbuf name = STRBUF_INIT, value = STRBUF_INIT;
	struct strbuf who = STRBUF_INIT;
	struct refs refs = {.e = e};
	struct entry was;
	size_t pos = 0;
	int rc;

	trash_name(r, tomb, &name);
	stored_trash_encode(&t, &value);
	strbuf_add_char(&who, '\0');
	strbuf_add(&who, name.buf, name.len);
	rc = name.bad || value.bad || who.bad ? -ENOMEM : 0;
	if (rc == 0)
		rc = db_put(e, COL_TRASH, strbuf_bytes(&name),
			    strbuf_bytes(&value));
	while (rc == 0 && image_next(tomb->image, &pos, &was) > 0)
		if (was.body.len)
			rc = see_ref(&refs, &was.body);
	for (size_t i = 0; rc == 0 && i < refs.n; i++)
		rc = ref_add(e, &refs.v[i], strbuf_bytes(&who));
	if (rc == 0)
		update_stale(e, CH_STALE_TRASH, strbuf_bytes(&name),
			     ch_str(""), true);
	mem_free(refs.v);
	strbuf_release(&who);
	strbuf_release(&value);
	strbuf_release(&name);
	return rc;
}

/* Tombstones that @old did not have go to .trash, unless it lives on. */
static int fill_trash(struct ch_engine *e, const struct record *r,
		      const struct record *old)
{
	const struct entry *tomb;
	size_t pos = 0;
	int rc = 0;

	if (resource_is_there(r))
		return 0;
	while (rc == 0 && (tomb = record_next(r, ENTRY_TOMB, &pos)))
		if (!old || resource_is_there(old) ||
		    !vv_covers(&old->clock, &tomb->dot))
			rc = put_trash(e, r, tomb);
	return rc;
}

int keep_drop_trash(struct ch_engine *e, struct ch_bytes trash)
{
	struct strbuf value = STRBUF_INIT, who = STRBUF_INIT;
	struct refs refs = {.e = e};
	struct stored_trash t;
	struct entry was;
	size_t pos = 0;
	int rc;

	rc = db_get(e, COL_TRASH, trash, &value);
	if (rc == 0 && stored_trash_decode(strbuf_bytes(&value), &t) < 0)
		rc = -EIO;
	strbuf_add_char(&who, '\0');
	strbuf_add(&who, trash.p, trash.len);
	if (rc == 0)
		rc = strbuf_error(&who);
	while (rc == 0 && image_next(t.image, &pos, &was) > 0)
		if (was.body.len)
			rc = see_ref(&refs, &was.body);
	for (size_t i = 0; rc == 0 && i < refs.n; i++)
		rc = ref_del(e, &refs.v[i], strbuf_bytes(&who));
	if (rc == 0)
		rc = db_del(e, COL_TRASH, trash);
	if (rc == 0)
		update_stale(e, CH_STALE_TRASH, trash, ch_str(""), false);
	mem_free(refs.v);
	strbuf_release(&who);
	strbuf_release(&value);
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

int keep_forget(struct ch_engine *e, const struct record *r)
{
	struct strbuf prefix = STRBUF_INIT, mine = STRBUF_INIT;
	struct eraser x = {e, r->name};
	int rc;

	rc = move_refs(e, r->name, r, NULL);
	if (rc == 0)
		rc = db_del(e, COL_RECORD, r->name);
	strbuf_add(&prefix, r->name.p, r->name.len);
	strbuf_add_char(&prefix, '\0');
	key_report(&mine, r->name, &e->cfg.self);
	if (rc == 0 && (prefix.bad || mine.bad))
		rc = -ENOMEM;
	if (rc == 0) /* One of this round is not found by a scan. */
		rc = db_del(e, COL_REPORT, strbuf_bytes(&mine));
	if (rc == 0)
		rc = db_scan(e, COL_REPORT, strbuf_bytes(&prefix), ch_str(""),
			     del_report, &x);
	strbuf_release(&mine);
	strbuf_release(&prefix);
	return rc;
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

int keep_save(struct ch_engine *e, struct record *r, const struct record *old,
	      uint64_t old_seq, const struct ch_id *from,
	      const struct record *theirs)
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
	rc = fill_trash(e, r, old);
	if (rc == 0)
		rc = move_count(e, old && resource_is_there(old), is);
	if (rc == 0)
		rc = announce(e, r, old);
	if (rc == 0)
		rc = resource_sites(r, push_to, &p);
	if (rc == 0 && old)
		rc = resource_sites(old, owe_nothing, &p);
	if (rc == 0)
		rc = plan_touch(e, r->name);
	if (rc < 0)
		return rc;
	if (!is && p.others == 0 && !resource_site_out(r, &e->cfg.self)) {
		/* Deleted, and nobody else knows of it: a certificate. */
		rc = put_cert(e, r);
		return rc == 0 && old ? keep_forget(e, old) : rc;
	}
	rc = move_refs(e, r->name, old, r);
	if (rc == 0 && is && !old)
		rc = db_del(e, COL_CERT, r->name);
	return rc < 0 ? rc : put_record(e, r, p.seq);
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
	return keep_drop_trash(x->e, key);
}

int keep_expire(struct ch_engine *e)
{
	struct expiry x = {e, e->run_ms + (e->now_ms - e->start_ms)};

	return db_scan(e, COL_TRASH, ch_str(""), ch_str(""), expire_one, &x);
}
