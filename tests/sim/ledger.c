/*
 * ledger.c -- what was written, and by whom it had been seen.
 *
 * After each step the records that it changed are compared with what they
 * were, and with what came in the message that was taken. Each write gets into
 * the ledger with its dot. It may leave a record only by a write whose author
 * had seen it, or with the record's last holder; wherever else one is missing,
 * that must have been. What a round did counts once it is stored.
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
	struct ch_hash vid;
	uint16_t type;
	char *name;
	size_t name_len;
	size_t making;    /* Site + 1 whose round it is in; 0: stored. */
	uint64_t killing; /* Bit for each site with a round that ends it. */
	bool killed, lost;
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
	char line[2000] = "";
	size_t n = 0;

	for (size_t i = 0; i < r->n && n + 320 < sizeof(line); i++) {
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
		if (e->to.len)
			n += (size_t)snprintf(line + n, sizeof(line) - n,
					      ">%.*s", (int)e->to.len,
					      (const char *)e->to.p);
		if (e->renames)
			n += (size_t)snprintf(line + n, sizeof(line) - n, "*%u",
					      (unsigned)e->renames);
		if (e->type == ENTRY_DRIVER)
			n += (size_t)snprintf(line + n, sizeof(line) - n,
					      "=%.*s", (int)e->value.len,
					      (const char *)e->value.p);
		if (!id_is_zero(&e->lineage))
			n += (size_t)snprintf(line + n, sizeof(line) - n,
					      "[%02x]", e->lineage.b[0]);
	}
	if (s->w->o.told_all && !always)
		world_note(s->w, s->no, s->no, " %s %.*s:%s", what,
			   (int)r->name.len, (const char *)r->name.p, line);
	if (always)
		world_trace(s->w, s, "%s %.*s:%s", what, (int)r->name.len,
			    (const char *)r->name.p, line);
	else if (s->w->o.verbose)
		fprintf(stderr, "%30s %s %.*s:%s\n", s->name, what,
			(int)r->name.len, (const char *)r->name.p, line);
}

static void show_job(const struct site *s, struct ch_bytes name)
{
	const struct ch_reader *r = store_reader(s->store);
	struct strbuf buf = STRBUF_INIT;
	struct stored_job job;

	if (r->get(r, COL_JOB, name, &buf) == 0 &&
	    stored_job_decode(strbuf_bytes(&buf), &job) == 0)
		world_trace(s->w, s,
			    "job of %.*s: %.*s '%.*s'[%02x] phase %u guard %u",
			    (int)name.len, (const char *)name.p,
			    (int)job.driver.len, (const char *)job.driver.p,
			    (int)job.object.len, (const char *)job.object.p,
			    job.lineage.b[0], job.phase, job.guard);
	strbuf_release(&buf);
}

void ledger_show(const struct site *s, struct ch_bytes name)
{
	struct record r;

	show_job(s, name);
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

const struct record *ledger_now(const struct site *s, struct ch_bytes name)
{
	const struct shadow *x = s->shadows;

	while (x && !ch_bytes_equal(x->r.name, name))
		x = x->next;
	return x ? &x->r : NULL;
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

static struct shadow *shadow_set(struct site *s, struct shadow *x,
				 struct record *r)
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
	return x;
}

void ledger_release_site(struct site *s)
{
	free(s->pending);
	s->pending = NULL;
	s->n_pending = s->alloc_pending = 0;
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
	(void)shadow_set(arg, NULL, &r);
	return 0;
}

void ledger_load(struct site *s)
{
	const struct ch_reader *r = store_reader(s->store);

	ledger_release_site(s);
	CHECK(r->scan(r, COL_RECORD, ch_str(""), ch_str(""), load_one, s) == 0);
}

/* Writes. */

static void dot_key(const struct dot *d, struct strbuf *sb)
{
	wire_put_raw(sb, d->actor.site.b, 16);
	wire_put_u32(sb, d->actor.epoch);
	wire_put_u32(sb, d->actor.nonce);
	wire_put_u64(sb, d->seq);
}

static struct version_known *known_find(struct world *w, const struct dot *dot)
{
	struct strbuf key = STRBUF_INIT;
	struct version_known *k;

	dot_key(dot, &key);
	k = map_get(&w->dots, strbuf_bytes(&key));
	strbuf_release(&key);
	return k;
}

static void known_free(struct version_known *k)
{
	free(k->name);
	free(k);
}

static bool is_mine(const struct site *s, const struct dot *d)
{
	return id_cmp(&d->actor.site, &s->id) == 0 &&
	       d->actor.epoch == s->cfg.epoch;
}

/* The round under way changes @k: it counts once that is stored. */
static void pend(struct site *s, struct version_known *k)
{
	if (s->n_pending == s->alloc_pending) {
		s->alloc_pending = s->alloc_pending ? 2 * s->alloc_pending : 16;
		s->pending = realloc(s->pending,
				     s->alloc_pending *
					     sizeof(struct version_known *));
		CHECK(s->pending);
	}
	s->pending[s->n_pending++] = k;
}

static void kill_write(struct site *s, struct version_known *k)
{
	k->killing |= 1ull << s->no;
	pend(s, k);
}

static bool is_dead(const struct site *s, const struct version_known *k)
{
	return k->killed || (k->killing >> s->no & 1);
}

static void known_new(struct site *s, struct ch_bytes name,
		      const struct entry *e, const struct ch_hash *vid)
{
	struct version_known *k = calloc(1, sizeof(*k));
	struct strbuf key = STRBUF_INIT;
	struct world *w = s->w;

	CHECK(k);
	k->dot = e->dot;
	k->type = e->type;
	k->vid = *vid;
	k->name = strndup(name.p, name.len);
	k->name_len = name.len;
	k->making = s->no + 1;
	k->next = w->known;
	w->known = k;
	dot_key(&e->dot, &key);
	CHECK(map_put(&w->dots, strbuf_bytes(&key), k) == 0);
	strbuf_release(&key);
	pend(s, k);
	w->tally[TALLY_WRITES]++;
}

/* An entry that the record did not have. One dot is one write for ever. */
static void see_entry(struct site *s, struct ch_bytes name,
		      const struct entry *e)
{
	struct version_known *was = known_find(s->w, &e->dot);
	struct world *w = s->w;
	struct ch_hash vid;
	char text[64];

	to_text(name, text);
	entry_vid(e, &vid);
	if (was && (hash_cmp(&was->vid, &vid) != 0 ||
		    !ch_bytes_equal((struct ch_bytes){was->name, was->name_len},
				    name)))
		world_fail(w, "%s: '%s': one dot, two writes", s->name, text);
	else if (was && was->lost && !w->stores_lost)
		world_fail(w, "%s: '%s': a write that was never stored",
			   s->name, text);
	else if (!was && !is_mine(s, &e->dot))
		world_fail(w, "%s: '%s': a write from nowhere", s->name, text);
	else if (!was)
		known_new(s, name, e, &vid);
}

static bool is_network(const struct ch_event *ev)
{
	return ev->type == CH_RECV || ev->type == CH_ANSWER;
}

/* May this step end a version that its site had? */
static bool may_end(const struct ch_event *ev, const struct record *r,
		    const struct entry *e)
{
	const struct ch_submit *s = &ev->u.submit;
	struct context ctx;
	bool seen;

	if (e->type != ENTRY_SPEC)
		return !is_network(ev);
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
	seen = context_covers(&ctx, r, e);
	context_release(&ctx);
	return seen;
}

/* Has @r a write of this very life in the register of @e? */
static bool is_replaced(const struct site *s, const struct record *r,
			const struct entry *e)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].type == e->type &&
		    ch_bytes_equal(r->v[i].sub, e->sub) &&
		    is_mine(s, &r->v[i].dot))
			return true;
	return false;
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

bool ledger_wants(const struct site *s, const struct ch_id *lineage,
		  struct ch_bytes driver)
{
	for (const struct shadow *x = s->shadows; x; x = x->next) {
		struct ch_bytes word = resource_driver(&x->r);

		if (!word.len)
			word = ch_str(s->cfg.driver_default);
		if (resource_has_lineage(&x->r, lineage) &&
		    resource_site_in(&x->r, &s->id) && resource_spec(&x->r) &&
		    ch_bytes_equal(word, driver))
			return true;
	}
	return false;
}

struct forced {
	const struct ch_id *lineage;
	struct ch_bytes but;
};

static int see_forced(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	const struct forced *x = arg;
	struct stored_job job;

	return !ch_bytes_equal(key, x->but) &&
	       stored_job_decode(value, &job) == 0 && job.phase != JOB_BEGUN &&
	       id_cmp(&job.lineage, x->lineage) == 0;
}

bool ledger_in_force(const struct site *s, const struct ch_id *lineage,
		     struct ch_bytes but)
{
	const struct ch_reader *r = store_reader(s->store);
	struct forced x = {lineage, but};

	return r->scan(r, COL_JOB, ch_str(""), ch_str(""), see_forced, &x) == 1;
}

bool ledger_stays(const struct site *s, const struct record *r)
{
	const struct ch_reader *reader = store_reader(s->store);
	struct strbuf buf = STRBUF_INIT;
	struct stored_job job;
	bool stays = false;

	if (reader->get(reader, COL_JOB, r->name, &buf) == 0 &&
	    stored_job_decode(strbuf_bytes(&buf), &job) == 0 &&
	    !resource_has_lineage(r, &job.lineage))
		for (const struct shadow *x = s->shadows; x; x = x->next)
			stays |= resource_has_lineage(&x->r, &job.lineage) &&
				 resource_is_split(&x->r);
	strbuf_release(&buf);
	return stays;
}

/* It went with a rename: is it, or what had seen it, under another name? */
static bool has_moved(const struct site *s, const struct record *r,
		      const struct entry *e)
{
	struct ch_hash vid, its;

	entry_vid(e, &vid);
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].origin_name.len && r->v[i].has_base &&
		    hash_cmp(&r->v[i].base_vid, &vid) == 0)
			return true; /* What was brought here had seen it. */
	if (e->origin_name.len)      /* A rename brought it: so may another. */
		return true;
	for (size_t i = 0; e->type > ENTRY_TOMB && i < r->n; i++)
		if (r->v[i].type == ENTRY_TOMB && r->v[i].to.len)
			return true; /* These do not say whose they are. */
	if (!resource_moved(r, &e->lineage))
		return false;
	for (const struct shadow *x = s->shadows; x; x = x->next)
		for (size_t i = 0; i < x->r.n; i++) {
			entry_vid(&x->r.v[i], &its);
			if (hash_cmp(&its, &vid) == 0 ||
			    (x->r.v[i].has_base &&
			     hash_cmp(&x->r.v[i].base_vid, &vid) == 0))
				return true;
		}
	return false;
}

/* @e is not in @r, and was in what @r was made of. */
static void see_end(struct site *s, const struct record *r,
		    const struct ch_event *ev, const struct entry *e)
{
	struct version_known *k = known_find(s->w, &e->dot);
	char text[64];

	to_text(r->name, text);
	if (!k)
		return; /* Said to be a write from nowhere already. */
	if (is_dead(s, k) || (s->w->stores_lost && e->type != ENTRY_SPEC))
		return;
	if (may_end(ev, r, e) || is_merged(s, r, e) ||
	    is_discarded(s, r->name, e) ||
	    (e->type != ENTRY_SPEC && is_replaced(s, r, e)) ||
	    has_moved(s, r, e)) {
		kill_write(s, k);
		return;
	}
	ledger_show(s, r->name);
	world_fail(s->w,
		   "%s: '%s': a write went, and nobody had seen it who wrote "
		   "over it: number %llu, of type %d",
		   s->name, text, (unsigned long long)e->dot.seq, (int)e->type);
}

static bool has_dot(const struct record *r, const struct dot *d)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].dot.seq == d->seq && dot_cmp(&r->v[i].dot, d) == 0)
			return true;
	return false;
}

static bool has_tomb(const struct record *r)
{
	size_t pos = 0;

	return record_next(r, ENTRY_TOMB, &pos) != NULL;
}

static bool has_siblings(const struct record *r)
{
	for (size_t i = 1; i < r->n; i++)
		if (r->v[i].type == r->v[i - 1].type &&
		    ch_bytes_equal(r->v[i].sub, r->v[i - 1].sub))
			return true;
	return false;
}

static void count_change(struct site *s, const struct ch_event *ev,
			 const struct record *old, const struct record *r)
{
	struct world *w = s->w;

	if (!is_network(ev))
		return;
	w->tally[TALLY_MERGES]++;
	w->tally[TALLY_SIBLINGS] +=
		has_siblings(r) && !(old && has_siblings(old));
	w->tally[TALLY_OVERRULED] +=
		has_tomb(r) && resource_is_there(r) &&
		!(old && has_tomb(old) && resource_is_there(old));
	w->tally[TALLY_SPLITS] +=
		resource_is_split(r) && !(old && resource_is_split(old));
}

static void see_change(struct site *s, const struct ch_event *ev,
		       const struct record *old, const struct record *r)
{
	count_change(s, ev, old, r);
	for (size_t i = 0; i < r->n; i++)
		if (!old || !has_dot(old, &r->v[i].dot))
			see_entry(s, r->name, &r->v[i]);
	if (!old)
		return;
	if (!vv_includes(&r->clock, &old->clock))
		world_fail(s->w, "%s: a clock went back", s->name);
	for (size_t i = 0; i < old->n; i++)
		if (!has_dot(r, &old->v[i].dot))
			see_end(s, r, ev, &old->v[i]);
}

/* What came in a batch, and was taken, is there; or it was dead before. */
static void see_taken(struct site *s, const struct ch_event *ev)
{
	const struct ch_message *msg =
		ev->type == CH_RECV ? ev->u.recv.msg : ev->u.answer.msg;

	for (size_t i = 0; i < msg->n; i++) {
		const struct ch_frame *f = &msg->v[i];

		for (size_t k = 0; f->type == FRAME_BATCH && k < f->u.batch.n;
		     k++) {
			const struct shadow *x;
			struct record r;

			record_init(&r);
			if (f->u.batch.v[k].kind != ITEM_RECORD ||
			    record_decode(f->u.batch.v[k].bytes, &r, NULL) < 0)
				continue;
			x = shadow_find(s, r.name);
			for (size_t j = 0;
			     x && x->step == s->n_steps && j < r.n; j++)
				if (!has_dot(&x->r, &r.v[j].dot))
					see_end(s, &x->r, ev, &r.v[j]);
			record_release(&r);
		}
	}
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

static void forgot_key(const struct site *s, struct ch_bytes name,
		       struct strbuf *sb)
{
	strbuf_add_char(sb, (char)s->no);
	strbuf_add(sb, name.p, name.len);
}

/* A record may go when it does not concern the site any more, or is nothing
 * but a tombstone that nobody else has. */
static void see_drop(struct site *s, const struct record *old)
{
	struct strbuf key = STRBUF_INIT;
	struct others o = {s, 0};
	char text[64];

	s->w->tally[TALLY_FORGOTTEN]++;
	forgot_key(s, old->name, &key);
	CHECK(map_put(&s->w->forgot, strbuf_bytes(&key), s->w) == 0);
	strbuf_release(&key);
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
	for (size_t i = 0; i < old->n; i++) {
		struct version_known *k = known_find(s->w, &old->v[i].dot);

		if (k && !is_dead(s, k))
			kill_write(s, k);
	}
}

static void see_put(struct site *s, const struct ch_event *ev,
		    const struct ch_batch_op *op)
{
	struct shadow *x = shadow_find(s, op->key);
	struct wire w = wire_of(op->value);
	struct strbuf key = STRBUF_INIT;
	struct record r;

	record_init(&r);
	(void)wire_u64(&w);
	if (record_decode((struct ch_bytes){w.p, w.len}, &r, NULL)) {
		world_fail(s->w, "%s stores what is no record", s->name);
		return;
	}
	record_check(&r);
	show(s, ev->type == CH_SUBMIT ? "WRITES" : "STORES", &r, false);
	see_change(s, ev, x ? &x->r : NULL, &r);
	forgot_key(s, op->key, &key);
	if (!x && map_get(&s->w->forgot, strbuf_bytes(&key)))
		s->w->tally[TALLY_REMADE]++;
	strbuf_release(&key);
	x = shadow_set(s, x, &r);
	x->step = s->n_steps;
}

/* Batches of a life of a site are taken in growing order. */
static void see_cursor(struct site *s, const struct ch_batch_op *op)
{
	const struct ch_reader *reader = store_reader(s->store);
	struct wire is = wire_of(op->value), was;
	struct strbuf old = STRBUF_INIT;
	uint32_t epoch[2], nonce[2];

	if (reader->get(reader, COL_PEER, op->key, &old) == 0) {
		was = wire_of(strbuf_bytes(&old));
		epoch[0] = wire_u32(&was);
		nonce[0] = wire_u32(&was);
		epoch[1] = wire_u32(&is);
		nonce[1] = wire_u32(&is);
		if (epoch[1] < epoch[0] ||
		    (epoch[1] == epoch[0] && nonce[1] == nonce[0] &&
		     wire_u64(&is) < wire_u64(&was)))
			world_fail(s->w,
				   "%s takes an older batch after a "
				   "newer one",
				   s->name);
	}
	strbuf_release(&old);
}

void ledger_step(struct site *s, const struct ch_event *ev, size_t from)
{
	struct ch_batch_op op;
	size_t pos = from;

	s->n_steps++;
	while (batch_next(&s->u.store, &pos, &op)) {
		struct shadow *x;

		if (op.col == COL_PEER && op.put && op.key.len == 16 &&
		    !s->w->stores_lost)
			see_cursor(s, &op);
		s->w->tally[TALLY_CERTIFICATES] += op.col == COL_CERT && op.put;
		if (op.col != COL_RECORD)
			continue;
		if (op.put) {
			see_put(s, ev, &op);
			continue;
		}
		x = shadow_find(s, op.key);
		if (x) {
			show(s, "DROPS", &x->r, false);
			see_drop(s, &x->r);
			shadow_drop(s, x);
		}
	}
	if (is_network(ev) && !s->w->stores_lost)
		see_taken(s, ev);
}

static bool is_stored(const struct site *s, struct ch_bytes key,
		      struct ch_bytes value)
{
	const struct ch_reader *r = store_reader(s->store);
	struct strbuf now = STRBUF_INIT;
	bool is = r->get(r, COL_REPORT, key, &now) == 0 &&
		  ch_bytes_equal(strbuf_bytes(&now), value);

	strbuf_release(&now);
	return is;
}

/* `ready` is said of nothing but what the platform confirmed. */
static void check_report(struct site *s, struct ch_bytes key,
			 struct ch_bytes value)
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
	if (said.epoch != s->cfg.epoch)
		return; /* Of an earlier life: only its place has changed. */
	if (!is_stored(s, key, value))
		return; /* The same round went on. */
	to_text(said.name, text);
	proof = platform_proof(s, said.name, said.number);
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
		/* Renamed away: it is on its way to who has yet to hear. */
		if (proof ? !proof->healthy : resource_site_in(&r, &s->id))
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
	struct ch_bytes object;
	struct thing *t;
	char name[300], driver[80];

	if (!op->put || stored_job_decode(op->value, &job) < 0 ||
	    job.phase != JOB_ORPHANED)
		return;
	object = job.object.len ? job.object : op->key;
	(void)snprintf(name, sizeof(name), "%.*s", (int)object.len,
		       (const char *)object.p);
	(void)snprintf(driver, sizeof(driver), "%.*s", (int)job.driver.len,
		       (const char *)job.driver.p);
	t = platform_find(s, driver, name);
	if (t)
		t->orphan = true;
}

void ledger_committed(struct site *s)
{
	struct ch_batch_op op;
	size_t pos = 0;

	for (size_t i = 0; i < s->n_pending; i++) {
		struct version_known *k = s->pending[i];

		if (k->making == s->no + 1)
			k->making = 0;
		k->killed |= k->killing >> s->no & 1;
		k->killing &= ~(1ull << s->no);
	}
	s->n_pending = 0;
	while (batch_next(&s->u.store, &pos, &op)) {
		if (op.col == COL_RECORD && op.put)
			note_held(s->w, s->no, op.key);
		else if (op.col == COL_REPORT && op.put)
			check_report(s, op.key, op.value);
		else if (op.col == COL_JOB)
			mark_orphan(s, &op);
	}
}

void ledger_lost(struct site *s)
{
	for (size_t i = 0; i < s->n_pending; i++) {
		struct version_known *k = s->pending[i];

		k->killing &= ~(1ull << s->no);
		k->lost |= k->making == s->no + 1;
	}
	s->n_pending = 0;
}

void ledger_release(struct world *w)
{
	while (w->known) {
		struct version_known *k = w->known;

		w->known = k->next;
		known_free(k);
	}
	map_release(&w->dots, NULL);
	map_release(&w->forgot, NULL);
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

static int see_dead(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct wire in = wire_of(value);
	struct site *s = arg;
	char text[64];
	struct record r;

	to_text(key, text);
	(void)wire_u64(&in);
	record_init(&r);
	CHECK(record_decode((struct ch_bytes){in.p, in.len}, &r, NULL) == 0);
	for (size_t i = 0; i < r.n; i++) {
		const struct version_known *k = known_find(s->w, &r.v[i].dot);

		if (k && k->killed && k->type == ENTRY_SPEC)
			world_fail(s->w,
				   "%s: '%s': a write came back that was "
				   "written over: of type %d",
				   s->name, text, (int)k->type);
	}
	record_release(&r);
	return 0;
}

void ledger_judge(struct world *w)
{
	if (w->stores_lost)
		return;
	for (size_t i = 0; i < w->o.n_sites; i++) {
		const struct ch_reader *r = store_reader(w->site[i].store);

		CHECK(r->scan(r, COL_RECORD, ch_str(""), ch_str(""), see_dead,
			      &w->site[i]) == 0);
	}
	for (const struct version_known *k = w->known; k; k = k->next)
		if (!k->killed && !k->making && !k->lost && !is_held(w, k))
			world_fail(w, "'%s': a write is lost: of type %d",
				   k->name, (int)k->type);
}
