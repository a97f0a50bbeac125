/*
 * platform.c -- jobs carried out on a map from names to bytes.
 *
 * A job takes effect at one moment and is answered then; a crash before that
 * moment leaves open whether it had an effect.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/rng.h"
#include "tests/sim/world.h"

struct thing *platform_find(const struct site *s, const char *driver,
			    const char *name)
{
	struct thing *t = s->things;

	while (t &&
	       (strcmp(t->driver, driver) != 0 || strcmp(t->name, name) != 0))
		t = t->next;
	return t;
}

static void thing_free(struct thing *t)
{
	free(t->driver);
	free(t->name);
	free(t->bytes);
	free(t);
}

static void thing_remove(struct site *s, struct thing *t)
{
	struct thing **at = &s->things;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	thing_free(t);
}

static void thing_set(struct site *s, const struct work *x,
		      const struct strbuf *bytes)
{
	struct thing *t = platform_find(s, x->driver, x->name);

	if (!t) {
		t = calloc(1, sizeof(*t));
		CHECK(t);
		t->driver = strdup(x->driver);
		t->name = strdup(x->name);
		t->next = s->things;
		s->things = t;
	}
	free(t->bytes);
	t->bytes = malloc(bytes->len + 1);
	CHECK(t->bytes);
	memcpy(t->bytes, bytes->buf, bytes->len + 1); /* Its NUL, too. */
	t->len = bytes->len;
	t->lineage = x->lineage;
	t->orphan = false;
	t->unwanted_ms = 0;
	t->tampered = false;
}

/* The job that is stored for @name. */
static bool job_of(const struct site *s, struct ch_bytes name,
		   struct strbuf *buf, struct stored_job *ret)
{
	const struct ch_reader *r = store_reader(s->store);

	return r->get(r, COL_JOB, name, buf) == 0 &&
	       stored_job_decode(strbuf_bytes(buf), ret) == 0;
}

char *platform_object(const struct site *s, struct ch_bytes name,
		      const char *driver)
{
	struct strbuf buf = STRBUF_INIT;
	struct stored_job job;
	char *object;

	if (job_of(s, name, &buf, &job) && job.object.len &&
	    ch_bytes_equal(job.driver, ch_str(driver)))
		name = job.object;
	object = strndup(name.p, name.len);
	CHECK(object);
	strbuf_release(&buf);
	return object;
}

bool platform_is_others(const struct site *s, const char *driver,
			struct ch_bytes name)
{
	const struct ch_reader *r = store_reader(s->store);
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	bool is;

	key_object(&key, name, ch_str(driver));
	is = r->get(r, COL_SYS, strbuf_bytes(&key), &value) == 0;
	strbuf_release(&value);
	strbuf_release(&key);
	return is;
}

static struct proof *find_proof(const struct site *s, const char *driver,
				const char *name)
{
	struct proof *p = s->proofs;

	while (p &&
	       (strcmp(p->driver, driver) != 0 || strcmp(p->name, name) != 0))
		p = p->next;
	return p;
}

struct proof *platform_proof(const struct site *s, struct ch_bytes name,
			     uint64_t number)
{
	struct strbuf buf = STRBUF_INIT;
	struct proof *p = NULL;
	struct stored_job job;
	char driver[80], *object;

	if (job_of(s, name, &buf, &job)) {
		(void)snprintf(driver, sizeof(driver), "%.*s",
			       (int)job.driver.len, (const char *)job.driver.p);
		object = platform_object(s, name, driver);
		p = find_proof(s, driver, object);
		free(object);
	} else { /* It went since: is that said again? */
		for (p = s->proofs;
		     p && (p->said != number ||
			   !ch_bytes_equal(ch_str(p->name), name));)
			p = p->next;
	}
	strbuf_release(&buf);
	return p;
}

static void prove(struct site *s, const struct work *x)
{
	struct proof *p = find_proof(s, x->driver, x->name);

	if (!p) {
		p = calloc(1, sizeof(*p));
		CHECK(p);
		p->driver = strdup(x->driver);
		p->name = strdup(x->name);
		p->next = s->proofs;
		s->proofs = p;
	}
	p->healthy = x->verb != CH_WITHDRAW && !x->ran.err && x->ran.healthy &&
		     !x->ran.drift;
	p->effective = x->ran.effective;
}

static void work_free(struct work *x)
{
	free(x->driver);
	free(x->name);
	free(x->resource);
	free(x->message);
	free(x);
}

static struct ch_hash hash_of(const void *p, size_t len)
{
	const struct ch_bytes b = {p, len};
	struct ch_hash h;

	hash_sum(&b, 1, &h);
	return h;
}

static void say(struct work *x, int err, bool retry, const char *message)
{
	x->ran.err = err;
	x->ran.retry = retry;
	free(x->message);
	x->message = strdup(message);
}

/* A driver removes nothing but what the site knows to be gone for good. */
static void check_removal(struct site *s, const struct work *x)
{
	struct ch_bytes driver;
	struct record r;

	const struct thing *t = platform_find(s, x->driver, x->name);

	if (t && t->unwanted_ms && s->w->now < t->unwanted_ms + s->cfg.grace_ms)
		world_fail(s->w, "%s removes '%s' before its grace is over",
			   s->name, x->name);
	record_init(&r);
	driver = ch_str(s->cfg.driver_default);
	if (ledger_wants(s, &x->lineage, ch_str(x->driver)) &&
	    !ledger_in_force(s, &x->lineage, ch_str(x->resource)))
		world_fail(s->w, "%s removes '%s', which has another name",
			   s->name, x->name);
	if (ledger_stored(s, ch_str(x->resource), &r) < 0)
		world_fail(s->w, "%s removes '%s' and knows nothing of it",
			   s->name, x->name);
	else if (resource_driver(&r).len)
		driver = resource_driver(&r);
	if (resource_site_in(&r, &s->id) && resource_spec(&r) &&
	    resource_has_lineage(&r, &x->lineage) &&
	    ch_bytes_equal(driver, ch_str(x->driver)))
		world_fail(s->w, "%s removes '%s', which should be there",
			   s->name, x->name);
	record_release(&r);
}

/* Of two resources under one name neither replaces the other. */
static void check_apply(struct site *s, const struct work *x)
{
	struct record r;

	record_init(&r);
	if (ledger_stored(s, ch_str(x->resource), &r) == 0 &&
	    resource_is_split(&r))
		world_fail(s->w,
			   "%s applies '%s' while two resources have "
			   "that name",
			   s->name, x->name);
	record_release(&r);
}

/* A driver takes what a broken-off apply left for ours only by its bytes. */
static void check_ours(struct site *s, const struct work *x,
		       const struct ch_hash *want)
{
	const struct thing *t = platform_find(s, x->driver, x->name);
	struct ch_hash h;

	if (!t || t->orphan || t->tampered || x->owned)
		return;
	h = hash_of(t->bytes, t->len);
	if (hash_cmp(&h, want) == 0)
		return;
	for (size_t i = 0; i < x->n_before; i++)
		if (hash_is_zero(&x->before[i]) ||
		    hash_cmp(&x->before[i], &h) == 0)
			return;
	world_fail(s->w, "%s: what is there of '%s' is ours, and not known",
		   s->name, x->name);
}

static void apply(struct site *s, struct work *x)
{
	struct strbuf bytes = STRBUF_INIT;
	struct err err = ERR_INIT;
	struct view v = site_view(s);
	int rc = view_effective(&v, &x->spec, &x->patch, &bytes, &err);

	if (rc < 0) {
		say(x, rc, rc != -EINVAL, err.text);
		if (rc != -EINVAL)
			world_fail(s->w,
				   "%s: the body of '%s' is not there: "
				   "%s",
				   s->name, x->name, err.text);
	} else {
		x->ran.effective = hash_of(bytes.buf, bytes.len);
		check_ours(s, x, &x->ran.effective);
		thing_set(s, x, &bytes);
	}
	strbuf_release(&bytes);
}

static void observe(struct site *s, struct work *x)
{
	const struct thing *t = platform_find(s, x->driver, x->name);
	struct ch_hash h = {{0}};

	if (t)
		h = hash_of(t->bytes, t->len);
	x->ran.effective = x->effective;
	x->ran.drift = hash_cmp(&h, &x->effective) != 0;
	if (x->ran.drift)
		say(x, 0, false, "it is not as it was");
}

static bool happens(struct world *w, unsigned int of_1000)
{
	return of_1000 && rng_below(&w->rng_job, 1000) < of_1000;
}

static void carry_out(struct site *s, struct work *x)
{
	struct world *w = s->w;
	struct thing *t;

	x->ran.healthy = !happens(w, w->o.job_ails);
	say(x, 0, false, x->ran.healthy ? "" : "it ails");
	if (happens(w, w->o.job_fails)) {
		say(x, -EIO, true, "the platform failed");
		if (rng_below(&w->rng_job, 2))
			return; /* Else it did it nevertheless. */
	}
	switch (x->verb) {
	case CH_APPLY:
		apply(s, x);
		break;
	case CH_OBSERVE:
		observe(s, x);
		break;
	case CH_WITHDRAW:
		t = platform_find(s, x->driver, x->name);
		if (t)
			thing_remove(s, t);
		break;
	}
}

static void on_done(struct world *w, void *arg)
{
	static const char *const word[] = {"apply", "observe", "withdraw"};
	static const char observed[] = "{\"seen\":true}";
	struct work *x = arg, **at = &x->s->works;
	struct site *s = x->s;
	struct item *it;

	while (*at != x)
		at = &(*at)->next;
	*at = x->next;
	if (x->dead) {
		work_free(x);
		return;
	}
	carry_out(s, x);
	prove(s, x);
	w->tally[TALLY_JOBS]++;
	w->tally[TALLY_JOB_FAILS] += x->ran.err < 0;
	world_note(w, s->no, s->no, "driver: %s %s%s%s", word[x->verb], x->name,
		   x->ran.err ? " FAILS" : "", x->ran.healthy ? "" : " (ails)");
	world_trace(w, s, "%s %s: %d %s", word[x->verb], x->name, x->ran.err,
		    x->message);
	it = calloc(1, sizeof(*it));
	CHECK(it);
	it->ev.type = CH_RAN;
	it->ev.u.ran = x->ran;
	it->ev.u.ran.job = x->id;
	it->mem = strdup(x->message);
	it->ev.u.ran.message = ch_str(it->mem);
	if (!x->ran.err && x->verb != CH_WITHDRAW) {
		it->ev.u.ran.has_observed = true;
		it->ev.u.ran.observed = ch_str(observed);
	}
	site_post(s, it);
	work_free(x);
}

static void begin(struct site *s, const struct ch_job *job)
{
	struct world *w = s->w;
	struct work *x = calloc(1, sizeof(*x));

	CHECK(x);
	x->s = s;
	x->id = job->id;
	x->verb = job->verb;
	x->driver = strdup(job->driver);
	x->name = strdup(job->name);
	x->resource = strdup(job->resource);
	x->lineage = job->lineage;
	x->spec = job->spec;
	x->patch = job->patch;
	x->effective = job->effective;
	x->owned = job->owned;
	memcpy(x->before, job->before, sizeof(x->before));
	x->n_before = job->n_before;
	for (const struct work *y = s->works; y; y = y->next)
		if (!y->dead && (strcmp(y->resource, x->resource) == 0 ||
				 (strcmp(y->name, x->name) == 0 &&
				  strcmp(y->driver, x->driver) == 0)))
			world_fail(w,
				   "%s: two jobs for '%s' at once, of '%s' "
				   "and '%s'",
				   s->name, x->name, x->resource, y->resource);
	if (strcmp(x->driver, "directory") != 0 &&
	    strcmp(x->driver, "other") != 0)
		world_fail(w, "%s: a job for the driver '%s'", s->name,
			   x->driver);
	w->n_changes += x->verb != CH_OBSERVE;
	if (x->verb == CH_WITHDRAW)
		check_removal(s, x);
	else if (x->verb == CH_APPLY)
		check_apply(s, x);
	x->next = s->works;
	s->works = x;
	world_schedule(w, w->now + 1 + rng_below(&w->rng_job, w->o.job_ms),
		       s->no, on_done, x);
}

void platform_let_out(struct site *s)
{
	for (const struct ch_job *j = s->u.run.first; j; j = j->next)
		begin(s, j);
}

void platform_ended(struct site *s)
{
	for (struct work *x = s->works; x; x = x->next) {
		if (!x->dead && rng_below(&s->w->rng_job, 2))
			carry_out(s, x);
		x->dead = true;
	}
}

void platform_release(struct site *s)
{
	while (s->works) {
		struct work *x = s->works;

		s->works = x->next;
		work_free(x);
	}
	while (s->things)
		thing_remove(s, s->things);
	while (s->proofs) {
		struct proof *p = s->proofs;

		s->proofs = p->next;
		free(p->driver);
		free(p->name);
		free(p);
	}
}

static bool is_wanted(const struct site *s, const struct thing *t)
{
	const struct record *r = ledger_now(s, ch_str(t->name));
	struct ch_bytes driver;
	struct desired d;

	if (!r)
		return false;
	driver = resource_driver(r);
	if (!driver.len)
		driver = ch_str(s->cfg.driver_default);
	resource_desired(r, &s->id, &d);
	return d.any && resource_has_lineage(r, &t->lineage) &&
	       ch_bytes_equal(driver, ch_str(t->driver));
}

/* While a job is at it, nothing is decided about it. */
static bool is_at_work(const struct site *s, const char *name)
{
	for (const struct work *x = s->works; x; x = x->next)
		if (!x->dead && strcmp(x->name, name) == 0)
			return true;
	return false;
}

void platform_wanted(struct site *s)
{
	for (struct thing *t = s->things; t; t = t->next) {
		if (is_at_work(s, t->name))
			continue;
		if (is_wanted(s, t))
			t->unwanted_ms = 0;
		else if (!t->unwanted_ms)
			t->unwanted_ms = s->w->now;
	}
}

static void say_changed(struct site *s, const char *name)
{
	struct item *it = calloc(1, sizeof(*it));
	char *mem = calloc(1, strlen(name) + 32);

	CHECK(it && mem);
	it->mem = mem;
	memcpy(mem, name, strlen(name));
	it->ev.type = CH_CHANGED;
	it->ev.u.changed.name = ch_str(mem);
	it->ev.u.changed.driver = ch_str("directory");
	site_post(s, it);
}

void platform_tamper(struct site *s, struct thing *t)
{
	char *name = strdup(t->name);

	world_trace(s->w, s, "somebody tampers with %s", name);
	if (rng_below(&s->w->rng_job, 2)) {
		thing_remove(s, t);
	} else {
		free(t->bytes);
		t->tampered = true;
		t->bytes = strdup("tampered");
		t->len = 8;
	}
	say_changed(s, name);
	free(name);
}
