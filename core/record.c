/*
 * record.c -- see record.h.
 *
 * A record, big endian:
 *
 *	u8 format, u8 kind, u16 flags, b16 name
 *	u16 actors, each: site 16, u32 epoch, u32 nonce, u64 seq    (the clock)
 *	u32 entries, each:
 *		u16 type, u8 length, sub, u16 actor (place in the clock),
 *		u64 seq, b32 payload
 *	b32 extra
 *
 * A payload is tags in growing order, each: u8 tag, b32 bytes.
 */
#include "core/record.h"

#include <errno.h>
#include <string.h>

#include "core/check.h"
#include "core/mem.h"

enum tag {
	TAG_LINEAGE = 1, /* 16 bytes */
	TAG_HLC = 2,     /* u64 */
	TAG_USER = 3,
	TAG_BODY = 4,   /* SHA-256, u64 length */
	TAG_BASE = 5,   /* vid, SHA-256, u64 length, u8 syntax */
	TAG_SYNTAX = 6, /* u8 */
	TAG_FLAGS = 7,  /* u32 */
	TAG_VALUE = 8,
	TAG_IMAGE = 9,
	TAG_NUMBER = 10, /* u32 */
	/* 11 is for a signature, 12 for how a body is encrypted. */
	TAG_TO = 13,   /* b16 name; of a TOMB also: dot, u32 renames, vector */
	TAG_FROM = 14, /* u32 renames, b16 names */
	TAG_ORIGIN = 15, /* dot, name */
			 /* A dot: site 16, u32 epoch, u32 nonce, u64 seq. */
};

#define DOT_LEN 32

void record_init(struct record *r)
{
	memset(r, 0, sizeof(*r));
	vv_init(&r->clock);
	arena_init(&r->arena);
}

void record_release(struct record *r)
{
	vv_release(&r->clock);
	mem_free(r->v);
	arena_release(&r->arena);
	record_init(r);
}

int record_new(struct record *r, struct ch_bytes name)
{
	record_release(r);
	r->kind = RECORD_STATE;
	r->name = arena_bytes(&r->arena, name);
	return arena_error(&r->arena);
}

static int reserve(struct record *r, size_t n)
{
	struct entry *v;
	size_t alloc = r->alloc ? r->alloc : 8;

	if (n <= r->alloc)
		return 0;
	while (alloc < n)
		alloc *= 2;
	v = mem_realloc(r->v, alloc * sizeof(*v));
	if (!v)
		return -ENOMEM;
	r->v = v;
	r->alloc = alloc;
	return 0;
}

static int bytes_cmp(struct ch_bytes a, struct ch_bytes b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n ? memcmp(a.p, b.p, n) : 0;

	return c ? c : a.len < b.len ? -1 : a.len > b.len;
}

static int register_cmp(const struct entry *e, uint16_t type,
			struct ch_bytes sub)
{
	if (e->type != type)
		return e->type < type ? -1 : 1;
	return bytes_cmp(e->sub, sub);
}

/* R3's order. */
static int entry_cmp(const struct entry *a, const struct entry *b)
{
	int c = register_cmp(a, b->type, b->sub);

	return c ? c : dot_cmp(&a->dot, &b->dot);
}

/* Put a copy of @e, with its bytes, at its place. */
static int insert(struct record *r, const struct entry *e)
{
	struct entry copy = {.type = e->type, .dot = e->dot};
	size_t i = r->n;

	if (reserve(r, r->n + 1) < 0)
		return -ENOMEM;
	copy.sub = arena_bytes(&r->arena, e->sub);
	copy.payload = arena_bytes(&r->arena, e->payload);
	if (arena_error(&r->arena))
		return -ENOMEM;
	CHECK(entry_parse(&copy) == 0);
	while (i > 0 && entry_cmp(&r->v[i - 1], &copy) > 0)
		i--;
	memmove(r->v + i + 1, r->v + i, (r->n - i) * sizeof(*r->v));
	r->v[i] = copy;
	r->n++;
	return 0;
}

static void put_tag(struct strbuf *sb, enum tag tag, const void *p, size_t len)
{
	wire_put_u8(sb, (uint8_t)tag);
	wire_put_b32(sb, (struct ch_bytes){p, len});
}

static void put_tag_int(struct strbuf *sb, enum tag tag, uint64_t v, size_t n)
{
	wire_put_u8(sb, (uint8_t)tag);
	wire_put_u32(sb, (uint32_t)n);
	if (n == 8)
		wire_put_u64(sb, v);
	else if (n == 4)
		wire_put_u32(sb, (uint32_t)v);
	else
		wire_put_u8(sb, (uint8_t)v);
}

static void put_dot(struct strbuf *sb, const struct dot *d)
{
	wire_put_raw(sb, d->actor.site.b, 16);
	wire_put_u32(sb, d->actor.epoch);
	wire_put_u32(sb, d->actor.nonce);
	wire_put_u64(sb, d->seq);
}

static void get_dot(struct wire *w, struct dot *d)
{
	wire_copy(w, d->actor.site.b, 16);
	d->actor.epoch = wire_u32(w);
	d->actor.nonce = wire_u32(w);
	d->seq = wire_u64(w);
}

static void put_to(struct strbuf *sb, const struct entry *e)
{
	bool tomb = e->type == ENTRY_TOMB;

	wire_put_u8(sb, TAG_TO);
	wire_put_u32(sb, (uint32_t)(2 + e->to.len +
				    (tomb ? DOT_LEN + 4 + e->seen.len : 0)));
	wire_put_b16(sb, e->to);
	if (!tomb)
		return;
	put_dot(sb, &e->made);
	wire_put_u32(sb, e->renames);
	wire_put_raw(sb, e->seen.p, e->seen.len);
}

static void put_origin(struct strbuf *sb, const struct dot *d,
		       struct ch_bytes name)
{
	wire_put_u8(sb, TAG_ORIGIN);
	wire_put_u32(sb, (uint32_t)(DOT_LEN + name.len));
	put_dot(sb, d);
	wire_put_raw(sb, name.p, name.len);
}

void entry_payload(const struct entry *e, struct strbuf *sb)
{
	if (!id_is_zero(&e->lineage))
		put_tag(sb, TAG_LINEAGE, e->lineage.b, 16);
	put_tag_int(sb, TAG_HLC, e->hlc, 8);
	if (e->user.len)
		put_tag(sb, TAG_USER, e->user.p, e->user.len);
	if (e->body.len) {
		wire_put_u8(sb, TAG_BODY);
		wire_put_u32(sb, 40);
		wire_put_raw(sb, e->body.hash.b, 32);
		wire_put_u64(sb, e->body.len);
	}
	if (e->has_base) {
		wire_put_u8(sb, TAG_BASE);
		wire_put_u32(sb, 73);
		wire_put_raw(sb, e->base_vid.b, 32);
		wire_put_raw(sb, e->base.hash.b, 32);
		wire_put_u64(sb, e->base.len);
		wire_put_u8(sb, e->base_syntax);
	}
	if (e->syntax)
		put_tag_int(sb, TAG_SYNTAX, e->syntax, 1);
	if (e->flags)
		put_tag_int(sb, TAG_FLAGS, e->flags, 4);
	if (e->value.len)
		put_tag(sb, TAG_VALUE, e->value.p, e->value.len);
	if (e->image.len)
		put_tag(sb, TAG_IMAGE, e->image.p, e->image.len);
	if (e->number)
		put_tag_int(sb, TAG_NUMBER, e->number, 4);
	if (e->to.len)
		put_to(sb, e);
	if (e->type == ENTRY_MADE && e->renames) {
		wire_put_u8(sb, TAG_FROM);
		wire_put_u32(sb, (uint32_t)(4 + e->from.len));
		wire_put_u32(sb, e->renames);
		wire_put_raw(sb, e->from.p, e->from.len);
	}
	if (e->origin_name.len)
		put_origin(sb, &e->origin, e->origin_name);
}

const struct dot *entry_origin(const struct entry *e)
{
	return e->origin_name.len ? &e->origin : &e->dot;
}

int entry_from(const struct entry *e, size_t i, struct ch_bytes *ret_name)
{
	struct wire w = wire_of(e->from);

	do {
		*ret_name = wire_b16(&w);
		if (w.bad || !ret_name->len)
			return -ENOENT;
	} while (i-- > 0);
	return 0;
}

/* Where the tag @tag would stand in @payload: behind all that are lower. */
static size_t place_of_tag(struct ch_bytes payload, enum tag tag)
{
	struct wire w = wire_of(payload);
	size_t at = 0;

	while (w.len && wire_u8(&w) < tag) {
		(void)wire_b32(&w);
		if (w.bad)
			break;
		at = payload.len - w.len;
	}
	return at;
}

void entry_payload_moved(const struct entry *e, struct ch_bytes name,
			 struct strbuf *sb)
{
	const char *p = e->payload.p;
	size_t at;

	if (e->origin_name.len) {
		wire_put_raw(sb, p, e->payload.len);
		return;
	}
	at = place_of_tag(e->payload, TAG_ORIGIN);
	wire_put_raw(sb, p, at);
	put_origin(sb, &e->dot, name);
	wire_put_raw(sb, p + at, e->payload.len - at);
}

static void parse_to(struct entry *e, struct wire *in)
{
	e->to = wire_b16(in);
	if (e->type != ENTRY_TOMB) {
		in->len = 0;
		return;
	}
	get_dot(in, &e->made);
	e->renames = wire_u32(in);
	e->seen = wire_raw(in, in->len);
	in->bad |= !e->to.len;
}

int entry_parse(struct entry *e)
{
	struct wire w = wire_of(e->payload);
	int last = 0;

	while (w.len) {
		int tag = wire_u8(&w);
		struct ch_bytes b = wire_b32(&w);
		struct wire in = wire_of(b);

		if (w.bad || tag <= last)
			return -EPROTO;
		last = tag;
		switch (tag) {
		case TAG_LINEAGE:
			wire_copy(&in, e->lineage.b, 16);
			break;
		case TAG_HLC:
			e->hlc = wire_u64(&in);
			break;
		case TAG_USER:
			e->user = wire_raw(&in, b.len);
			break;
		case TAG_BODY:
			wire_copy(&in, e->body.hash.b, 32);
			e->body.len = wire_u64(&in);
			break;
		case TAG_BASE:
			e->has_base = true;
			wire_copy(&in, e->base_vid.b, 32);
			wire_copy(&in, e->base.hash.b, 32);
			e->base.len = wire_u64(&in);
			e->base_syntax = wire_u8(&in);
			break;
		case TAG_SYNTAX:
			e->syntax = wire_u8(&in);
			break;
		case TAG_FLAGS:
			e->flags = wire_u32(&in);
			break;
		case TAG_VALUE:
			e->value = wire_raw(&in, b.len);
			break;
		case TAG_IMAGE:
			e->image = wire_raw(&in, b.len);
			break;
		case TAG_NUMBER:
			e->number = wire_u32(&in);
			break;
		case TAG_TO:
			parse_to(e, &in);
			break;
		case TAG_FROM:
			e->renames = wire_u32(&in);
			e->from = wire_raw(&in, in.len);
			break;
		case TAG_ORIGIN:
			e->origin_at = e->payload.len - w.len - b.len - 5;
			get_dot(&in, &e->origin);
			e->origin_name = wire_raw(&in, in.len);
			in.bad |= !e->origin_name.len;
			break;
		default:
			in.len = 0; /* A later version's: kept as it is. */
			break;
		}
		if (!wire_done(&in))
			return -EPROTO;
	}
	return 0;
}

void entry_vid(const struct entry *e, struct ch_hash *ret_vid)
{
	static const char domain[] = "cheops version 1\n";
	uint8_t fixed[2 + 1 + 16 + 4 + 4 + 8];
	uint8_t *p = fixed;
	const struct dot *dot = entry_origin(e);
	/* A version is the same under each name: what a rename added to its
	 * payload is left out. */
	size_t moved =
		e->origin_name.len ? 5 + DOT_LEN + e->origin_name.len : 0;
	size_t at = moved ? e->origin_at : e->payload.len;
	const struct ch_bytes part[] = {
		{domain, sizeof(domain) - 1},
		{fixed, sizeof(fixed)},
		e->sub,
		{e->payload.p, at},
		{(const char *)e->payload.p + at + moved,
		 e->payload.len - at - moved},
	};

	*p++ = (uint8_t)(e->type >> 8);
	*p++ = (uint8_t)e->type;
	*p++ = (uint8_t)e->sub.len;
	memcpy(p, dot->actor.site.b, 16);
	p += 16;
	for (int i = 24; i >= 0; i -= 8)
		*p++ = (uint8_t)(dot->actor.epoch >> i);
	for (int i = 24; i >= 0; i -= 8)
		*p++ = (uint8_t)(dot->actor.nonce >> i);
	for (int i = 56; i >= 0; i -= 8)
		*p++ = (uint8_t)(dot->seq >> i);
	hash_sum(part, sizeof(part) / sizeof(part[0]), ret_vid);
}

int entry_rank(const struct entry *a, const struct entry *b)
{
	struct ch_hash va, vb;

	if (a->hlc != b->hlc)
		return a->hlc < b->hlc ? -1 : 1;
	entry_vid(a, &va);
	entry_vid(b, &vb);
	return hash_cmp(&va, &vb);
}

void record_encode(const struct record *r, struct strbuf *sb)
{
	wire_put_u8(sb, RECORD_FORMAT);
	wire_put_u8(sb, r->kind);
	wire_put_u16(sb, r->flags);
	wire_put_b16(sb, r->name);
	vv_encode(&r->clock, sb);
	wire_put_u32(sb, (uint32_t)r->n);
	for (size_t i = 0; i < r->n; i++) {
		const struct entry *e = &r->v[i];
		long actor = vv_index(&r->clock, &e->dot.actor);

		CHECK(actor >= 0);
		wire_put_u16(sb, e->type);
		wire_put_u8(sb, (uint8_t)e->sub.len);
		wire_put_raw(sb, e->sub.p, e->sub.len);
		wire_put_u16(sb, (uint16_t)actor);
		wire_put_u64(sb, e->dot.seq);
		wire_put_b32(sb, e->payload);
	}
	wire_put_b32(sb, r->extra);
}

static int decode_entries(struct wire *w, struct record *r)
{
	size_t n = wire_u32(w);

	if (w->bad || n > RECORD_ENTRIES_MAX || w->len < n * 17)
		return -EPROTO;
	if (reserve(r, n) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct entry *e = &r->v[i];
		size_t actor;

		memset(e, 0, sizeof(*e));
		e->type = wire_u16(w);
		e->sub = wire_raw(w, wire_u8(w));
		actor = wire_u16(w);
		e->dot.seq = wire_u64(w);
		e->payload = wire_b32(w);
		if (w->bad || actor >= r->clock.n || !e->dot.seq ||
		    e->dot.seq > r->clock.v[actor].seq ||
		    entry_parse(e) < 0)
			return -EPROTO;
		e->dot.actor = r->clock.v[actor].actor;
		if (i && entry_cmp(&r->v[i - 1], e) >= 0)
			return -EPROTO;
	}
	r->n = n;
	return 0;
}

/* A hostile record could name one dot in two registers. */
static bool dots_are_unique(const struct record *r)
{
	for (size_t i = 0; i < r->n; i++)
		for (size_t k = i + 1; k < r->n; k++)
			if (r->v[i].dot.seq == r->v[k].dot.seq &&
			    dot_cmp(&r->v[i].dot, &r->v[k].dot) == 0)
				return false;
	return true;
}

int record_decode(struct ch_bytes in, struct record *ret_record,
		  struct err *reterr)
{
	struct record r;
	struct wire w;
	int rc = -EPROTO;

	record_init(&r);
	if (reterr)
		reterr->text[0] = '\0';
	if (in.len > RECORD_LEN_MAX)
		return err_set(reterr, -EPROTO, "a record of %zu bytes",
			       in.len);
	w = wire_of(arena_bytes(&r.arena, in));
	if (arena_error(&r.arena)) {
		rc = -ENOMEM;
		goto fail;
	}
	if (wire_u8(&w) != RECORD_FORMAT) {
		rc = err_set(reterr, -EPROTO, "a record of another format");
		goto fail;
	}
	r.kind = wire_u8(&w);
	r.flags = wire_u16(&w);
	r.name = wire_b16(&w);
	rc = vv_decode(&w, &r.clock);
	if (rc < 0)
		goto fail;
	rc = decode_entries(&w, &r);
	if (rc < 0)
		goto fail;
	r.extra = wire_b32(&w);
	rc = -EPROTO;
	if (!wire_done(&w) || !r.name.len || !dots_are_unique(&r))
		goto fail;
	record_release(ret_record);
	*ret_record = r;
	return 0;
fail:
	record_release(&r);
	if (rc == -EPROTO && reterr && !reterr->text[0])
		err_set(reterr, rc, "a record whose bytes make no sense");
	return rc;
}

static int start_like(struct record *r, const struct record *from)
{
	int rc = record_new(r, from->name);

	if (rc < 0)
		return rc;
	r->kind = from->kind;
	r->flags = from->flags;
	r->extra = arena_bytes(&r->arena, from->extra);
	rc = arena_error(&r->arena);
	return rc < 0 ? rc : vv_copy(&r->clock, &from->clock);
}

int record_copy(struct record *to, const struct record *from)
{
	struct record r;
	int rc;

	record_init(&r);
	rc = start_like(&r, from);
	for (size_t i = 0; rc == 0 && i < from->n; i++)
		rc = insert(&r, &from->v[i]);
	if (rc < 0) {
		record_release(&r);
		return rc;
	}
	record_release(to);
	*to = r;
	return 0;
}

static const struct entry *find_dot(const struct record *r,
				    const struct entry *e)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].dot.seq == e->dot.seq &&
		    dot_cmp(&r->v[i].dot, &e->dot) == 0)
			return &r->v[i];
	return NULL;
}

/* Add to @r what of @a survives @b. */
static int add_survivors(struct record *r, const struct record *a,
			 const struct record *b, bool take_shared)
{
	for (size_t i = 0; i < a->n; i++) {
		const struct entry *e = &a->v[i], *twin = find_dot(b, e);
		int rc;

		if (twin) {
			struct ch_hash he, ht;

			if (!take_shared)
				continue;
			/* One dot, two contents: only a forged or a cloned
			 * site can do that. All sites pick the same one. */
			entry_vid(e, &he);
			entry_vid(twin, &ht);
			if (hash_cmp(&he, &ht) < 0)
				e = twin;
		} else if (vv_covers(&b->clock, &e->dot)) {
			continue;
		}
		rc = insert(r, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int record_merge(const struct record *a, const struct record *b,
		 struct record *ret)
{
	const struct record *head = a;
	struct record r;
	int rc;

	/* What later versions put in the header: the greater bytes, so that
	 * the order of joins does not matter. */
	if (bytes_cmp(a->extra, b->extra) < 0)
		head = b;
	record_init(&r);
	rc = start_like(&r, head);
	r.flags = a->flags | b->flags;
	r.kind = a->kind > b->kind ? a->kind : b->kind;
	if (rc == 0)
		rc = vv_join(&r.clock, head == a ? &b->clock : &a->clock);
	if (rc == 0)
		rc = add_survivors(&r, a, b, true);
	if (rc == 0)
		rc = add_survivors(&r, b, a, false);
	if (rc < 0) {
		record_release(&r);
		return rc;
	}
	record_release(ret);
	*ret = r;
	return 0;
}

bool record_equal(const struct record *a, const struct record *b)
{
	if (a->kind != b->kind || a->flags != b->flags || a->n != b->n ||
	    a->clock.n != b->clock.n || !ch_bytes_equal(a->name, b->name) ||
	    !ch_bytes_equal(a->extra, b->extra) ||
	    !vv_includes(&a->clock, &b->clock) ||
	    !vv_includes(&b->clock, &a->clock))
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (entry_cmp(&a->v[i], &b->v[i]) != 0 ||
		    !ch_bytes_equal(a->v[i].payload, b->v[i].payload))
			return false;
	return true;
}

void record_check(const struct record *r)
{
	for (size_t i = 0; i < r->n; i++) {
		CHECK(vv_covers(&r->clock, &r->v[i].dot)); /* R1 */
		if (i)					   /* R3 */
			CHECK(entry_cmp(&r->v[i - 1], &r->v[i]) < 0);
	}
	CHECK(dots_are_unique(r)); /* R2 */
}

static void drop(struct record *r, uint16_t type, struct ch_bytes sub,
		 const struct vv *ctx, const struct dot *but)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++) {
		const struct entry *e = &r->v[i];

		if (register_cmp(e, type, sub) == 0 &&
		    (!ctx || vv_covers(ctx, &e->dot)) &&
		    (!but || dot_cmp(&e->dot, but) != 0))
			continue;
		r->v[n++] = r->v[i];
	}
	r->n = n;
}

void record_drop(struct record *r, uint16_t type, struct ch_bytes sub,
		 const struct vv *ctx)
{
	drop(r, type, sub, ctx, NULL);
}

void record_drop_dot(struct record *r, struct dot dot)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		if (dot_cmp(&r->v[i].dot, &dot) != 0)
			r->v[n++] = r->v[i];
	r->n = n;
}

int record_write(struct record *r, const struct vv *ctx,
		 const struct entry *e)
{
	CHECK(e->payload.len);
	CHECK(e->sub.len <= UINT8_MAX);
	CHECK(!find_dot(r, e)); /* R2 */
	if (insert(r, e) < 0)
		return -ENOMEM;
	if (vv_add(&r->clock, &e->dot.actor, e->dot.seq) < 0) {
		record_drop_dot(r, e->dot);
		return -ENOMEM;
	}
	/* What it replaces: all that was seen, but not itself. */
	drop(r, e->type, e->sub, ctx, &e->dot);
	return 0;
}

const struct entry *record_next(const struct record *r, uint16_t type,
				size_t *pos)
{
	while (*pos < r->n) {
		const struct entry *e = &r->v[(*pos)++];

		if (e->type == type)
			return e;
	}
	return NULL;
}

const struct entry *record_get(const struct record *r, uint16_t type,
			       struct ch_bytes sub)
{
	const struct entry *best = NULL;

	for (size_t i = 0; i < r->n; i++) {
		const struct entry *e = &r->v[i];

		if (register_cmp(e, type, sub) == 0 &&
		    (!best || entry_rank(e, best) > 0))
			best = e;
	}
	return best;
}
