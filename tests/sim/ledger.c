/*
 * ledger.c -- what was written, and by whom it had been seen.
 *
 * After each step the records that it changed are compared with what they
 * were. Each write gets into the ledger with its dot. A spec may leave a
 * record only by a write whose author had seen it; wherever else one is
 * missing, such a write must exist. What a round did counts once it is stored.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/context.h"
#include "core/wire.h"
#include "tests/sim/world.h"

struct version_known {
	struct version_known *next;
	struct dot dot;
	char *name;
	size_t name_len;
	size_t making;    /* Site + 1 whose round it is in; 0: stored. */
	uint32_t killing; /* Bit for each site with a round that ends it. */
	bool killed;
};

static void to_text(struct ch_bytes b, char text[64])
{
	(void)snprintf(text, 64, "%.*s", (int)(b.len > 60 ? 60 : b.len),
		       (const char *)b.p);
}

int ledger_stored(const struct site *s, struct ch_bytes name,
		  struct record *ret)
{
	const struct ch_reader *reader = store_reader(s->store);
	struct strbuf value = STRBUF_INIT;
	struct wire w;
	int rc = reader->get(reader, COL_RECORD, name, &value);

	if (rc == 0) {
		w = wire_of(strbuf_bytes(&value));
		(void)wire_u64(&w);
		CHECK(record_decode((struct ch_bytes){w.p, w.len}, ret, NULL) ==
		      0);
	}
	strbuf_release(&value);
	return rc;
}

static void held_key(size_t site, struct ch_bytes name, struct strbuf *sb)
{
	strbuf_add_char(sb, (char)site);
	strbuf_add(sb, name.p, name.len);
}

bool ledger_held(const struct world *w, size_t site, struct ch_bytes name)
{
	struct strbuf sb = STRBUF_INIT;
	bool held;

	held_key(site, name, &sb);
	held = map_get(&w->held, strbuf_bytes(&sb)) != NULL;
	strbuf_release(&sb);
	return held;
}

static void note_held(struct world *w, size_t site, struct ch_bytes name)
{
	struct strbuf sb = STRBUF_INIT;

	held_key(site, name, &sb);
	CHECK(map_put(&w->held, strbuf_bytes(&sb), w) == 0);
	strbuf_release(&sb);
}

static void show(const struct site *s, const char *what, const struct record *r,
		 bool always)
{
	static const char *const word[] = {"?",    "made",    "spec",
					   "tomb", "driver",  "mode",
					   "site", "witness", "patch"};
	char line[300] = "";
	size_t n = 0;

	for (size_t i = 0; i < r->n && n + 60 < sizeof(line); i++) {
		const struct entry *e = &r->v[i];
		const struct site *by = s, *of = NULL;
		struct site_value value = {.in = false};

		for (size_t k = 0; k < s->w->o.n_sites; k++) {
			const struct site *x = &s->w->site[k];

			if (id_cmp(&x->id, &e->dot.actor.site) == 0)
				by = x;
			if (e->sub.len == 16 &&
			    memcmp(x->id.b, e->sub.p, 16) == 0)
				of = x;
		}
		(void)site_value_decode(e->value, &value);
		n += (size_t)snprintf(line + n, sizeof(line) - n,
				      " %s%s%s%s(%s %u.%llu)",
				      word[e->type < 9 ? e->type : 0],
				      of ? " " : "", of ? of->name : "",
				      !of        ? ""
				      : value.in ? " in"
						 : " out",
				      by->name, (unsigned)e->dot.actor.epoch,
				      (unsigned long long)e->dot.seq);
	}
	if (always)
		world_trace(s->w, s, "%s %.*s:%s", what, (int)r->name.len,
			    (const char *)r->name.p, line);
	else if (s->w->o.verbose)
		fprintf(stderr, "%30s %s %.*s:%s\n", s->name, what,
			(int)r->name.len, (const char *)r->name.p, line);
}

void ledger_show(const struct site *s, struct ch_bytes name)
{
	struct record r;

	record_init(&r);
	if (ledger_stored(s, name, &r) == 0)
		show(s, "has", &r, true);
	else
		world_trace(s->w, s, "has no %.*s", (int)name.len,
			    (const char *)name.p);
	record_release(&r);
}

/* Shadows. */

static struct shadow *shadow_find(struct site *s, struct ch_bytes name)
{
	struct shadow *x = s->shadows;

	while (x && !ch_bytes_equal(x->r.name, name))
		x = x->next;
	return x;
}

static void shadow_drop(struct site *s, struct shadow *x)
{
	struct shadow **at = &s->shadows;

	while (*at != x)
		at = &(*at)->next;
	*at = x->next;
	record_release(&x->r);
	free(x);
}

static void shadow_set(struct site *s, struct shadow *x, struct record *r)
{
	if (!x) {
		x = calloc(1, sizeof(*x));
		CHECK(x);
		record_init(&x->r);
		x->next = s->shadows;
		s->shadows = x;
	}
	record_release(&x->r);
	x->r = *r;
	record_init(r);
}

void ledger_release_site(struct site *s)
{
	while (s->shadows)
		shadow_drop(s, s->shadows);
}

static int load_one(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct wire w = wire_of(value);
	struct record r;

	(void)key;
	(void)wire_u64(&w);
	record_init(&r);
	CHECK(record_decode((struct ch_bytes){w.p, w.len}, &r, NULL) == 0);
	shadow_set(arg, NULL, &r);
	return 0;
}

void ledger_load(struct site *s)
{
	const struct ch_reader *r = store_reader(s->store);

	ledger_release_site(s);
	CHECK(r->scan(r, COL_RECORD, ch_str(""), ch_str(""), load_one, s) == 0);
}

/* Versions. */

static struct version_known *known_find(struct world *w, const struct dot *dot)
{
	struct version_known *k = w->known;

	while (k && dot_cmp(&k->dot, dot) != 0)
		k = k->next;
	return k;
}

static void known_free(struct version_known *k)
{
	free(k->name);
	free(k);
}

static void dot_key(const struct dot *d, struct strbuf *sb)
{
	wire_put_raw(sb, d->actor.site.b, 16);
	wire_put_u32(sb, d->actor.epoch);
	wire_put_u32(sb, d->actor.nonce);
	wire_put_u64(sb, d->seq);
}

static bool is_mine(const struct site *s, const struct dot *d)
{
	return id_cmp(&d->actor.site, &s->id) == 0 &&
	       d->actor.epoch == s->cfg.epoch;
}

/* An entry that the record did not have. One dot is one write for ever. */
static void see_entry(struct site *s, struct ch_bytes name,
		      const struct entry *e)
{
	struct strbuf key = STRBUF_INIT;
	struct world *w = s->w;
	struct ch_hash vid, *was;
	char text[64];

	to_text(name, text);
	entry_vid(e, &vid);
	dot_key(&e->dot, &key);
	was = map_get(&w->dots, strbuf_bytes(&key));
	if (was && hash_cmp(was, &vid) != 0) {
		world_fail(w, "%s: '%s': one dot, two writes", s->name, text);
	} else if (!was && !is_mine(s, &e->dot)) {
		world_fail(w, "%s: '%s': a write from nowhere", s->name, text);
	} else if (!was) {
		was = malloc(sizeof(*was));
		CHECK(was);
		*was = vid;
		CHECK(map_put(&w->dots, strbuf_bytes(&key), was) == 0);
		if (e->type == ENTRY_SPEC) {
			struct version_known *k = calloc(1, sizeof(*k));

			CHECK(k);
			k->dot = e->dot;
			k->name = strndup(name.p, name.len);
			k->name_len = name.len;
			k->making = s->no + 1;
			k->next = w->known;
			w->known = k;
		}
	}
	strbuf_release(&key);
}

/* May this step end a version that its site had? */
static bool may_end(const struct ch_event *ev, const struct entry *e)
{
	const struct ch_submit *s = &ev->u.submit;
	struct context ctx;
	bool seen;

	if (ev->type != CH_SUBMIT)
		return false;
	if (s->op == CH_RMDIR)
		return true;
	if (s->op != CH_WRITE || s->file != CH_FILE_SPEC)
		return false;
	if (!s->context.len)
		return true;
	context_init(&ctx);
	CHECK(context_decode(s->context, &ctx) == 0);
	seen = vv_covers(&ctx.clock, &e->dot);
	context_release(&ctx);
	return seen;
}

/* Has this site just written a merge of what stood in that register? */
static bool is_merged(const struct site *s, const struct record *r,
		      const struct entry *e)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].type == e->type &&
		    ch_bytes_equal(r->v[i].sub, e->sub) &&
		    (r->v[i].flags & ENTRY_MERGED) && is_mine(s, &r->v[i].dot))
			return true;
	return false;
}

/* Has a user here discarded it, as the store of before this round knows? */
static bool is_discarded(const struct site *s, struct ch_bytes name,
			 const struct entry *e)
{
	const struct ch_reader *reader = store_reader(s->store);
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	bool is;

	key_discard(&key, name, &e->dot);
	is = reader->get(reader, COL_SYS, strbuf_bytes(&key), &value) == 0;
	strbuf_release(&value);
	strbuf_release(&key);
	return is;
}

static void see_end(struct site *s, const struct record *r,
		    const struct ch_event *ev, const struct entry *e)
{
	struct version_known *k = known_find(s->w, &e->dot);
	char text[64];

	to_text(r->name, text);
	if (!k)
		return; /* Of a round that was lost. */
	if (may_end(ev, e) || is_merged(s, r, e) || is_discarded(s, r->name, e))
		k->killing |= 1u << s->no;
	else if (!k->killed && !(k->killing >> s->no & 1))
		world_fail(s->w,
			   "%s: '%s': version %llu went, and nobody had "
			   "seen it who wrote over it",
			   s->name, text, (unsigned long long)e->dot.seq);
}

static bool has_dot(const struct record *r, const struct dot *d)
{
	for (size_t i = 0; i < r->n; i++)
		if (dot_cmp(&r->v[i].dot, d) == 0)
			return true;
	return false;
}

static void see_change(struct site *s, const struct ch_event *ev,
		       const struct record *old, const struct record *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (!old || !has_dot(old, &r->v[i].dot))
			see_entry(s, r->name, &r->v[i]);
	if (!old)
		return;
	if (!vv_includes(&r->clock, &old->clock))
		world_fail(s->w, "%s: a clock went back", s->name);
	for (size_t i = 0; i < old->n; i++)
		if (old->v[i].type == ENTRY_SPEC && !has_dot(r, &old->v[i].dot))
			see_end(s, r, ev, &old->v[i]);
}

struct others {
	const struct site *s;
	size_t n;
};

static int count_other(void *arg, const struct resource_site *s)
{
	struct others *o = arg;

	o->n += id_cmp(&s->id, &o->s->id) != 0;
	return 0;
}

/* A record may go when it does not concern the site any more, or is nothing
 * but a tombstone that nobody else has. */
static void see_drop(struct site *s, const struct ch_event *ev,
		     const struct record *old)
{
	struct others o = {s, 0};
	char text[64];

	(void)ev;
	to_text(old->name, text);
	CHECK(resource_sites(old, count_other, &o) == 0);
	if (!resource_is_holder(old, &s->id) && o.n)
		return;
	if (resource_is_there(old) && s->w->stores_lost)
		return; /* It is set aside: see rejoin.c. */
	if (resource_is_there(old))
		world_fail(s->w, "%s: '%s' goes with its last holder", s->name,
			   text);
	else if (o.n)
		world_fail(s->w,
			   "%s: '%s', a tombstone, goes before others "
			   "know of it",
			   s->name, text);
}

void ledger_step(struct site *s, const struct ch_event *ev, size_t from)
{
	struct ch_batch_op op;
	size_t pos = from;

	while (batch_next(&s->u.store, &pos, &op)) {
		struct shadow *x;
		struct record r;
		struct wire w;

		if (op.col != COL_RECORD)
			continue;
		x = shadow_find(s, op.key);
		if (!op.put) {
			if (x) {
				show(s, "DROPS", &x->r, false);
				see_drop(s, ev, &x->r);
				shadow_drop(s, x);
			}
			continue;
		}
		record_init(&r);
		w = wire_of(op.value);
		(void)wire_u64(&w);
		if (record_decode((struct ch_bytes){w.p, w.len}, &r, NULL)) {
			world_fail(s->w, "%s stores what is no record",
				   s->name);
			return;
		}
		record_check(&r);
		show(s, ev->type == CH_SUBMIT ? "WRITES" : "STORES", &r, false);
		see_change(s, ev, x ? &x->r : NULL, &r);
		shadow_set(s, x, &r);
	}
}

/* `ready` is said of nothing but what the platform confirmed. */
static void check_report(struct site *s, struct ch_bytes value)
{
	struct strbuf bytes = STRBUF_INIT;
	struct view v = site_view(s);
	struct proof *proof;
	struct wire w = wire_of(value);
	struct version want;
	struct desired d;
	struct record r;
	struct report said;
	struct ch_hash h;
	struct ch_bytes b;
	char text[64];

	(void)wire_u64(&w);
	(void)wire_u64(&w);
	CHECK(report_decode((struct ch_bytes){w.p, w.len}, &said) == 0);
	if (id_cmp(&said.site, &s->id) != 0 || said.state != STATE_READY)
		return;
	to_text(said.name, text);
	proof = platform_proof(s, said.name);
	if (proof && proof->said == said.number)
		return; /* Only its place in the outbox has changed. */
	if (proof)
		proof->said = said.number;
	record_init(&r);
	if (ledger_stored(s, said.name, &r) == 0) {
		resource_desired(&r, &s->id, &d);
		want = (struct version){d.vid, d.patch_vid};
		if (!version_equal(&said.healthy, &said.desired))
			world_fail(s->w, "%s: '%s' is ready and not healthy",
				   s->name, text);
		if (!proof || !proof->healthy)
			world_fail(s->w,
				   "%s: '%s' is ready, which nobody "
				   "confirmed",
				   s->name, text);
		if (d.any && version_equal(&want, &said.desired) && proof &&
		    view_effective(&v, &d.spec.hash, &d.patch.hash, &bytes,
				   NULL) == 0) {
			b = strbuf_bytes(&bytes);
			hash_sum(&b, 1, &h);
			if (hash_cmp(&h, &proof->effective) != 0)
				world_fail(s->w,
					   "%s: '%s' is ready with "
					   "another version's bytes",
					   s->name, text);
		}
	}
	record_release(&r);
	strbuf_release(&bytes);
}

static void mark_orphan(struct site *s, const struct ch_batch_op *op)
{
	struct stored_job job;
	struct thing *t;
	char name[300], driver[80];

	if (!op->put || stored_job_decode(op->value, &job) < 0 ||
	    job.phase != JOB_ORPHANED)
		return;
	(void)snprintf(name, sizeof(name), "%.*s", (int)op->key.len,
		       (const char *)op->key.p);
	(void)snprintf(driver, sizeof(driver), "%.*s", (int)job.driver.len,
		       (const char *)job.driver.p);
	t = platform_find(s, driver, name);
	if (t)
		t->orphan = true;
}

void ledger_committed(struct site *s, bool let_out)
{
	struct ch_batch_op op;
	size_t pos = 0;

	(void)let_out;
	for (struct version_known *k = s->w->known; k; k = k->next) {
		if (k->making == s->no + 1)
			k->making = 0;
		if (k->killing >> s->no & 1)
			k->killed = true;
		k->killing &= ~(1u << s->no);
	}
	while (batch_next(&s->u.store, &pos, &op)) {
		if (op.col == COL_RECORD && op.put)
			note_held(s->w, s->no, op.key);
		else if (op.col == COL_REPORT && op.put)
			check_report(s, op.value);
		else if (op.col == COL_JOB)
			mark_orphan(s, &op);
	}
}

void ledger_lost(struct site *s)
{
	struct version_known **at = &s->w->known;

	while (*at) {
		struct version_known *k = *at;

		k->killing &= ~(1u << s->no);
		if (k->making == s->no + 1) {
			*at = k->next;
			known_free(k);
			continue;
		}
		at = &k->next;
	}
}

void ledger_release(struct world *w)
{
	while (w->known) {
		struct version_known *k = w->known;

		w->known = k->next;
		known_free(k);
	}
	map_release(&w->dots, free);
	map_release(&w->held, NULL);
}

/* Is it there, on a site that holds the resource? */
static bool is_held(struct world *w, const struct version_known *k)
{
	const struct ch_bytes name = {k->name, k->name_len};
	bool held = false;

	for (size_t i = 0; i < w->o.n_sites; i++) {
		struct record r;

		record_init(&r);
		if (ledger_stored(&w->site[i], name, &r) == 0)
			held |= resource_is_holder(&r, &w->site[i].id) &&
				has_dot(&r, &k->dot);
		record_release(&r);
	}
	return held;
}

void ledger_judge(struct world *w)
{
	if (w->stores_lost)
		return;
	for (const struct version_known *k = w->known; k; k = k->next)
		if (!k->killed && !k->making && !is_held(w, k))
			world_fail(w, "'%s': a version is lost", k->name);
}
