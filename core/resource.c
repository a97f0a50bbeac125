/* resource.c -- see resource.h. */
#include "core/resource.h"

#include <errno.h>
#include <string.h>

#include "core/mem.h"
#include "core/name.h"
#include "core/wire.h"

static struct ch_bytes id_bytes(const struct ch_id *id)
{
	return (struct ch_bytes){id->b, sizeof(id->b)};
}

int rename_rank(const struct entry *a, const struct entry *b)
{
	if (a->renames != b->renames)
		return a->renames < b->renames ? -1 : 1;
	return dot_cmp(a->type == ENTRY_TOMB ? &a->made : &a->dot,
		       b->type == ENTRY_TOMB ? &b->made : &b->dot);
}

const struct entry *resource_made(const struct record *r,
				  const struct ch_id *lineage)
{
	const struct entry *best = NULL, *e;
	size_t pos = 0;

	while ((e = record_next(r, ENTRY_MADE, &pos)))
		if (id_cmp(&e->lineage, lineage) == 0 &&
		    (!best || rename_rank(e, best) > 0))
			best = e;
	return best;
}

const struct entry *resource_moved(const struct record *r,
				   const struct ch_id *lineage)
{
	const struct entry *best = NULL, *made;

	/* Sorted by type: the few of these stand in front. */
	for (size_t i = 0; i < r->n && r->v[i].type <= ENTRY_TOMB; i++) {
		const struct entry *e = &r->v[i];

		if (e->type == ENTRY_TOMB && e->to.len &&
		    id_cmp(&e->lineage, lineage) == 0 &&
		    (!best || rename_rank(e, best) > 0))
			best = e;
	}
	made = best ? resource_made(r, lineage) : NULL;
	return made && rename_rank(made, best) > 0 ? NULL : best;
}

bool entry_is_alive(const struct record *r, const struct entry *e)
{
	return (e->type == ENTRY_MADE || e->type == ENTRY_SPEC) &&
	       !resource_moved(r, &e->lineage);
}

bool resource_is_there(const struct record *r)
{
	for (size_t i = 0; i < r->n && r->v[i].type <= ENTRY_SPEC; i++)
		if (entry_is_alive(r, &r->v[i]))
			return true;
	return false;
}

bool entry_is_left(const struct record *r, const struct entry *e)
{
	const struct entry *tomb;
	bool any = false;
	size_t pos = 0;

	switch (e->type) {
	case ENTRY_MADE:
	case ENTRY_SPEC:
		return resource_moved(r, &e->lineage) != NULL;
	case ENTRY_TOMB:
		return !e->to.len && resource_moved(r, &e->lineage);
	default:
		break;
	}
	/* These do not say whose they are. They are not of one who is here, or
	 * was deleted here. */
	if (e->to.len || resource_is_there(r))
		return false;
	while ((tomb = record_next(r, ENTRY_TOMB, &pos))) {
		if (!resource_moved(r, &tomb->lineage))
			return false;
		any = true;
	}
	return any;
}

/* Specs of what is here: as record_next(). */
static const struct entry *next_spec(const struct record *r, size_t *pos)
{
	const struct entry *e;

	while ((e = record_next(r, ENTRY_SPEC, pos)))
		if (entry_is_alive(r, e))
			return e;
	return NULL;
}

const struct entry *resource_spec(const struct record *r)
{
	const struct entry *best = NULL, *e;
	size_t pos = 0;

	while ((e = next_spec(r, &pos)))
		if (!best || entry_rank(e, best) > 0)
			best = e;
	return best;
}

size_t resource_versions(const struct record *r)
{
	const struct entry *a, *b;
	size_t pos = 0, n = 0;

	while ((a = next_spec(r, &pos))) {
		size_t at = 0;
		bool seen = false;

		while ((b = next_spec(r, &at)) && b != a)
			if (hash_cmp(&a->body.hash, &b->body.hash) == 0)
				seen = true;
		n += !seen;
	}
	return n;
}

static bool same_register(const struct entry *a, const struct entry *b)
{
	return a->type == b->type && ch_bytes_equal(a->sub, b->sub);
}

bool resource_says_same(const struct entry *a, const struct entry *b)
{
	return same_register(a, b) &&
	       hash_cmp(&a->body.hash, &b->body.hash) == 0 &&
	       ch_bytes_equal(a->value, b->value);
}

/* A version of what has another name by now. */
static bool is_absent(const struct record *r, const struct entry *e)
{
	return e->type == ENTRY_SPEC && !entry_is_alive(r, e);
}

/* Entries of one register stand side by side, see R3. */
static bool is_hidden(const struct record *r, size_t i)
{
	const struct entry *e = &r->v[i], *shown = e;
	size_t lo = i, hi = i + 1;

	while (lo && same_register(&r->v[lo - 1], e))
		lo--;
	while (hi < r->n && same_register(&r->v[hi], e))
		hi++;
	if (is_absent(r, e))
		return false;
	for (size_t k = lo; k < hi; k++)
		if (entry_rank(&r->v[k], shown) > 0 && !is_absent(r, &r->v[k]))
			shown = &r->v[k];
	if (resource_says_same(e, shown))
		return false;
	for (size_t k = lo; k < i; k++)
		if (resource_says_same(e, &r->v[k]) && !is_absent(r, &r->v[k]))
			return false;
	return true;
}

const struct entry *resource_hidden(const struct record *r, size_t *pos)
{
	while (*pos < r->n) {
		size_t i = (*pos)++;

		switch (r->v[i].type) {
		case ENTRY_SPEC:
		case ENTRY_DRIVER:
		case ENTRY_MODE:
		case ENTRY_PATCH:
			if (is_hidden(r, i))
				return &r->v[i];
			break;
		default:
			break;
		}
	}
	return NULL;
}

bool resource_is_torn(const struct record *r, uint16_t type,
		      struct ch_bytes sub)
{
	const struct entry *e;
	size_t pos = 0;

	while ((e = resource_hidden(r, &pos)))
		if (e->type == type && ch_bytes_equal(e->sub, sub))
			return true;
	return false;
}

size_t resource_conflicts(const struct record *r)
{
	const struct entry *e;
	size_t pos = 0, n = 0;

	while ((e = resource_hidden(r, &pos)))
		n += e->type != ENTRY_MODE;
	return n ? n + 1 : 0;
}

bool resource_is_split(const struct record *r)
{
	const struct entry *first, *e;
	size_t pos = 0;

	if (resource_versions(r) < 2)
		return false;
	first = next_spec(r, &pos);
	while ((e = next_spec(r, &pos)))
		if (id_cmp(&e->lineage, &first->lineage) != 0)
			return true;
	return false;
}

struct ch_id resource_lineage(const struct record *r)
{
	const struct entry *best = resource_spec(r), *e;
	size_t pos = 0;

	if (!best)
		while ((e = record_next(r, ENTRY_MADE, &pos)))
			if (entry_is_alive(r, e) &&
			    (!best || entry_rank(e, best) > 0))
				best = e;
	return best ? best->lineage : (struct ch_id){{0}};
}

bool resource_has_lineage(const struct record *r, const struct ch_id *lineage)
{
	for (size_t i = 0; i < r->n; i++)
		if ((r->v[i].type == ENTRY_MADE ||
		     r->v[i].type == ENTRY_SPEC) &&
		    id_cmp(&r->v[i].lineage, lineage) == 0)
			return !resource_moved(r, lineage);
	return false;
}

struct ch_bytes resource_driver(const struct record *r)
{
	const struct entry *e = record_get(r, ENTRY_DRIVER, ch_str(""));

	return e ? e->value : ch_str("");
}

struct ch_bytes resource_policy(const struct record *r, enum policy_key key)
{
	const struct entry *e =
		record_get(r, ENTRY_POLICY, ch_str(policy_name(key)));

	/* A word of a later version says nothing to us. */
	return e && policy_takes(key, e->value) ? e->value
						: ch_str(policy_default(key));
}

bool resource_policy_is(const struct record *r, enum policy_key key,
			const char *word)
{
	return ch_bytes_equal(resource_policy(r, key), ch_str(word));
}

const struct entry *resource_hold(const struct record *r, uint64_t *ret_ms)
{
	const struct entry *e = record_get(r, ENTRY_HOLD, ch_str(""));
	struct wire w;

	if (!e)
		return NULL;
	w = wire_of(e->value);
	*ret_ms = wire_u64(&w);
	return w.bad || !*ret_ms || *ret_ms > HOLD_MS_MAX ? NULL : e;
}

struct mode_value resource_mode(const struct record *r, bool of_spec)
{
	struct mode_value m = {.mode = 0755};
	const struct entry *e;

	e = of_spec ? record_get(r, ENTRY_MODE, ch_str("spec")) : NULL;
	if (e) {
		(void)mode_value_decode(e->value, &m);
		return m;
	}
	e = record_get(r, ENTRY_MODE, ch_str(""));
	if (e)
		(void)mode_value_decode(e->value, &m);
	if (of_spec)
		m.mode &= 0666;
	return m;
}

bool resource_is_secret(const struct record *r)
{
	if ((resource_mode(r, false).mode & 077) == 0)
		return true;
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].flags & ENTRY_SECRET)
			return true;
	return false;
}

const struct entry *resource_patch(const struct record *r,
				   const struct ch_id *site)
{
	const struct entry *e = record_get(r, ENTRY_PATCH, id_bytes(site));

	return e && e->body.len ? e : NULL;
}

uint64_t resource_hlc(const struct record *r)
{
	uint64_t hlc = 0;

	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].hlc > hlc)
			hlc = r->v[i].hlc;
	return hlc;
}

/* Does some entry of that register say @in? Adds win. */
static bool site_says(const struct record *r, uint16_t type,
		      const struct ch_id *site, bool in)
{
	for (size_t i = 0; i < r->n; i++) {
		struct site_value s;

		if (r->v[i].type == type &&
		    ch_bytes_equal(r->v[i].sub, id_bytes(site)) &&
		    site_value_decode(r->v[i].value, &s) == 0 && s.in == in)
			return true;
	}
	return false;
}

bool resource_site_in(const struct record *r, const struct ch_id *site)
{
	const struct entry *e;
	size_t pos = 0;

	if (site_says(r, ENTRY_SITE, site, true))
		return resource_is_there(r);
	if (!resource_is_there(r))
		return false;
	/* A write that did not know of the deletion undoes it whole. */
	while ((e = record_next(r, ENTRY_TOMB, &pos)))
		if (image_has_site(e->image, site))
			return true;
	return false;
}

bool resource_site_out(const struct record *r, const struct ch_id *site)
{
	return !resource_site_in(r, site) &&
	       (site_says(r, ENTRY_SITE, site, false) ||
		site_says(r, ENTRY_SITE, site, true));
}

bool resource_is_witness(const struct record *r, const struct ch_id *site)
{
	return site_says(r, ENTRY_WITNESS, site, true);
}

bool resource_is_holder(const struct record *r, const struct ch_id *site)
{
	return resource_is_witness(r, site) || resource_site_in(r, site) ||
	       resource_site_out(r, site);
}

int entry_site(const struct entry *e, struct ch_id *ret_site)
{
	if (e->sub.len != sizeof(ret_site->b))
		return -EPROTO;
	memcpy(ret_site->b, e->sub.p, sizeof(ret_site->b));
	return 0;
}

struct site_set {
	struct resource_site *v;
	size_t n, alloc;
};

static int set_add(struct site_set *set, const struct entry *e)
{
	struct site_value value;
	struct resource_site *s;
	struct ch_id id;
	size_t i = 0;

	if (entry_site(e, &id) < 0 || site_value_decode(e->value, &value) < 0)
		return 0;
	while (i < set->n && id_cmp(&set->v[i].id, &id) < 0)
		i++;
	if (i == set->n || id_cmp(&set->v[i].id, &id) != 0) {
		if (set->n == set->alloc) {
			size_t alloc = set->alloc ? 2 * set->alloc : 8;

			s = mem_realloc(set->v, alloc * sizeof(*s));
			if (!s)
				return -ENOMEM;
			set->v = s;
			set->alloc = alloc;
		}
		memmove(set->v + i + 1, set->v + i,
			(set->n - i) * sizeof(*set->v));
		set->n++;
		set->v[i] = (struct resource_site){.id = id};
	}
	s = &set->v[i];
	s->name = value.name;
	if (e->type == ENTRY_WITNESS)
		s->witness |= value.in;
	else if (value.in)
		s->in = true;
	else
		s->out = true;
	return 0;
}

int resource_sites(const struct record *r, resource_site_fn *fn, void *arg)
{
	bool there = resource_is_there(r);
	struct site_set set = {NULL, 0, 0};
	const struct entry *e;
	size_t pos = 0;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->n; i++)
		if (r->v[i].type == ENTRY_SITE ||
		    r->v[i].type == ENTRY_WITNESS)
			rc = set_add(&set, &r->v[i]);
	while (rc == 0 && there && (e = record_next(r, ENTRY_TOMB, &pos))) {
		struct entry was;
		size_t at = 0;

		while (rc == 0 && image_next(e->image, &at, &was) > 0)
			if (was.type == ENTRY_SITE)
				rc = set_add(&set, &was);
	}
	for (size_t i = 0; rc == 0 && i < set.n; i++) {
		struct resource_site *s = &set.v[i];

		s->out = there ? s->out && !s->in : s->out || s->in;
		s->in = there && s->in;
		if (s->in || s->out || s->witness)
			rc = fn(arg, s);
	}
	mem_free(set.v);
	return rc;
}

static int entry_bodies(const struct entry *e, resource_body_fn *fn, void *arg)
{
	int rc = 0;

	if (e->body.len)
		rc = fn(arg, &e->body);
	if (rc == 0 && e->has_base && e->base.len)
		rc = fn(arg, &e->base);
	return rc;
}

int resource_bodies(const struct record *r, resource_body_fn *fn, void *arg)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->n; i++) {
		struct entry was;
		size_t at = 0;

		rc = entry_bodies(&r->v[i], fn, arg);
		while (rc == 0 &&
		       image_next(r->v[i].image, &at, &was) > 0)
			if (was.body.len)
				rc = fn(arg, &was.body);
	}
	return rc;
}

void resource_desired(const struct record *r, const struct ch_id *site,
		      struct desired *ret_desired)
{
	const struct entry *spec = resource_spec(r), *patch;
	struct desired d = {.any = false};

	if (spec && resource_site_in(r, site)) {
		d.any = true;
		d.lineage = spec->lineage;
		d.spec = spec->body;
		d.syntax = spec->syntax;
		entry_vid(spec, &d.vid);
		d.secret = resource_is_secret(r);
		patch = resource_patch(r, site);
		if (patch) {
			d.patch = patch->body;
			entry_vid(patch, &d.patch_vid);
		}
	}
	*ret_desired = d;
}

void hold_value_encode(uint64_t ms, struct strbuf *sb)
{
	wire_put_u64(sb, ms);
}

void mode_value_encode(const struct mode_value *m, struct strbuf *sb)
{
	wire_put_u32(sb, m->mode);
	wire_put_b16(sb, m->owner);
	wire_put_b16(sb, m->group);
}

int mode_value_decode(struct ch_bytes b, struct mode_value *ret_mode)
{
	struct wire w = wire_of(b);
	struct mode_value m;

	m.mode = wire_u32(&w) & 07777;
	m.owner = wire_b16(&w);
	m.group = wire_b16(&w);
	if (w.bad)
		return -EPROTO;
	*ret_mode = m;
	return 0;
}

void resource_mode_words(const struct entry *e, struct strbuf *out)
{
	struct mode_value m = {.mode = 0};

	(void)mode_value_decode(e->value, &m);
	strbuf_addf(out, "%04o %.*s %.*s", (unsigned)m.mode,
		    m.owner.len ? (int)m.owner.len : 1,
		    m.owner.len ? (const char *)m.owner.p : "-",
		    m.group.len ? (int)m.group.len : 1,
		    m.group.len ? (const char *)m.group.p : "-");
}

void site_value_encode(const struct site_value *s, struct strbuf *sb)
{
	wire_put_u8(sb, s->in);
	wire_put_b16(sb, s->name);
}

int site_value_decode(struct ch_bytes b, struct site_value *ret_site)
{
	struct wire w = wire_of(b);
	struct site_value s;

	s.in = wire_u8(&w) != 0;
	s.name = wire_b16(&w);
	if (w.bad || (s.name.len && name_check_site(s.name, NULL) < 0))
		return -EPROTO;
	*ret_site = s;
	return 0;
}

static void image_put(struct strbuf *sb, uint16_t type, struct ch_bytes sub,
		      struct ch_bytes payload)
{
	wire_put_u16(sb, type);
	wire_put_u8(sb, (uint8_t)sub.len);
	wire_put_raw(sb, sub.p, sub.len);
	wire_put_b32(sb, payload);
}

static void image_put_site(struct strbuf *sb, const struct resource_site *s)
{
	struct site_value value = {.in = true, .name = s->name};
	struct strbuf v = STRBUF_INIT, payload = STRBUF_INIT;
	struct entry e = {.type = ENTRY_SITE};

	site_value_encode(&value, &v);
	e.value = strbuf_bytes(&v);
	entry_payload(&e, &payload);
	if (v.bad || payload.bad)
		sb->bad = true;
	image_put(sb, ENTRY_SITE, id_bytes(&s->id), strbuf_bytes(&payload));
	strbuf_release(&payload);
	strbuf_release(&v);
}

struct image_maker {
	struct strbuf *sb;
	const struct resource_site *also;
	size_t n_also;
	uint32_t n;
};

static bool is_among(const struct resource_site *v, size_t n,
		     const struct ch_id *id)
{
	for (size_t i = 0; i < n; i++)
		if (id_cmp(&v[i].id, id) == 0)
			return true;
	return false;
}

static int image_site(void *arg, const struct resource_site *s)
{
	struct image_maker *m = arg;

	if (!s->in || is_among(m->also, m->n_also, &s->id))
		return 0;
	image_put_site(m->sb, s);
	m->n++;
	return 0;
}

void image_make(const struct record *r, const struct resource_site *also,
		size_t n_also, struct strbuf *sb)
{
	struct strbuf body = STRBUF_INIT;
	struct image_maker m = {&body, also, n_also, 0};

	for (size_t i = 0; i < r->n; i++) {
		const struct entry *e = &r->v[i];

		if (e->type == ENTRY_SITE || e->type == ENTRY_TOMB ||
		    entry_is_left(r, e))
			continue;
		image_put(&body, e->type, e->sub, e->payload);
		m.n++;
	}
	if (resource_sites(r, image_site, &m) < 0)
		body.bad = true;
	for (size_t i = 0; i < n_also; i++, m.n++)
		image_put_site(&body, &also[i]);
	wire_put_u32(sb, m.n);
	wire_put_raw(sb, body.buf, body.len);
	sb->bad |= body.bad;
	strbuf_release(&body);
}

int image_next(struct ch_bytes image, size_t *pos, struct entry *ret_entry)
{
	struct entry e = {.type = 0};
	struct wire w;

	if (*pos == 0)
		*pos = 4; /* The count is for people with a hex dump. */
	if (*pos >= image.len)
		return 0;
	w = wire_of((struct ch_bytes){(const char *)image.p + *pos,
				      image.len - *pos});
	e.type = wire_u16(&w);
	e.sub = wire_raw(&w, wire_u8(&w));
	e.payload = wire_b32(&w);
	if (w.bad || entry_parse(&e) < 0) {
		*pos = image.len;
		return -EPROTO;
	}
	*pos = image.len - w.len;
	*ret_entry = e;
	return 1;
}

bool image_has_site(struct ch_bytes image, const struct ch_id *site)
{
	struct entry e;
	size_t pos = 0;

	while (image_next(image, &pos, &e) > 0) {
		struct site_value s;

		if (e.type == ENTRY_SITE &&
		    ch_bytes_equal(e.sub, id_bytes(site)) &&
		    site_value_decode(e.value, &s) == 0 && s.in)
			return true;
	}
	return false;
}
