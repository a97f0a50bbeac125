/* judge.c -- what must hold when all is quiet; see world.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/peer.h"
#include "core/report.h"
#include "core/wire.h"
#include "tests/sim/world.h"

static int count_one(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	(void)key;
	(void)value;
	++*(size_t *)arg;
	return 0;
}

static size_t count(const struct site *s, enum ch_col col,
		    struct ch_bytes prefix)
{
	const struct ch_reader *r = store_reader(s->store);
	size_t n = 0;

	CHECK(r->scan(r, col, prefix, ch_str(""), count_one, &n) == 0);
	return n;
}

/* Watchers tell what they heard themselves, and only those that they beat: in
 * larger worlds not all hear of all. */
#define HEARD_BY_ALL_MAX 8

/* What an engine is still at; NULL: nothing. */
static const char *engine_does(const struct ch_engine *e)
{
	for (size_t i = 0; i < CH_RUNNING_MAX; i++)
		if (e->running[i])
			return "a job runs";
	for (size_t i = 0; i < e->n_peers; i++) {
		const struct peer *p = e->peers[i];

		if (p->push_id || p->flying || p->n_queue || p->owe_ack)
			return "there is something to send";
		if (p->heartbeat != HB_ALIVE && e->n_peers < HEARD_BY_ALL_MAX)
			return "a site is not heard";
	}
	return !e->scrubbed    ? "not all was looked at"
	       : e->n_due      ? "something is due"
	       : e->look_first ? "something is to be looked at"
	       : e->n_sweep    ? "a body is to be swept"
			       : NULL;
}

static const char *site_does(const struct site *s)
{
	if (!s->engine)
		return "it is down";
	if (s->busy || s->inbox)
		return "a round is under way";
	if (s->works)
		return "a driver works";
	if (count(s, COL_OUT, ch_str("")))
		return "its outbox is not empty";
	if (count(s, COL_SYS, ch_str("held/")))
		return "a removal is held";
	return engine_does(s->engine);
}

bool judge_is_quiet(struct world *w, void *arg)
{
	(void)arg;
	for (size_t i = 0; i < w->o.n_sites; i++)
		if (site_does(&w->site[i]))
			return false;
	return true;
}

static int show_out(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	const struct site *s = arg, *to = s;
	struct ch_bytes name = {(const char *)value.p + 1, value.len - 1};

	for (size_t i = 0; i < s->w->o.n_sites; i++)
		if (memcmp(s->w->site[i].id.b, key.p, 16) == 0)
			to = &s->w->site[i];
	world_trace(s->w, s, "owes %s a %s of %.*s", to->name,
		    *(const char *)value.p == OUT_RECORD ? "record" : "report",
		    (int)name.len, (const char *)name.p);
	ledger_show(s, name);
	return 0;
}

static int show_record(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	(void)value;
	ledger_show(arg, key);
	return 0;
}

void judge_unrest(struct world *w)
{
	for (size_t i = 0; i < w->o.n_sites; i++) {
		const struct ch_reader *r = store_reader(w->site[i].store);

		(void)r->scan(r, COL_OUT, ch_str(""), ch_str(""), show_out,
			      &w->site[i]);
	}
	for (size_t i = 0; i < w->o.n_sites; i++) {
		const char *what = site_does(&w->site[i]);

		if (!what)
			continue;
		(void)store_reader(w->site[i].store)
			->scan(store_reader(w->site[i].store), COL_RECORD,
			       ch_str(""), ch_str(""), show_record,
			       &w->site[i]);
		world_fail(w, "%s does not become quiet: %s", w->site[i].name,
			   what);
	}
}

/* One store by itself. */

struct auditor {
	struct site *s;
	struct map want; /* Hash, who: a reference that must be there. */
	struct map out;  /* Site, kind, name. */
	size_t n_want, n_there;
	size_t n_sites[WORLD_SITES_MAX];
	struct ch_bytes who;
};

static int want_body(void *arg, const struct body_ref *body)
{
	const struct ch_reader *r;
	struct strbuf key = STRBUF_INIT, bytes = STRBUF_INIT;
	struct auditor *a = arg;
	struct view v = site_view(a->s);
	static const struct ch_hash none;

	key_ref(&key, &body->hash, a->who);
	if (!map_get(&a->want, strbuf_bytes(&key))) {
		CHECK(map_put(&a->want, strbuf_bytes(&key), a) == 0);
		a->n_want++;
		r = store_reader(a->s->store);
		if (r->get(r, COL_REF, strbuf_bytes(&key), &bytes) < 0)
			world_fail(a->s->w, "%s: a body without its reference",
				   a->s->name);
		strbuf_reset(&bytes);
		if (view_effective(&v, &body->hash, &none, &bytes, NULL) < 0 ||
		    bytes.len != body->len)
			world_fail(a->s->w, "%s: a body is missing: '%.*s'",
				   a->s->name,
				   (int)(a->who.len > 60 ? 60 : a->who.len),
				   (const char *)a->who.p);
	}
	strbuf_release(&bytes);
	strbuf_release(&key);
	return 0;
}

static int see_record(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct auditor *a = arg;
	struct world *w = a->s->w;
	struct wire in = wire_of(value);
	struct record r;

	(void)wire_u64(&in);
	record_init(&r);
	CHECK(record_decode((struct ch_bytes){in.p, in.len}, &r, NULL) == 0);
	record_check(&r);
	if (!ch_bytes_equal(r.name, key))
		world_fail(w, "%s: a record under another's name", a->s->name);
	a->n_there += resource_is_there(&r);
	for (size_t i = 0; i < w->o.n_sites; i++)
		a->n_sites[i] += resource_site_in(&r, &w->site[i].id);
	a->who = key;
	CHECK(resource_bodies(&r, want_body, a) == 0);
	record_release(&r);
	return 0;
}

static int see_trash(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct strbuf who = STRBUF_INIT;
	struct auditor *a = arg;
	struct stored_trash t;
	struct entry e;
	size_t pos = 0;

	CHECK(stored_trash_decode(value, &t) == 0);
	strbuf_add_char(&who, '\0');
	strbuf_add(&who, key.p, key.len);
	a->who = strbuf_bytes(&who);
	while (image_next(t.image, &pos, &e) > 0)
		if (e.body.len)
			(void)want_body(a, &e.body);
	strbuf_release(&who);
	return 0;
}

/* A record stands once in a site's outbox. */
static int see_out(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct strbuf what = STRBUF_INIT;
	struct auditor *a = arg;

	if (*(const char *)value.p != OUT_RECORD)
		return 0;
	strbuf_add(&what, key.p, 16);
	strbuf_add(&what, value.p, value.len);
	if (map_get(&a->out, strbuf_bytes(&what)))
		world_fail(a->s->w,
			   "%s: %s of '%.*s' stands twice in an outbox",
			   a->s->name,
			   *(const char *)value.p == OUT_RECORD ? "a record"
								: "a report",
			   (int)value.len - 1, (const char *)value.p + 1);
	CHECK(map_put(&a->out, strbuf_bytes(&what), a) == 0);
	strbuf_release(&what);
	return 0;
}

/* A body stays because it is referenced, or marked as spare or coming. */
static int see_chunk(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct strbuf part = STRBUF_INIT, mark = STRBUF_INIT;
	const struct ch_reader *r;
	struct auditor *a = arg;
	struct ch_hash hash;

	(void)value;
	memcpy(hash.b, key.p, sizeof(hash.b));
	key_part(&part, &hash);
	r = store_reader(a->s->store);
	if (!count(a->s, COL_REF, (struct ch_bytes){hash.b, sizeof(hash.b)}) &&
	    r->get(r, COL_SYS, strbuf_bytes(&part), &mark) < 0)
		world_fail(a->s->w, "%s: a body that nobody needs", a->s->name);
	strbuf_release(&mark);
	strbuf_release(&part);
	return 0;
}

static uint64_t sys_u64(const struct site *s, struct ch_bytes key)
{
	const struct ch_reader *r = store_reader(s->store);
	struct strbuf value = STRBUF_INIT;
	uint64_t n = 0;

	if (r->get(r, COL_SYS, key, &value) == 0) {
		struct wire w = wire_of(strbuf_bytes(&value));

		n = wire_u64(&w);
	}
	strbuf_release(&value);
	return n;
}

static void check_counts(struct auditor *a)
{
	struct site *s = a->s;
	struct world *w = s->w;
	uint64_t n = sys_u64(s, ch_str("count"));

	if (n != a->n_there)
		world_fail(w, "%s: count says %llu and there are %zu", s->name,
			   (unsigned long long)n, a->n_there);
	for (size_t i = 0; i < w->o.n_sites; i++) {
		struct strbuf key = STRBUF_INIT;

		strbuf_add_str(&key, "n/");
		strbuf_add(&key, w->site[i].id.b, 16);
		n = sys_u64(s, strbuf_bytes(&key));
		if (n != a->n_sites[i])
			world_fail(w,
				   "%s: of %s it counts %llu and there are "
				   "%zu",
				   s->name, w->site[i].name,
				   (unsigned long long)n, a->n_sites[i]);
		strbuf_release(&key);
	}
}

void judge_store(struct site *s)
{
	const struct ch_reader *r = store_reader(s->store);
	struct auditor a = {.s = s};

	map_init(&a.want);
	map_init(&a.out);
	CHECK(r->scan(r, COL_RECORD, ch_str(""), ch_str(""), see_record, &a) ==
	      0);
	CHECK(r->scan(r, COL_TRASH, ch_str(""), ch_str(""), see_trash, &a) ==
	      0);
	CHECK(r->scan(r, COL_BODY, ch_str(""), ch_str(""), see_chunk, &a) == 0);
	CHECK(r->scan(r, COL_OUT, ch_str(""), ch_str(""), see_out, &a) == 0);
	if (count(s, COL_REF, ch_str("")) != a.n_want)
		world_fail(s->w, "%s: references to what needs nothing",
			   s->name);
	check_counts(&a);
	map_release(&a.want, NULL);
	map_release(&a.out, NULL);
}

void judge_spares(struct world *w)
{
	for (size_t i = 0; i < w->o.n_sites; i++)
		if (count(&w->site[i], COL_SYS, ch_str("part/")))
			world_fail(w, "%s keeps a body that came for nothing",
				   w->site[i].name);
}

/* Between sites. */

struct comparer {
	struct world *w;
	struct site *s;
};

static void report_of(const struct site *s, struct ch_bytes name,
		      const struct site *of, struct strbuf *ret)
{
	const struct ch_reader *r = store_reader(s->store);
	struct strbuf key = STRBUF_INIT;

	strbuf_reset(ret);
	key_report(&key, name, &of->id);
	if (r->get(r, COL_REPORT, strbuf_bytes(&key), ret) < 0)
		strbuf_reset(ret);
	strbuf_release(&key);
}

/* What @s knows of @of is what @of says. */
static void compare_report(struct site *s, const struct record *r,
			   const struct site *of)
{
	struct strbuf mine = STRBUF_INIT, theirs = STRBUF_INIT;
	bool in = resource_site_in(r, &of->id) || resource_site_out(r, &of->id);

	report_of(s, r->name, of, &mine);
	report_of(of, r->name, of, &theirs);
	if (mine.len && !in && s != of)
		world_fail(s->w, "%s keeps a report of %s, who has no '%.*s'",
			   s->name, of->name, (int)r->name.len,
			   (const char *)r->name.p);
	else if (in && (mine.len != theirs.len ||
			(mine.len && memcmp(mine.buf + 16, theirs.buf + 16,
					    mine.len - 16) != 0)))
		world_fail(s->w, "%s does not know what %s says of '%.*s'",
			   s->name, of->name, (int)r->name.len,
			   (const char *)r->name.p);
	strbuf_release(&mine);
	strbuf_release(&theirs);
}

static bool has_driver(const struct site *s, struct ch_bytes driver)
{
	for (size_t i = 0; i < s->cfg.n_drivers; i++)
		if (ch_bytes_equal(ch_str(s->drivers[i]), driver))
			return true;
	return false;
}

/* The platform has what the record says. */
static void compare_platform(struct site *s, const struct record *r)
{
	struct strbuf bytes = STRBUF_INIT;
	struct view v = site_view(s);
	struct ch_bytes driver = resource_driver(r);
	struct desired d;
	char *name;

	if (ledger_stays(s, r))
		return;
	if (!driver.len)
		driver = ch_str(s->cfg.driver_default);
	resource_desired(r, &s->id, &d);
	for (int i = 0; i < 2; free(name), i++) {
		const struct thing *t;
		bool want =
			d.any && ch_bytes_equal(ch_str(s->drivers[i]), driver);

		name = platform_object(s, r->name, s->drivers[i]);
		t = platform_find(s, s->drivers[i], name);
		if (ch_bytes_equal(ch_str(name), r->name) &&
		    platform_is_others(s, s->drivers[i], r->name))
			continue;
		if (t && !t->orphan && !want &&
		    !(d.any && ch_bytes_equal(driver, ch_str("none"))))
			world_fail(s->w, "%s: '%s' stays on the platform",
				   s->name, name);
		if (!want || !has_driver(s, driver) || resource_is_split(r))
			continue;
		strbuf_reset(&bytes);
		if (view_effective(&v, &d.spec.hash, &d.patch.hash, &bytes,
				   NULL) < 0)
			continue;
		if (!t || t->len != bytes.len ||
		    memcmp(t->bytes, bytes.buf, bytes.len) != 0)
			world_fail(s->w, "%s: '%s' is not in force", s->name,
				   name);
	}
	strbuf_release(&bytes);
}

static int compare_record(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct strbuf theirs = STRBUF_INIT;
	struct comparer *c = arg;
	struct site *s = c->s;
	struct wire in = wire_of(value);
	struct record r;

	(void)wire_u64(&in);
	record_init(&r);
	CHECK(record_decode((struct ch_bytes){in.p, in.len}, &r, NULL) == 0);
	if (!resource_is_holder(&r, &s->id))
		world_fail(c->w, "%s stores '%.*s' and does not hold it",
			   s->name, (int)key.len, (const char *)key.p);
	for (size_t i = 0; i < c->w->o.n_sites; i++) {
		const struct site *of = &c->w->site[i];
		const struct ch_reader *reader = store_reader(of->store);

		compare_report(s, &r, of);
		if (!resource_is_holder(&r, &of->id))
			continue;
		if (reader->get(reader, COL_RECORD, key, &theirs) < 0)
			world_fail(c->w,
				   "%s has no '%.*s', which %s says it "
				   "holds",
				   of->name, (int)key.len, (const char *)key.p,
				   s->name);
		else if (theirs.len != value.len ||
			 memcmp(theirs.buf + 8, (const char *)value.p + 8,
				value.len - 8) != 0)
			world_fail(c->w, "%s and %s differ about '%.*s'",
				   s->name, of->name, (int)key.len,
				   (const char *)key.p);
	}
	compare_platform(s, &r);
	for (size_t i = 0; c->w->failed && i < c->w->o.n_sites; i++)
		ledger_show(&c->w->site[i], key);
	strbuf_release(&theirs);
	record_release(&r);
	return c->w->failed;
}

static int see_report(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct comparer *c = arg;
	const struct ch_reader *r = store_reader(c->s->store);
	struct strbuf record = STRBUF_INIT;

	(void)value;
	CHECK(key.len > 17);
	if (r->get(r, COL_RECORD, (struct ch_bytes){key.p, key.len - 17},
		   &record) < 0)
		world_fail(c->w, "%s keeps a report of what it does not hold",
			   c->s->name);
	strbuf_release(&record);
	return 0;
}

/* Nothing of ours stays where no record speaks of it. */
static void check_leftovers(struct site *s)
{
	for (const struct thing *t = s->things; t; t = t->next) {
		struct record r;

		record_init(&r);
		if (!t->orphan &&
		    !platform_is_others(s, t->driver, ch_str(t->name)) &&
		    ledger_stored(s, ch_str(t->name), &r) < 0)
			world_fail(s->w, "%s: '%s' was left on the platform",
				   s->name, t->name);
		record_release(&r);
	}
}

static int see_ready(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct strbuf bytes = STRBUF_INIT;
	struct wire in = wire_of(value);
	struct site *s = arg;
	struct view v = site_view(s);
	struct ch_bytes driver;
	struct report said;
	struct desired d;
	struct record r;
	char word[80];

	(void)wire_u64(&in);
	record_init(&r);
	CHECK(record_decode((struct ch_bytes){in.p, in.len}, &r, NULL) == 0);
	driver = resource_driver(&r);
	if (!driver.len)
		driver = ch_str(s->cfg.driver_default);
	resource_desired(&r, &s->id, &d);
	(void)snprintf(word, sizeof(word), "%.*s", (int)driver.len,
		       (const char *)driver.p);
	if (d.any && has_driver(s, driver) && !resource_is_split(&r) &&
	    !ledger_stays(s, &r) && !platform_is_others(s, word, key) &&
	    view_effective(&v, &d.spec.hash, &d.patch.hash, &bytes, NULL) ==
		    0) {
		report_of(s, key, s, &bytes);
		in = wire_of(strbuf_bytes(&bytes));
		(void)wire_u64(&in);
		(void)wire_u64(&in);
		said = (struct report){.state = STATES};
		if (report_decode((struct ch_bytes){in.p, in.len}, &said) < 0 ||
		    said.state != STATE_READY)
			world_fail(s->w,
				   "%s: all is quiet, and '%.*s' is not ready, "
				   "but in state %d: %.*s",
				   s->name, (int)key.len, (const char *)key.p,
				   (int)said.state, (int)said.message.len,
				   (const char *)said.message.p);
	}
	strbuf_release(&bytes);
	record_release(&r);
	return 0;
}

void judge_ready(struct world *w)
{
	for (size_t i = 0; i < w->o.n_sites && !w->failed; i++) {
		const struct ch_reader *r = store_reader(w->site[i].store);

		CHECK(r->scan(r, COL_RECORD, ch_str(""), ch_str(""), see_ready,
			      &w->site[i]) == 0);
	}
}

void judge_all(struct world *w)
{
	for (size_t i = 0; i < w->o.n_sites && !w->failed; i++) {
		struct site *s = &w->site[i];
		const struct ch_reader *r = store_reader(s->store);
		struct comparer c = {w, s};

		judge_store(s);
		if (r->scan(r, COL_RECORD, ch_str(""), ch_str(""),
			    compare_record, &c) != 0)
			return;
		CHECK(r->scan(r, COL_REPORT, ch_str(""), ch_str(""), see_report,
			      &c) == 0);
		check_leftovers(s);
		if (count(s, COL_OUT, ch_str("")))
			world_fail(w, "%s: its outbox is not empty", s->name);
	}
	for (const struct answer *a = w->answers; a; a = a->next)
		if (!a->done && a->until_ms + 2000 < w->now)
			world_fail(w, "a user still waits for operation %d",
				   (int)a->op);
	ledger_judge(w);
}
