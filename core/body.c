/*
 * body.c -- bodies: kept while they are needed, then let go.
 *
 * A body is stored once, under its hash, however many records need it; COL_REF
 * says which do. A body that lost its last reference, or that came before the
 * record that needs it, is marked in COL_SYS ("part/"), and swept later.
 */
#include <errno.h>
#include <string.h>

#include "core/engine.h"
#include "core/mem.h"
#include "core/wire.h"

#define SWEEP_MAX 16 /* Bodies looked at in one round. */

enum part_kind {
	PART_COMING = 1, /* Chunks are missing. */
	PART_SPARE = 2,  /* Whole, but perhaps nobody needs it. */
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

static struct ch_bytes bytes_of(const struct ch_hash *hash)
{
	return (struct ch_bytes){hash->b, sizeof(hash->b)};
}

static int chunk_has(struct ch_engine *e, const struct ch_hash *hash,
		     uint32_t no)
{
	struct strbuf key = STRBUF_INIT;
	int rc;

	key_body(&key, hash, no);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_has(e, COL_BODY, strbuf_bytes(&key));
	strbuf_release(&key);
	return rc;
}

/* 1, 0, below. @ret_last: is its last chunk here, whatever else is not? */
static int look(struct ch_engine *e, const struct body_ref *body,
		bool *ret_last)
{
	struct part part;
	uint64_t n;
	int rc;

	*ret_last = true;
	if (db_noted(e, bytes_of(&body->hash), &n))
		return 1;
	rc = chunk_has(e, &body->hash, chunks_of(body->len) - 1);
	*ret_last = rc > 0;
	if (rc <= 0)
		return rc;
	rc = part_get(e, &body->hash, &part);
	return rc == 0 ? part.kind != PART_COMING : rc == -ENOENT ? 1 : rc;
}

bool body_has(struct ch_engine *e, const struct body_ref *body, int *ret_rc)
{
	bool last;
	int rc = look(e, body, &last);

	*ret_rc = rc < 0 ? rc : 0;
	return rc > 0;
}

int body_missing(struct ch_engine *e, const struct body_ref *body,
		 uint32_t *ret_chunk)
{
	struct part part;
	int rc = part_get(e, &body->hash, &part);

	*ret_chunk = 0;
	if (rc == 0 && part.kind == PART_COMING && part.len == body->len)
		*ret_chunk = part.next;
	return rc == -ENOENT ? 0 : rc;
}

static int hash_add(struct ch_hash **v, size_t *n, size_t *alloc,
		    const struct ch_hash *hash)
{
	if (*n == *alloc) {
		size_t more = *alloc ? 2 * *alloc : 16;
		struct ch_hash *fresh;

		fresh = mem_realloc(*v, more * sizeof(*fresh));
		if (!fresh)
			return -ENOMEM;
		*v = fresh;
		*alloc = more;
	}
	(*v)[(*n)++] = *hash;
	return 0;
}

static int chunk_del(struct ch_engine *e, const struct ch_hash *hash,
		     uint32_t no)
{
	struct strbuf key = STRBUF_INIT;

	key_body(&key, hash, no);
	return db_del_key(e, COL_BODY, &key);
}

/* What there may be of a body that is said to be so long. */
static int del_coming(struct ch_engine *e, const struct ch_hash *hash,
		      uint64_t len)
{
	int rc = 0;

	for (uint32_t no = 0; rc == 0 && no < chunks_of(len); no++)
		rc = chunk_del(e, hash, no);
	return rc;
}

/* Chunks that came of what now is put whole; of another length, perhaps. */
static int clear_coming(struct ch_engine *e, const struct ch_hash *hash)
{
	struct part part;
	int rc = part_get(e, hash, &part);

	if (rc == 0 && part.kind == PART_COMING)
		rc = del_coming(e, hash, part.len);
	if (rc == 0)
		rc = part_put(e, hash, NULL);
	return rc == -ENOENT ? 0 : rc;
}

int body_put(struct ch_engine *e, const struct ch_hash *hash,
	     struct ch_bytes body)
{
	const struct body_ref ref = {*hash, body.len};
	bool last;
	int rc = look(e, &ref, &last);

	if (rc)
		return rc < 0 ? rc : 0;
	if (last || chunks_of(body.len) > 1)
		rc = clear_coming(e, hash);
	for (uint32_t no = 0; rc == 0 && no < chunks_of(body.len); no++) {
		size_t at = (size_t)no * CHUNK_LEN;
		size_t n =
			body.len - at < CHUNK_LEN ? body.len - at : CHUNK_LEN;

		rc = chunk_put(e, hash, no,
			       (struct ch_bytes){(const char *)body.p + at, n});
	}
	if (rc == 0 && !e->amnesia)
		rc = db_note(e, bytes_of(hash), 0);
	return rc < 0 ? rc
		      : hash_add(&e->fresh, &e->n_fresh, &e->alloc_fresh, hash);
}

int body_read(struct ch_engine *e, const struct body_ref *body,
	      struct strbuf *out)
{
	struct strbuf chunk = STRBUF_INIT;
	uint32_t n = chunks_of(body->len);
	int rc = 0;

	for (uint32_t no = 0; rc == 0 && no < n; no++) {
		rc = chunk_get(e, &body->hash, no, &chunk);
		if (rc == 0)
			strbuf_add(out, chunk.buf, chunk.len);
	}
	strbuf_release(&chunk);
	return rc < 0 ? rc : strbuf_error(out);
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

/* A body that is whole: its last chunk is short, or there is none behind. */
static int del_whole(struct ch_engine *e, const struct ch_hash *hash)
{
	struct strbuf chunk = STRBUF_INIT;
	int rc;

	for (uint32_t no = 0;; no++) {
		rc = chunk_get(e, hash, no, &chunk);
		if (rc == 0)
			rc = chunk_del(e, hash, no);
		if (rc < 0 || chunk.len < CHUNK_LEN)
			break;
	}
	strbuf_release(&chunk);
	db_unnote(e, bytes_of(hash));
	return rc == -ENOENT ? 0 : rc;
}

int body_chunk(struct ch_engine *e, const struct ch_hash *hash, uint32_t no,
	       uint64_t len, struct ch_bytes bytes)
{
	const struct body_ref ref = {*hash, len};
	struct part part = {.kind = PART_COMING, .len = len};
	uint64_t at = (uint64_t)no * CHUNK_LEN;
	enum body_came came = BODY_PART;
	uint32_t n;
	bool good;
	int rc;

	if (!len || len > CH_SPEC_MAX || at >= len ||
	    bytes.len != (len - at < CHUNK_LEN ? len - at : CHUNK_LEN))
		return BODY_NOT;
	n = chunks_of(len);
	if (body_has(e, &ref, &rc))
		return BODY_NOT;
	if (rc < 0)
		return rc;
	if (n == 1) {
		struct ch_hash sum;

		hash_sum(&bytes, 1, &sum);
		if (hash_cmp(&sum, hash) != 0)
			return BODY_SPOILED;
		rc = body_put(e, hash, bytes);
		return rc < 0 ? rc : BODY_WHOLE;
	}
	rc = part_get(e, hash, &part);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	if (no == 0 && part.len != len) { /* Someone was wrong about it. */
		rc = del_coming(e, hash, part.len);
		if (rc < 0)
			return rc;
		part = (struct part){.kind = PART_COMING, .len = len};
	}
	if (part.kind != PART_COMING || part.len != len || part.next != no)
		return BODY_NOT;
	rc = chunk_put(e, hash, no, bytes);
	if (rc < 0)
		return rc;
	part.next = no + 1;
	if (part.next == n) {
		rc = verify(e, hash, len, &good);
		if (rc < 0)
			return rc;
		came = good ? BODY_WHOLE : BODY_SPOILED;
		if (good)
			part.kind = PART_SPARE;
		else
			part.next = 0;
	}
	rc = part_put(e, hash, &part);
	return rc < 0 ? rc : (int)came;
}

static int sweep_add(struct ch_engine *e, const struct ch_hash *hash)
{
	return hash_add(&e->sweep, &e->n_sweep, &e->alloc_sweep, hash);
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

int body_start(struct ch_engine *e)
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

/* As far as what is stored says. */
static int is_needed(struct ch_engine *e, const struct ch_hash *hash,
		     bool *ret_needed)
{
	uint64_t n;
	int rc;

	*ret_needed = false;
	if (db_noted(e, bytes_of(hash), &n) && n == 0)
		return 0;
	rc = db_scan(e, COL_REF, bytes_of(hash), ch_str(""), see_any,
		     ret_needed);
	return rc < 0 ? rc : 0;
}

/* Runs before the round's first change: what is stored is the truth. */
int body_sweep(struct ch_engine *e)
{
	size_t looked = 0;

	for (size_t i = e->n_sweep; i > 0 && looked < SWEEP_MAX; i--) {
		const struct ch_hash hash = e->sweep[i - 1];
		struct part part;
		bool needed;
		int rc;

		if (plan_uses(e, &hash))
			continue; /* Until that job has ended. */
		e->sweep[i - 1] = e->sweep[--e->n_sweep];
		looked++;
		rc = part_get(e, &hash, &part);
		if (rc == -ENOENT)
			continue;
		if (rc == 0)
			rc = is_needed(e, &hash, &needed);
		if (rc == 0 && !needed)
			rc = part.kind == PART_COMING
				     ? del_coming(e, &hash, part.len)
				     : del_whole(e, &hash);
		if (rc == 0)
			rc = part_put(e, &hash, NULL);
		if (rc < 0)
			return rc;
		parcel_end(e, &hash);
	}
	if (e->n_sweep && looked == SWEEP_MAX)
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

static bool hash_take(struct ch_hash *v, size_t *n, const struct ch_hash *hash)
{
	for (size_t i = *n; i > 0; i--)
		if (hash_cmp(&v[i - 1], hash) == 0) {
			v[i - 1] = v[--*n];
			return true;
		}
	return false;
}

static int ref_add(struct ch_engine *e, const struct ch_hash *hash,
		   struct ch_bytes who)
{
	struct strbuf key = STRBUF_INIT;
	struct part part;
	uint64_t n;
	int rc;

	key_ref(&key, hash, who);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_put(e, COL_REF, strbuf_bytes(&key), ch_str(""));
	strbuf_release(&key);
	parcel_end(e, hash);
	if (rc == 0 && db_noted(e, bytes_of(hash), &n))
		rc = db_note(e, bytes_of(hash), n + 1);
	if (rc < 0 || hash_take(e->fresh, &e->n_fresh, hash) ||
	    hash_take(e->lost, &e->n_lost, hash))
		return rc;
	rc = part_get(e, hash, &part);
	if (rc == 0 && part.kind == PART_SPARE)
		rc = part_put(e, hash, NULL);
	return rc == -ENOENT ? 0 : rc;
}

/* One reference less, and @key was there: 1 when it was the last. */
static int count_down(struct ch_engine *e, const struct ch_hash *hash,
		      struct ch_bytes key)
{
	uint64_t n;
	int rc;

	if (!db_noted(e, bytes_of(hash), &n))
		return 0;
	rc = db_has(e, COL_REF, key);
	if (rc < 0)
		return rc;
	if (rc == 0 || n == 0) {
		db_unnote(e, bytes_of(hash));
		return 0;
	}
	rc = db_note(e, bytes_of(hash), n - 1);
	return rc < 0 ? rc : n == 1;
}

/* Mark it; and is it to be swept soon? */
static int spare(struct ch_engine *e, const struct ch_hash *hash, bool soon)
{
	const struct part part = {.kind = PART_SPARE};
	int rc = part_put(e, hash, &part);

	return rc < 0 || !soon ? rc : sweep_add(e, hash);
}

static int ref_del(struct ch_engine *e, const struct ch_hash *hash,
		   struct ch_bytes who)
{
	struct strbuf key = STRBUF_INIT;
	bool last;
	int rc;

	key_ref(&key, hash, who);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = count_down(e, hash, strbuf_bytes(&key));
	last = rc > 0;
	if (rc >= 0)
		rc = db_del(e, COL_REF, strbuf_bytes(&key));
	strbuf_release(&key);
	if (rc == 0 && last)
		return hash_add(&e->lost, &e->n_lost, &e->alloc_lost, hash);
	return rc < 0 ? rc : spare(e, hash, true);
}

int body_settle(struct ch_engine *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < e->n_fresh; i++)
		rc = spare(e, &e->fresh[i], false);
	for (size_t i = 0; rc == 0 && i < e->n_lost; i++)
		rc = plan_uses(e, &e->lost[i]) ? spare(e, &e->lost[i], true)
					       : del_whole(e, &e->lost[i]);
	e->n_fresh = 0;
	e->n_lost = 0;
	return rc;
}

int body_move_refs(struct ch_engine *e, struct ch_bytes who,
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

int body_move_image(struct ch_engine *e, struct ch_bytes who,
		    struct ch_bytes image, bool needed)
{
	struct refs refs = {.e = e};
	struct entry was;
	size_t pos = 0;
	int rc = 0;

	while (rc == 0 && image_next(image, &pos, &was) > 0)
		if (was.body.len)
			rc = see_ref(&refs, &was.body);
	for (size_t i = 0; rc == 0 && i < refs.n; i++)
		rc = needed ? ref_add(e, &refs.v[i], who)
			    : ref_del(e, &refs.v[i], who);
	mem_free(refs.v);
	return rc;
}
