/*
 * plan.c -- which driver job is due here, and which must wait.
 *
 * For each resource two things are compared: what is desired of this site (the
 * record), and what its driver was asked for (COL_JOB). Only a difference
 * makes a job:
 *
 *	COL_JOB         the record says          then
 *
 *	nothing         in, a spec               apply
 *	begun           in, a spec               apply again: it is idempotent
 *	applied, older  in, another version      apply
 *	applied, same   in                       nothing; observe now and then
 *	any             not in, no spec, or of   withdraw, once grace is over;
 *	                a lineage that is gone   policy on-remove keep: leave it
 *	any             in, another driver       withdraw with the old one (or
 *	                                         leave it), then apply
 *	any             in, driver none          leave it: orphaned
 *	nothing         out                      say so: the OUT entry goes
 *
 * A hold stops what would apply or withdraw; the guard, what would withdraw
 * many at once.
 *
 * A job is stored as begun in the batch that lets it out, so that after a
 * crash it is known what may be on the platform. It is ours once the driver
 * has confirmed that; before, only bytes that we wrote are.
 *
 * Absence is never removal: no record at all makes no job.
 *
 * An act is what memory knows of a resource that is not settled. An act with
 * nothing left to do is freed.
 */
#include <errno.h>
#include <string.h>

#include "core/act.h"
#include "core/check.h"
#include "core/gone.h"
#include "core/mem.h"
#include "core/peer.h"
#include "core/rng.h"
#include "core/text.h"

#define RETRY_MIN_MS 1000u
#define RETRY_MAX_MS 300000u
#define LOOK_AGAIN_MS 2000u /* Applied, but not healthy yet. */
#define FIRST_WORD_MS 5000u /* For a site to answer, at the start. */
#define MOVE_AGAIN_MS 1000u /* Renamed, but not all of it is known yet. */
#define SCRUB_FIRST 512     /* Records a round, in the first pass. */
#define SCRUB_LATER 64      /* Each SCRUB_STEP_MS, in later ones. */
#define SCRUB_STEP_MS 640u
#define SCRUB_REST_MS 60000u /* Between two passes. */

/* Jobs. */

static bool has_driver(const struct ch_engine *e, struct ch_bytes driver)
{
	for (size_t i = 0; i < e->cfg.n_drivers; i++)
		if (ch_bytes_equal(ch_str(e->cfg.drivers[i]), driver))
			return true;
	return false;
}

static struct act **free_slot(struct ch_engine *e)
{
	for (size_t i = 0; i < CH_RUNNING_MAX; i++)
		if (!e->running[i])
			return &e->running[i];
	return NULL;
}

/* Who has @object on the platform of @driver: 0 and @ret; -ENOENT: the
 * resource that is called so, if any. */
static int get_object(struct ch_engine *e, struct ch_bytes object,
		      struct ch_bytes driver, struct strbuf *ret)
{
	struct strbuf key = STRBUF_INIT;
	int rc;

	key_object(&key, object, driver);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_get(e, COL_SYS, strbuf_bytes(&key), ret);
	strbuf_release(&key);
	return rc;
}

/* @name "": nobody any more. */
static int put_object(struct ch_engine *e, const struct stored_job *job,
		      struct ch_bytes name)
{
	struct strbuf key = STRBUF_INIT;
	int rc;

	if (!job->object.len)
		return 0;
	key_object(&key, job->object, job->driver);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = name.len ? db_put(e, COL_SYS, strbuf_bytes(&key), name)
			      : db_del(e, COL_SYS, strbuf_bytes(&key));
	strbuf_release(&key);
	/* Whoever is called so may have waited for it. */
	return rc == 0 && !name.len ? plan_touch(e, job->object) : rc;
}

/* Under which name we have a job of @lineage: 0 and @ret; -ENOENT; below. */
static int get_lineage(struct ch_engine *e, const struct ch_id *lineage,
		       struct strbuf *ret)
{
	struct strbuf key = STRBUF_INIT;
	int rc;

	key_lineage(&key, lineage);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_get(e, COL_SYS, strbuf_bytes(&key), ret);
	strbuf_release(&key);
	return rc;
}

/* @name "": under none any more, if it was @was. */
static int put_lineage(struct ch_engine *e, const struct ch_id *lineage,
		       struct ch_bytes name, struct ch_bytes was)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	int rc = get_lineage(e, lineage, &value);

	key_lineage(&key, lineage);
	if ((rc == 0 || rc == -ENOENT) && strbuf_error(&key) < 0)
		rc = -ENOMEM;
	if ((rc == 0 || rc == -ENOENT) && name.len)
		rc = db_put(e, COL_SYS, strbuf_bytes(&key), name);
	else if (rc == 0 && ch_bytes_equal(strbuf_bytes(&value), was))
		rc = db_del(e, COL_SYS, strbuf_bytes(&key));
	strbuf_release(&value);
	strbuf_release(&key);
	return rc == -ENOENT ? 0 : rc;
}

int put_job(struct ch_engine *e, struct ch_bytes name,
	    const struct stored_job *job)
{
	struct strbuf value = STRBUF_INIT;
	int rc;

	stored_job_encode(job, &value);
	rc = strbuf_error(&value);
	if (rc == 0)
		rc = db_put(e, COL_JOB, name, strbuf_bytes(&value));
	strbuf_release(&value);
	return rc;
}

static int del_job(struct ch_engine *e, struct ch_bytes name,
		   const struct stored_job *job)
{
	int rc = put_object(e, job, ch_str(""));

	if (rc == 0)
		rc = put_lineage(e, &job->lineage, ch_str(""), name);
	return rc < 0 ? rc : db_del(e, COL_JOB, name);
}

/* What is known of one resource while it is looked at. */
struct sight {
	struct record r;
	bool have; /* A record. */
	bool unconfirmed; /* It may be older than what others forgot. */
	bool in, out;
	struct desired want;
	struct version version; /* Of want. */
	struct ch_bytes driver; /* Of the record; ours where it has none. */
	struct strbuf job_buf;
	struct stored_job job;
	bool has_job;
	uint8_t policy;                /* JOB_KEEP ...: as the record says. */
	uint64_t hold_ms, hold_end_ms; /* Left of it, and its end; 0: none. */
};

static uint8_t policy_bits(const struct record *r)
{
	bool report = resource_policy_is(r, POLICY_DRIFT, "report");
	bool ignore = resource_policy_is(r, POLICY_DRIFT, "ignore");
	bool keep = resource_policy_is(r, POLICY_ON_REMOVE, "keep");

	return (uint8_t)((keep ? JOB_KEEP : 0) | (report ? JOB_REPORT : 0) |
			 (ignore ? JOB_IGNORE : 0));
}

static int sight_open(struct ch_engine *e, struct ch_bytes name,
		      struct sight *s)
{
	uint64_t seq;
	int rc;

	memset(s, 0, sizeof(*s));
	record_init(&s->r);
	strbuf_init(&s->job_buf);
	rc = keep_load(e, name, &s->r, &seq);
	s->have = rc == 0;
	if (rc < 0 && rc != -ENOENT)
		return rc;
	if (s->have) {
		s->in = resource_site_in(&s->r, &e->cfg.self);
		s->out = resource_site_out(&s->r, &e->cfg.self);
		resource_desired(&s->r, &e->cfg.self, &s->want);
		s->version.vid = s->want.vid;
		s->version.patch_vid = s->want.patch_vid;
		s->unconfirmed =
			rejoin_is_unconfirmed(e, name, seq, &rc);
		s->driver = resource_driver(&s->r);
		/* A spec that outlived the choice. */
		if (!s->driver.len)
			s->driver = ch_str(e->cfg.driver_default);
		if (rc < 0)
			return rc;
		s->policy = policy_bits(&s->r);
		rc = hold_left(e, &s->r, &s->hold_ms, &s->hold_end_ms);
		if (rc < 0)
			return rc;
	}
	rc = db_get(e, COL_JOB, name, &s->job_buf);
	s->has_job = rc == 0;
	if (rc == 0 &&
	    stored_job_decode(strbuf_bytes(&s->job_buf), &s->job) < 0)
		return -EIO;
	return rc == -ENOENT ? 0 : rc;
}

static void sight_close(struct sight *s)
{
	record_release(&s->r);
	strbuf_release(&s->job_buf);
}

/* What we said last, to change a part of it. */
static int last_said(struct ch_engine *e, struct ch_bytes name,
		     struct strbuf *buf, struct report *ret)
{
	uint64_t seq;
	int rc = report_load(e, name, &e->cfg.self, buf, ret, &seq);

	if (rc == -ENOENT) {
		*ret = (struct report){.state = STATE_IDLE};
		return 0;
	}
	return rc;
}

static int say_state(struct ch_engine *e, struct act *a, struct sight *s,
		     enum state state, struct ch_bytes message)
{
	struct strbuf buf = STRBUF_INIT, extra = STRBUF_INIT;
	struct report r;
	int rc = last_said(e, a->name, &buf, &r);

	if (rc == 0) {
		report_put_object(&extra,
				  s->has_job ? s->job.object : ch_str(""));
		r.extra = strbuf_bytes(&extra);
		rc = strbuf_error(&extra);
	}
	if (rc == 0) {
		r.state = (uint8_t)state;
		r.desired = s->version;
		if (s->has_job && s->job.phase == JOB_APPLIED)
			r.applied = s->job.version;
		if (state == STATE_READY)
			r.healthy = s->job.version;
		else if (!version_equal(&r.healthy, &r.applied))
			r.healthy = (struct version){0};
		r.tries = a->tries;
		r.next_try_ms =
			a->tries && !a->retry_never && !a->job
				? e->wall_ms +
					  (a->retry_ms > e->now_ms
						   ? a->retry_ms - e->now_ms
						   : 0)
				: 0;
		r.message = message;
		if (state == STATE_IDLE || state == STATE_REMOVING) {
			r.desired = (struct version){0};
			if (!s->has_job)
				r.applied = r.healthy = r.desired;
		}
		rc = say(e, &s->r, &r);
	}
	strbuf_release(&extra);
	strbuf_release(&buf);
	return rc;
}

/* What the applies of @was may have put there, of whose end nothing is known,
 * goes to @v, each once: never more than CH_BEFORE_MAX + 1. */
static size_t broken_off(const struct stored_job *was, struct ch_hash *v)
{
	size_t n = was->n_before;
	bool have = false;

	if (was->ours)
		return 0;
	memcpy(v, was->before, n * sizeof(*v));
	for (size_t i = 0; i < n; i++)
		have |= hash_cmp(&v[i], &was->effective) == 0;
	if (!have)
		v[n++] = was->effective;
	return n;
}

/* Its successor remembers as much. The first ones may be what is there, and so
 * may the last: of too many one between them goes. */
static void remember(struct stored_job *job, const struct stored_job *was)
{
	struct ch_hash v[CH_BEFORE_MAX + 1];
	size_t n = broken_off(was, v);

	if (n > CH_BEFORE_MAX) {
		v[CH_BEFORE_MAX - 1] = v[CH_BEFORE_MAX];
		n = CH_BEFORE_MAX;
	}
	memcpy(job->before, v, n * sizeof(*v));
	job->n_before = n;
}

/* @was: the job before it; NULL: there was none. 1: no slot is free, so it
 * waits; 0; below. */
static int start_job(struct ch_engine *e, struct act *a, struct sight *s,
		     enum ch_verb verb, const struct stored_job *was)
{
	struct act **slot = free_slot(e);
	struct ch_job *job;

	if (!slot)
		return 1;
	job = update_job(e);
	if (!job)
		return -ENOMEM;
	*slot = a;
	a->job = engine_id(e);
	a->verb = verb;
	a->asked = s->job;
	job->id = a->job;
	job->verb = verb;
	job->name = arena_str(e->u->arena,
			      s->job.object.len ? s->job.object : a->name);
	job->resource = arena_str(e->u->arena, a->name);
	job->driver = arena_str(e->u->arena, s->job.driver);
	job->lineage = s->job.lineage;
	job->owned = s->job.ours;
	job->effective = s->job.effective;
	if (was)
		job->n_before = broken_off(was, job->before);
	job->secret = s->want.secret;
	job->take = s->have && resource_policy_is(&s->r, POLICY_ADOPT, "take");
	if (verb == CH_APPLY) {
		a->spec = s->want.spec.hash;
		a->patch = s->want.patch.hash;
		job->spec = s->want.spec.hash;
		job->patch = s->want.patch.hash;
		job->syntax = s->want.syntax;
	}
	return 0;
}

/* Is it too early to try @verb again? */
static bool must_wait(struct ch_engine *e, const struct act *a,
		      enum ch_verb verb, const struct version *version)
{
	if (!a->tries || a->tried != verb ||
	    !version_equal(&a->tried_version, version))
		return false;
	return a->retry_never || e->now_ms < a->retry_ms;
}

/* 1: the resource is held, and that is said; 0; below. */
static int stop_on_hold(struct ch_engine *e, struct act *a, struct sight *s)
{
	struct strbuf text = STRBUF_INIT;
	int rc;

	if (!s->hold_ms)
		return 0;
	strbuf_add_str(&text, "hold: nothing is changed here before ");
	text_time(s->hold_end_ms, &text);
	rc = strbuf_error(&text);
	if (rc == 0)
		rc = say_state(e, a, s, STATE_HELD, strbuf_bytes(&text));
	strbuf_release(&text);
	if (rc == 0)
		rc = act_due(e, a, e->now_ms + s->hold_ms);
	return rc < 0 ? rc : 1;
}

static int put_orphan(struct ch_engine *e, struct act *a,
		      const struct stored_job *job)
{
	const struct stored_orphan o = {
		.lineage = job->lineage,
		.effective = job->effective,
		.left_ms = e->wall_ms,
	};
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	int rc;

	key_orphan(&key, job->driver, job->object.len ? job->object : a->name);
	stored_orphan_encode(&o, &value);
	rc = key.bad || value.bad ? -ENOMEM : 0;
	if (rc == 0)
		rc = db_put(e, COL_SYS, strbuf_bytes(&key),
			    strbuf_bytes(&value));
	strbuf_release(&value);
	strbuf_release(&key);
	return rc;
}

/* What was left there under @name is what @s asks for again: 1 and @ret; 0;
 * below. */
static int orphan_named(struct ch_engine *e, struct sight *s,
			struct ch_bytes name, struct stored_orphan *ret)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	int rc;

	key_orphan(&key, s->driver, name);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_get(e, COL_SYS, strbuf_bytes(&key), &value);
	if (rc == 0 && stored_orphan_decode(strbuf_bytes(&value), ret) < 0)
		rc = -EIO;
	strbuf_release(&value);
	strbuf_release(&key);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	return id_cmp(&ret->lineage, &s->want.lineage) == 0;
}

/* The same under its name or a former one, which is @ret_object then, unless
 * another has that by now. */
static int get_orphan(struct ch_engine *e, struct act *a, struct sight *s,
		      struct stored_orphan *ret, struct ch_bytes *ret_object)
{
	const struct entry *made = resource_made(&s->r, &s->want.lineage);
	int rc = orphan_named(e, s, a->name, ret);
	struct ch_bytes name;

	*ret_object = ch_str("");
	for (size_t i = 0;
	     made && rc == 0 && entry_from(made, i, &name) == 0; i++) {
		struct strbuf buf = STRBUF_INIT;

		rc = orphan_named(e, s, name, ret);
		if (rc > 0) {
			*ret_object = name;
			rc = get_object(e, name, s->driver, &buf);
			if (rc == -ENOENT)
				rc = db_get(e, COL_JOB, name, &buf);
			rc = rc == -ENOENT ? 1 : rc < 0 ? rc : 0;
		}
		strbuf_release(&buf);
	}
	return rc;
}

static int del_orphan(struct ch_engine *e, struct act *a,
		      const struct stored_job *job)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	int rc;

	key_orphan(&key, job->driver, job->object.len ? job->object : a->name);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_get(e, COL_SYS, strbuf_bytes(&key), &value);
	if (rc == 0)
		rc = db_del(e, COL_SYS, strbuf_bytes(&key));
	strbuf_release(&value);
	strbuf_release(&key);
	return rc == -ENOENT ? 0 : rc;
}

/* Does what is in force stay there when the resource leaves this site? A
 * resource that was made in its place says nothing about it, nor does what is
 * left of one that was renamed. */
static bool stays(const struct sight *s)
{
	bool speaks = resource_has_lineage(&s->r, &s->job.lineage) ||
		      !(resource_is_there(&s->r) ||
			resource_moved(&s->r, &s->job.lineage));

	return (speaks ? s->policy : s->job.policy) & JOB_KEEP;
}

/* It is left where it is, and is not ours any more. */
static int leave(struct ch_engine *e, struct act *a, struct sight *s)
{
	int rc = put_orphan(e, a, &s->job);

	if (rc == 0)
		rc = guard_void(e, a->name, &s->job);
	if (rc == 0)
		rc = del_job(e, a->name, &s->job);
	if (rc < 0)
		return rc;
	update_notice(e, "withdrawn", a->name, engine_name(e), &s->job.version,
		      ch_str(""), "%s",
		      "policy on-remove keep: what is there is left");
	s->has_job = false;
	a->withdraw_ms = 0;
	a->tries = 0;
	act_look(e, a);
	return 0;
}

/* Who wrote @entry (NULL: it is not known), and where. */
static void blame(struct ch_engine *e, const struct entry *entry,
		  struct guard_cause *c)
{
	if (!entry)
		return;
	c->user = entry->user;
	c->at = member_name(e, &entry->dot.actor.site);
}

static const struct entry *any_entry(const struct record *r, uint16_t type)
{
	size_t pos = 0;

	return record_next(r, type, &pos);
}

/* A deletion, not a rename. */
static const struct entry *tomb_of(const struct record *r)
{
	const struct entry *tomb;
	size_t pos = 0;

	while ((tomb = record_next(r, ENTRY_TOMB, &pos)) && tomb->to.len)
		;
	return tomb;
}

/* Why is it to be removed from here? */
static struct guard_cause cause_of(struct ch_engine *e, const struct sight *s)
{
	const struct ch_bytes self = {e->cfg.self.b, sizeof(e->cfg.self.b)};
	struct guard_cause c = {.what = "deleted"};

	if (!resource_is_there(&s->r)) {
		blame(e, tomb_of(&s->r), &c);
	} else if (!resource_has_lineage(&s->r, &s->job.lineage)) {
		c.what = "another resource was made in its place";
		blame(e, any_entry(&s->r, ENTRY_MADE), &c);
	} else if (!s->in) {
		c.what = "withdrawn from this site";
		blame(e, record_get(&s->r, ENTRY_SITE, self), &c);
	} else if (!ch_bytes_equal(s->driver, s->job.driver)) {
		c.what = "its driver was changed";
		blame(e, record_get(&s->r, ENTRY_DRIVER, ch_str("")), &c);
	}
	return c;
}

/* 1: the guard holds it, and that is said; 0; below. */
static int stop_on_guard(struct ch_engine *e, struct act *a, struct sight *s)
{
	const struct guard_cause cause = cause_of(e, s);
	struct strbuf text = STRBUF_INIT;
	int rc = guard_pass(e, a->name, &s->job, &cause);

	if (rc)
		return rc < 0 ? rc : 0;
	strbuf_addf(&text,
		    "%s: the mass-removal guard stopped it; see .held/ "
		    "on %s",
		    cause.what, e->cfg.name);
	rc = strbuf_error(&text);
	if (rc == 0)
		rc = say_state(e, a, s, STATE_HELD, strbuf_bytes(&text));
	strbuf_release(&text);
	return rc < 0 ? rc : 1;
}

/* What stopped it does no more. */
static int unsay_held(struct ch_engine *e, struct act *a, struct sight *s)
{
	struct strbuf buf = STRBUF_INIT;
	struct report r;
	int rc = last_said(e, a->name, &buf, &r);
	bool held = rc == 0 && r.state == STATE_HELD;

	strbuf_release(&buf);
	if (!held)
		return rc;
	return say_state(e, a, s, s->in ? STATE_PENDING : STATE_REMOVING,
			 ch_str(""));
}

/* Two of the name that it has now: each stays as it is. 1, or below. */
static int say_stays(struct ch_engine *e, struct act *a, struct sight *s,
		     struct ch_bytes to)
{
	struct strbuf text = STRBUF_INIT;
	int rc = 0;

	if (s->in) {
		strbuf_addf(&text,
			    "what is there moves to '%.*s', where two "
			    "resources have one name: write its spec to "
			    "settle it first",
			    (int)to.len, (const char *)to.p);
		rc = strbuf_error(&text);
		if (rc == 0)
			rc = say_state(e, a, s, STATE_CONFLICT,
				       strbuf_bytes(&text));
	}
	strbuf_release(&text);
	return rc < 0 ? rc : 1;
}

/* Our job is of a lineage that is not here, but perhaps where two have one
 * name. 1: it stays until that is settled; 0; below. */
static int is_elsewhere(struct ch_engine *e, struct act *a, struct sight *s)
{
	struct strbuf key = STRBUF_INIT, name = STRBUF_INIT;
	struct record r;
	uint64_t seq;
	int rc;

	if (resource_has_lineage(&s->r, &s->job.lineage))
		return 0;
	record_init(&r);
	key_stays(&key, &s->job.lineage);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_get(e, COL_SYS, strbuf_bytes(&key), &name);
	if (rc == 0)
		rc = keep_load(e, strbuf_bytes(&name), &r, &seq);
	if (rc == 0 && resource_has_lineage(&r, &s->job.lineage) &&
	    resource_site_in(&r, &e->cfg.self) && resource_is_split(&r))
		rc = say_stays(e, a, s, r.name);
	else if ((rc == 0 || rc == -ENOENT) && name.len)
		rc = db_del(e, COL_SYS, strbuf_bytes(&key));
	record_release(&r);
	strbuf_release(&name);
	strbuf_release(&key);
	return rc == -ENOENT ? 0 : rc;
}

static int withdraw(struct ch_engine *e, struct act *a, struct sight *s)
{
	int rc;

	if (!a->withdraw_ms && s->job.guard != GUARD_NONE)
		a->withdraw_ms = e->now_ms; /* Its grace was over once. */
	if (!a->withdraw_ms) {
		a->withdraw_ms = e->now_ms + e->cfg.grace_ms;
		rc = s->in ? 0 : say_state(e, a, s, STATE_REMOVING, ch_str(""));
		if (rc < 0)
			return rc;
	}
	if (e->now_ms < a->withdraw_ms)
		return act_due(e, a, a->withdraw_ms);
	rc = is_elsewhere(e, a, s);
	if (rc)
		return rc < 0 ? rc : 0;
	if (stays(s))
		return leave(e, a, s);
	rc = stop_on_hold(e, a, s);
	if (rc)
		return rc < 0 ? rc : 0;
	rc = stop_on_guard(e, a, s);
	if (rc == 0)
		rc = unsay_held(e, a, s);
	if (rc)
		return rc < 0 ? rc : 0;
	if (must_wait(e, a, CH_WITHDRAW, &s->job.version))
		return act_due(e, a, a->retry_ms);
	if (a->tried != CH_WITHDRAW)
		a->tries = 0;
	rc = start_job(e, a, s, CH_WITHDRAW, &s->job);
	if (rc > 0)
		act_await_slot(e, a);
	return rc < 0 ? rc : 0;
}

/* 1: what would be ours there is another resource's, that was once called as we
 * are; 0; below. */
static int is_taken(struct ch_engine *e, struct act *a, struct sight *s)
{
	struct strbuf owner = STRBUF_INIT, text = STRBUF_INIT;
	int rc = get_object(e, a->name, s->driver, &owner);

	if (rc == 0) {
		strbuf_addf(&text,
			    "'%.*s' there belongs to the resource '%.*s', "
			    "which was called so",
			    (int)a->name.len, (const char *)a->name.p,
			    (int)owner.len, owner.buf);
		rc = strbuf_error(&text);
		if (rc == 0)
			rc = say_state(e, a, s, STATE_FAILED,
				       strbuf_bytes(&text));
		rc = rc < 0 ? rc : 1;
	}
	strbuf_release(&text);
	strbuf_release(&owner);
	return rc == -ENOENT ? 0 : rc;
}

static int apply(struct ch_engine *e, struct act *a, struct sight *s)
{
	struct stored_job was = s->job;
	bool had = s->has_job, took = false;
	struct stored_orphan left;
	struct ch_bytes object;
	int rc;

	rc = stop_on_hold(e, a, s);
	if (rc)
		return rc < 0 ? rc : 0;
	if (must_wait(e, a, CH_APPLY, &s->version))
		return a->retry_never ? 0 : act_due(e, a, a->retry_ms);
	if (!had) {
		rc = get_orphan(e, a, s, &left, &object);
		took = rc > 0;
		if (rc == 0)
			rc = is_taken(e, a, s);
		if (rc < 0 || (rc > 0 && !took))
			return rc < 0 ? rc : 0;
	}
	if (!free_slot(e)) {
		act_await_slot(e, a);
		return 0;
	}
	if (a->tried != CH_APPLY ||
	    !version_equal(&a->tried_version, &s->version))
		a->tries = 0;
	if (took)
		was = (struct stored_job){.effective = left.effective,
					  .ours = true,
					  .object = object};
	s->job = (struct stored_job){
		.phase = JOB_BEGUN,
		.driver = s->driver,
		.lineage = s->want.lineage,
		.version = s->version,
		/* Until it is known better: these bytes, unless patched. */
		.effective = hash_is_zero(&s->want.patch_vid)
				     ? s->want.spec.hash
				     : (struct ch_hash){{0}},
		.ours = (had || took) && was.ours,
		.policy = s->policy,
		.object = had || took ? was.object : ch_str(""),
	};
	if (had || took)
		remember(&s->job, &was);
	rc = start_job(e, a, s, CH_APPLY, had || took ? &was : NULL);
	if (rc == 0 && took)
		rc = put_object(e, &s->job, a->name);
	if (rc == 0 && !had)
		rc = put_lineage(e, &s->job.lineage, a->name, ch_str(""));
	if (rc == 0)
		rc = put_job(e, a->name, &s->job);
	if (rc == 0)
		rc = say_state(e, a, s, STATE_APPLYING, ch_str(""));
	return rc;
}

static bool driver_is(struct ch_bytes driver, const char *word)
{
	return ch_bytes_equal(driver, ch_str(word));
}

/* Nothing of ours is on the platform, and nothing should be. */
static int rest(struct ch_engine *e, struct act *a, struct sight *s)
{
	struct record r;
	uint64_t seq;
	int rc;

	if (s->in)
		return say_state(e, a, s, STATE_IDLE, ch_str(""));
	rc = say_nothing(e, a->name);
	if (rc < 0)
		return rc;
	/* It may be for us to bring that where it belongs. */
	if (move_is_open(&s->r) && resource_is_holder(&s->r, &e->cfg.self))
		return 0;
	if (!s->out)
		return keep_settle(e, a->name);
	/* Withdrawn, and done: the record need not remember it. */
	record_init(&r);
	rc = keep_load(e, a->name, &r, &seq);
	if (rc == 0) {
		record_drop(&r, ENTRY_SITE,
			    (struct ch_bytes){e->cfg.self.b, 16}, NULL);
		rc = keep_hold(e, &r, true);
		if (rc == 0)
			rc = keep_save(e, &r, &s->r, seq, NULL, NULL);
	}
	record_release(&r);
	return rc;
}

static int orphan(struct ch_engine *e, struct act *a, struct sight *s)
{
	int rc = put_orphan(e, a, &s->job);

	s->job.phase = JOB_ORPHANED;
	return rc < 0 ? rc : put_job(e, a->name, &s->job);
}

/* Is what we said last of something else than what is in force? */
static int said_otherwise(struct ch_engine *e, struct act *a, struct sight *s,
			  bool *ret_otherwise)
{
	struct strbuf buf = STRBUF_INIT;
	struct report r;
	int rc = last_said(e, a->name, &buf, &r);

	if (rc == 0)
		*ret_otherwise =
			!version_equal(&r.desired, &s->version) ||
			r.state == STATE_REMOVING || r.state == STATE_IDLE ||
			r.state == STATE_HELD || r.state == STATE_APPLYING ||
			r.state == STATE_CONFLICT;
	strbuf_release(&buf);
	return rc;
}

/* A restored record: nothing is done by it, and whose word is awaited. */
static int say_unconfirmed(struct ch_engine *e, struct act *a, struct sight *s)
{
	struct strbuf text = STRBUF_INIT;
	const char *before = ": ";
	int rc;

	if (!s->in)
		return 0;
	strbuf_add_str(&text, "this site's store was restored; nothing old is "
			      "put in force before others were asked");
	for (size_t i = 0; i < e->n_peers; i++) {
		if (!rejoin_awaits(e, e->peers[i]))
			continue;
		strbuf_addf(&text, "%s%s", before, e->peers[i]->name);
		before = ", ";
	}
	rc = strbuf_error(&text);
	if (rc == 0)
		rc = say_state(e, a, s, STATE_PENDING, strbuf_bytes(&text));
	strbuf_release(&text);
	return rc;
}

/* Renames: a job goes with its resource, and no driver hears of it. */

/* The job waits aside: the name that its resource has now is still that of one
 * which moves on, perhaps here. */
static int park(struct ch_engine *e, struct stored_job *job,
		struct ch_bytes name)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	int rc;

	key_parked(&key, &job->lineage);
	stored_job_encode(job, &value);
	rc = key.bad || value.bad ? -ENOMEM : 0;
	if (rc == 0)
		rc = db_put(e, COL_SYS, strbuf_bytes(&key),
			    strbuf_bytes(&value));
	if (rc == 0)
		rc = put_lineage(e, &job->lineage, ch_str(""), name);
	strbuf_release(&value);
	strbuf_release(&key);
	return rc;
}

/* What waits for @name: 1: it has it now; 0: nothing; below. */
static int unpark(struct ch_engine *e, const struct ch_id *lineage,
		  struct ch_bytes name)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	struct stored_job job;
	int rc;

	key_parked(&key, lineage);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_get(e, COL_SYS, strbuf_bytes(&key), &value);
	if (rc == 0 && stored_job_decode(strbuf_bytes(&value), &job) < 0)
		rc = -EIO;
	if (rc == 0)
		rc = put_object(e, &job, ch_str(""));
	if (rc == 0 && ch_bytes_equal(job.object, name))
		job.object = ch_str("");
	if (rc == 0)
		rc = put_job(e, name, &job);
	if (rc == 0)
		rc = put_object(e, &job, name);
	if (rc == 0)
		rc = put_lineage(e, lineage, name, ch_str(""));
	if (rc == 0)
		rc = db_del(e, COL_SYS, strbuf_bytes(&key));
	if (rc == 0)
		rc = plan_changed(e, name);
	strbuf_release(&value);
	strbuf_release(&key);
	return rc == -ENOENT ? 0 : rc < 0 ? rc : 1;
}

/* The job of @from, as it stands in the store, and with it what we said of it,
 * is from now on that of @r. 1: it is, or waits for that; 0: not while one runs
 * there, or while another is at home there; 2: @r has one already of the same
 * lineage; below. */
static int hand_over(struct ch_engine *e, struct ch_bytes from,
		     const struct record *r)
{
	const struct act *a = act_find(e, from), *b = act_find(e, r->name);
	struct strbuf buf = STRBUF_INIT, other = STRBUF_INIT;
	struct stored_job job, its;
	bool same, goes = false;
	int rc;

	if ((a && a->job) || (b && b->job))
		return 0;
	rc = db_get(e, COL_JOB, from, &buf);
	if (rc == 0 && stored_job_decode(strbuf_bytes(&buf), &job) < 0)
		rc = -EIO;
	if (rc < 0)
		goto out;
	rc = db_get(e, COL_JOB, r->name, &other);
	if (rc == 0) {
		rc = stored_job_decode(strbuf_bytes(&other), &its);
		same = rc == 0 && id_cmp(&its.lineage, &job.lineage) == 0;
		/* Not before that one is in force. */
		if (same && its.phase == JOB_BEGUN) {
			rc = 0;
			goto out;
		}
		goes = rc == 0 && resource_moved(r, &its.lineage);
		rc = rc < 0 ? -EIO : same ? 2 : 0;
		if (rc || !goes)
			goto out;
	} else if (rc != -ENOENT) {
		goto out;
	}
	if (goes && job.guard == GUARD_HELD) {
		rc = 0; /* It stands in .held under a name. */
		goto out;
	}
	rc = put_object(e, &job, ch_str(""));
	if (!job.object.len)
		job.object = from;
	if (!goes && ch_bytes_equal(job.object, r->name))
		job.object = ch_str("");
	if (rc == 0)
		rc = db_del(e, COL_JOB, from);
	if (rc == 0)
		rc = put_object(e, &job, r->name);
	if (rc == 0 && goes) {
		rc = park(e, &job, from);
		if (rc == 0)
			rc = plan_touch(e, from);
		if (rc == 0)
			rc = plan_touch(e, r->name);
		rc = rc < 0 ? rc : 1;
		goto out;
	}
	if (rc == 0)
		rc = put_job(e, r->name, &job);
	if (rc == 0 && job.guard == GUARD_HELD)
		rc = guard_rename(e, from, r->name);
	if (rc == 0)
		rc = put_lineage(e, &job.lineage, r->name, ch_str(""));
	if (rc == 0)
		rc = say_moved(e, r, from, job.object);
	if (rc == 0)
		rc = plan_touch(e, from);
	if (rc == 0)
		rc = plan_changed(e, r->name);
	rc = rc < 0 ? rc : 1;
out:
	strbuf_release(&other);
	strbuf_release(&buf);
	return rc;
}

/* Our job is of a lineage that has another name by now. 1: it stays until more
 * is known; 0: it is ours to withdraw; below. */
static int follow(struct ch_engine *e, struct act *a, struct sight *s)
{
	struct record r;
	int rc;

	record_init(&r);
	rc = move_find(e, &s->r, &s->job.lineage, &r);
	if (rc == 1 && !resource_has_lineage(&r, &s->job.lineage))
		rc = 2; /* It was deleted there. */
	else if (rc == 1 && resource_is_split(&r))
		rc = say_stays(e, a, s, r.name);
	else if (rc == 1)
		rc = hand_over(e, a->name, &r);
	else if (rc == 0)
		rc = 1; /* Its record will come, and look for this. */
	else if (rc == -ENOENT)
		rc = 2;
	record_release(&r);
	if (rc == 0)
		rc = act_due(e, a, e->now_ms + MOVE_AGAIN_MS);
	return rc < 0 ? rc : rc != 2;
}

struct claim {
	struct ch_engine *e;
	struct sight *s;
	struct strbuf *waits; /* A name that it is still under. */
	bool again, took;
};

static int put_stays(struct ch_engine *e, const struct ch_id *lineage,
		     struct ch_bytes name)
{
	struct strbuf key = STRBUF_INIT;
	int rc;

	key_stays(&key, lineage);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_put(e, COL_SYS, strbuf_bytes(&key), name);
	strbuf_release(&key);
	return rc;
}

/* A name that the lineage @lineage had. */
static int claim_from(struct claim *c, struct ch_bytes name,
		      const struct ch_id *lineage)
{
	struct strbuf buf = STRBUF_INIT;
	struct stored_job job;
	struct record r;
	uint64_t seq;
	int rc;

	record_init(&r);
	rc = keep_load(c->e, name, &r, &seq);
	if (rc == 0 || rc == -ENOENT)
		rc = db_get(c->e, COL_JOB, name, &buf);
	if (rc == 0 && stored_job_decode(strbuf_bytes(&buf), &job) < 0)
		rc = -EIO;
	if (rc == 0 && id_cmp(&job.lineage, lineage) == 0) {
		if (c->s->has_job && id_cmp(&c->s->job.lineage, lineage) != 0) {
			rc = put_stays(c->e, lineage, c->s->r.name);
		} else if (c->s->has_job || c->took) {
			; /* One is enough: that one withdraws. */
		} else if (resource_has_lineage(&r, lineage)) {
			c->again = true;
			strbuf_reset(c->waits);
			strbuf_add(c->waits, name.p, name.len);
		} else {
			rc = hand_over(c->e, name, &c->s->r);
			c->took = rc == 1;
			c->again |= rc == 0;
		}
	}
	record_release(&r);
	strbuf_release(&buf);
	return rc == -ENOENT || rc > 0 ? 0 : rc;
}

/* Where we know it to have been. */
static int claim_known(struct claim *c, const struct ch_id *lineage)
{
	struct strbuf where = STRBUF_INIT;
	int rc = 0;

	if (!c->s->has_job && !c->took) {
		rc = unpark(c->e, lineage, c->s->r.name);
		c->took = rc == 1;
		rc = rc < 0 ? rc : 0;
	}
	if (rc == 0)
		rc = get_lineage(c->e, lineage, &where);
	if (rc == 0 && !ch_bytes_equal(strbuf_bytes(&where), c->s->r.name))
		rc = claim_from(c, strbuf_bytes(&where), lineage);
	strbuf_release(&where);
	return rc == -ENOENT ? 0 : rc;
}

/* @made of what is here, or was deleted here: where it was, as it says and, if
 * it does not know of that, as we do. */
static int claim_all(struct claim *c, const struct entry *made,
		     const struct ch_id *lineage)
{
	struct ch_bytes name;
	int rc = 0;

	for (size_t i = 0; rc == 0 && entry_from(made, i, &name) == 0; i++)
		rc = claim_from(c, name, lineage);
	return rc == 0 && made->renames ? claim_known(c, lineage) : rc;
}

/* What this site has on its platform under a former name of @s. 1: nothing can
 * be done before it is known that it moves, or now that it has; 0; below. */
static int claim(struct ch_engine *e, struct act *a, struct sight *s)
{
	struct strbuf waits = STRBUF_INIT, text = STRBUF_INIT;
	struct claim c = {e, s, &waits, false, false};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < s->r.n; i++) {
		const struct entry *x = &s->r.v[i];
		struct entry was;
		size_t pos = 0;

		if (x->type > ENTRY_TOMB)
			break;
		if (x->type == ENTRY_MADE && entry_is_alive(&s->r, x))
			rc = claim_all(&c, x, &x->lineage);
		/* It outlived a deletion that its MADE entry did not. */
		if (x->type == ENTRY_SPEC && entry_is_alive(&s->r, x) &&
		    !resource_made(&s->r, &x->lineage))
			rc = claim_known(&c, &x->lineage);
		while (rc == 0 && x->type == ENTRY_TOMB &&
		       image_next(x->image, &pos, &was) > 0)
			if (was.type == ENTRY_MADE)
				rc = claim_all(&c, &was, &was.lineage);
	}
	if (rc == 0 && c.again) {
		rc = act_due(e, a, e->now_ms + MOVE_AGAIN_MS);
		if (rc == 0 && s->in) {
			strbuf_addf(&text, "moves from '%.*s'", (int)waits.len,
				    waits.buf);
			rc = strbuf_error(&text);
			if (rc == 0)
				rc = say_state(e, a, s, STATE_PENDING,
					       waits.len ? strbuf_bytes(&text)
							 : ch_str(""));
		}
	}
	strbuf_release(&text);
	strbuf_release(&waits);
	return rc < 0 ? rc : c.took || c.again;
}

static int consider(struct ch_engine *e, struct act *a, struct sight *s)
{
	bool apart = s->has_job && s->job.phase != JOB_ORPHANED;
	bool none = driver_is(s->driver, "none");
	bool mine, other;
	struct ch_id gone;
	int rc;

	if (!s->have) {
		a->tries = 0;
		return 0;
	}
	if (s->unconfirmed)
		return say_unconfirmed(e, a, s);
	rc = gone_named(e, &s->r, &gone);
	if (rc) /* It is looked at again then. */
		return rc < 0 ? rc : change_without(e, a->name, &gone);
	if (s->has_job && resource_moved(&s->r, &s->job.lineage)) {
		rc = follow(e, a, s);
		if (rc)
			return rc < 0 ? rc : 0;
	}
	rc = claim(e, a, s);
	if (rc)
		return rc < 0 ? rc : 0;
	mine = s->has_job && resource_has_lineage(&s->r, &s->job.lineage);
	other = s->in && !none && s->driver.len && s->has_job &&
		!ch_bytes_equal(s->driver, s->job.driver);
	/* Where there is no spec any more, a deletion took it, and a resource
	 * without one came to life. */
	if (apart && (!s->want.any || !mine || other) && !(s->in && none))
		return withdraw(e, a, s);
	a->withdraw_ms = 0;
	if (a->tried == CH_WITHDRAW)
		a->tries = 0; /* That it failed is of no matter any more. */
	if (s->has_job && s->job.guard != GUARD_NONE) {
		rc = guard_void(e, a->name, &s->job);
		if (rc == 0)
			rc = put_job(e, a->name, &s->job);
		if (rc < 0)
			return rc;
	}
	if (s->has_job && mine && s->job.policy != s->policy) {
		/* What counts as drift may be something else now. */
		s->job.policy = s->policy;
		a->observe = true;
		rc = put_job(e, a->name, &s->job);
		if (rc < 0)
			return rc;
	}
	if (s->has_job && s->job.phase == JOB_ORPHANED &&
	    (!s->in || !mine || other)) {
		/* Not ours to remove any more, and not what another driver
		 * has. */
		rc = del_job(e, a->name, &s->job);
		if (rc < 0)
			return rc;
		s->has_job = false;
	}
	if (!s->in)
		return s->has_job ? 0 : rest(e, a, s);
	if (none) {
		rc = apart ? orphan(e, a, s) : 0;
		return rc < 0 ? rc
			      : say_state(e, a, s, STATE_IDLE,
					  ch_str(s->has_job
							 ? "driver none: what "
							   "is there is left"
							 : ""));
	}
	if (!s->want.any)
		return s->has_job ? 0 : rest(e, a, s);
	if (resource_is_split(&s->r))
		return say_state(e, a, s, STATE_CONFLICT,
				 ch_str("two resources of one name: write "
					"spec to settle it"));
	if (!has_driver(e, s->driver)) {
		struct strbuf text = STRBUF_INIT;

		strbuf_addf(&text, "no driver %.*s here", (int)s->driver.len,
			    (const char *)s->driver.p);
		rc = strbuf_error(&text);
		if (rc == 0)
			rc = say_state(e, a, s, STATE_FAILED,
				       strbuf_bytes(&text));
		strbuf_release(&text);
		return rc;
	}
	if (e->now_ms < a->fresh_until_ms)
		return act_due(e, a, a->fresh_until_ms);
	if (!apart || s->job.phase != JOB_APPLIED ||
	    !version_equal(&s->job.version, &s->version))
		return apply(e, a, s);
	if (!a->observe && !a->tries) {
		/* Withdrawn and taken back in time: what is in force is right,
		 * but it was said that it goes. */
		rc = said_otherwise(e, a, s, &a->observe);
		if (rc < 0)
			return rc;
	}
	if (!a->observe)
		return 0;
	if (must_wait(e, a, CH_OBSERVE, &s->version))
		return act_due(e, a, a->retry_ms);
	if (e->now_ms < a->look_again_ms)
		return act_due(e, a, a->look_again_ms);
	if (a->tried != CH_OBSERVE)
		a->tries = 0;
	rc = start_job(e, a, s, CH_OBSERVE, NULL);
	if (rc > 0)
		act_await_slot(e, a);
	else if (rc == 0)
		a->observe = false;
	return rc < 0 ? rc : 0;
}

static bool is_settled(const struct act *a)
{
	return !a->looking && !a->queued && !a->job && a->due_ms == CH_NEVER &&
	       !a->removed && !a->discards && !a->merge && !a->tries;
}

static void drop_if_settled(struct ch_engine *e, struct act *a)
{
	if (!is_settled(a))
		return;
	map_del(&e->acts, a->name);
	act_free(a);
}

/* What is left here of resources that have another name now goes there. */
static int bring(struct ch_engine *e, struct act *a, struct sight *s)
{
	uint64_t due = CH_NEVER;
	int rc;

	/* What a restored store says is not written on. */
	if (s->unconfirmed || !move_is_open(&s->r)) {
		a->left_ms = 0;
		return 0;
	}
	if (!a->left_ms)
		a->left_ms = e->now_ms;
	do
		rc = move_bring(e, a->name, a->left_ms, &due);
	while (rc == 1);
	if (rc == 0 && due != CH_NEVER)
		rc = act_due(e, a, due);
	sight_close(s);
	return rc < 0 ? rc : sight_open(e, a->name, s);
}

static int look_at(struct ch_engine *e, struct act *a)
{
	struct sight s;
	int rc = 0;

	act_undue(e, a);
	act_forget_removed(e, a);
	if (a->fresh_until_ms && e->now_ms >= a->fresh_until_ms)
		a->fresh_until_ms = 0;
	if (!a->job) {
		rc = sight_open(e, a->name, &s);
		if (rc == 0)
			rc = bring(e, a, &s);
		if (rc == 0)
			rc = consider(e, a, &s);
		if (rc == 0)
			rc = merge_run(e, a, &s.r);
		sight_close(&s);
	} else {
		rc = merge_run(e, a, NULL);
	}
	if (rc == 0)
		rc = discard_run(e, a);
	if (rc == 0 && a->fresh_until_ms)
		rc = act_due(e, a, a->fresh_until_ms);
	for (struct removed *x = a->removed; rc == 0 && x; x = x->next)
		rc = act_due(e, a, x->until_ms + 1);
	if (!a->job && !a->looking && a->due_ms == CH_NEVER)
		a->observe = false; /* There was nothing to observe. */
	return rc;
}

/* Records that no act speaks for: looked at in passing, a few at a time. */

struct scrub {
	struct ch_engine *e;
	size_t left;
	int rc;
};

static int scrub_one(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct scrub *s = arg;
	struct act *a;

	(void)value;
	if (!s->left)
		return 1;
	s->left--;
	s->rc = act_get(s->e, key, &a);
	if (s->rc < 0)
		return s->rc;
	a->observe = true;
	act_look(s->e, a);
	strbuf_reset(&s->e->scrub);
	strbuf_add(&s->e->scrub, key.p, key.len);
	strbuf_add_char(&s->e->scrub, '\0'); /* The next key after it. */
	return strbuf_error(&s->e->scrub);
}

/*
 * What is stored may be older than others know: at the start each site that
 * is there has a moment to say so, before anything is put in force by it. One
 * that cannot be reached is not waited for, one that dials us has 3 beats.
 */
static bool awaits_peers(const struct ch_engine *e)
{
	uint64_t ms = e->now_ms - e->start_ms;

	for (size_t i = 0; i < e->n_peers; i++) {
		const struct peer *p = e->peers[i];

		if (!p->is_vetted && !p->is_unreachable &&
		    ms < (p->address[0] ? FIRST_WORD_MS
					: 3u * e->cfg.heartbeat_ms))
			return true;
	}
	return false;
}

static int scrub(struct ch_engine *e)
{
	struct scrub s = {e, e->scrubbed ? SCRUB_LATER : SCRUB_FIRST, 0};
	int rc;

	if (!e->scrubbed && awaits_peers(e)) {
		update_by(e, e->now_ms + e->cfg.heartbeat_ms / 4 + 1);
		return 0;
	}
	if (e->now_ms < e->scrub_ms) {
		update_by(e, e->scrub_ms);
		return 0;
	}
	if ((e->look_first || e->slot_first) && !e->scrubbed) {
		/* The first pass goes no faster than its jobs do. */
		e->scrub_ms = e->now_ms + 10;
		update_by(e, e->scrub_ms);
		return 0;
	}
	rc = db_scan(e, COL_RECORD, ch_str(""), strbuf_bytes(&e->scrub),
		     scrub_one, &s);
	if (rc < 0)
		return rc;
	if (rc == 1) {
		e->scrub_ms = e->now_ms + (e->scrubbed ? SCRUB_STEP_MS : 1);
	} else {
		strbuf_reset(&e->scrub);
		e->scrubbed = true;
		e->scrub_ms = e->now_ms + SCRUB_REST_MS;
	}
	update_by(e, e->scrub_ms);
	return 0;
}

int plan_start(struct ch_engine *e)
{
	e->scrub_ms = e->now_ms;
	return 0;
}

int plan_run(struct ch_engine *e)
{
	struct act *list;
	int rc = scrub(e);

	while (rc == 0 && e->n_due && e->due[0]->due_ms <= e->now_ms) {
		struct act *a = e->due[0];

		act_undue(e, a);
		act_look(e, a);
	}
	/* As many of those that wait as slots are free. */
	for (size_t i = 0; i < CH_RUNNING_MAX && e->slot_first; i++) {
		struct act *a = e->slot_first;

		if (e->running[i])
			continue;
		e->slot_first = a->slot_next;
		if (!e->slot_first)
			e->slot_last = &e->slot_first;
		a->queued = false;
		act_look(e, a);
	}
	/* What is put back meanwhile is for the next round. */
	list = e->look_first;
	e->look_first = NULL;
	e->look_last = &e->look_first;
	while (rc == 0 && list) {
		struct act *a = list;

		list = a->look_next;
		a->looking = false;
		rc = look_at(e, a);
		if (rc == 0)
			drop_if_settled(e, a);
	}
	if (e->look_first || (e->slot_first && free_slot(e)))
		update_by(e, e->now_ms);
	if (e->n_due)
		update_by(e, e->due[0]->due_ms);
	return rc;
}

static int changed_one(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	(void)key;
	return plan_changed(arg, value);
}

int plan_object(struct ch_engine *e, struct ch_bytes object)
{
	struct strbuf prefix = STRBUF_INIT;
	int rc = plan_changed(e, object);

	key_object(&prefix, object, ch_str(""));
	if (rc == 0)
		rc = strbuf_error(&prefix);
	if (rc == 0 && object.len)
		rc = db_scan(e, COL_SYS, strbuf_bytes(&prefix), ch_str(""),
			     changed_one, e);
	strbuf_release(&prefix);
	return rc;
}

int plan_changed(struct ch_engine *e, struct ch_bytes name)
{
	struct act *a;
	int rc;

	if (!name.len) {
		strbuf_reset(&e->scrub);
		e->scrub_ms = e->now_ms;
		return 0;
	}
	rc = act_get(e, name, &a);
	if (rc == 0) {
		a->observe = true;
		a->retry_ms =
			e->now_ms; /* What stood in the way may be gone. */
		act_look(e, a);
	}
	return rc;
}

void plan_hurry(struct ch_engine *e, struct ch_bytes name)
{
	struct act *a = act_find(e, name);

	if (!a || a->job || !a->tries || a->retry_never)
		return;
	a->retry_ms = e->now_ms;
	act_look(e, a);
}

/* How jobs went. */

static int failed(struct ch_engine *e, struct act *a, struct sight *s,
		  const struct ch_ran *ran)
{
	uint64_t ms = RETRY_MIN_MS;
	enum state state = STATE_FAILED;

	a->tries++;
	a->tried = a->verb;
	a->tried_version = a->asked.version;
	a->retry_never = !ran->retry && a->verb == CH_APPLY;
	for (uint32_t i = 1; i < a->tries && ms < RETRY_MAX_MS; i++)
		ms *= 2;
	if (ms > RETRY_MAX_MS)
		ms = RETRY_MAX_MS;
	ms = ms / 2 + rng_below(&e->rng, ms);
	if (ms < ran->retry_ms)
		ms = ran->retry_ms;
	a->retry_ms = e->now_ms + ms;
	if (a->verb == CH_APPLY && ran->nothing && !s->job.ours &&
	    s->job.phase == JOB_BEGUN) {
		/* What is there is not ours: it is not known as such. */
		int rc = del_job(e, a->name, &s->job);

		if (rc < 0)
			return rc;
		s->has_job = false;
	}
	if (a->verb == CH_APPLY &&
	    !version_equal(&a->tried_version, &s->version))
		return 0; /* Another version is desired by now. */
	if (a->verb == CH_OBSERVE) {
		state = STATE_DEGRADED;
		a->observe = true;
	} else if (a->verb == CH_WITHDRAW) {
		state = STATE_REMOVING;
	}
	return s->have ? say_state(e, a, s, state, ran->message) : 0;
}

static int applied(struct ch_engine *e, struct act *a, struct sight *s,
		   const struct ch_ran *ran)
{
	int rc;

	s->job.phase = JOB_APPLIED;
	s->job.version = a->asked.version;
	s->job.effective = ran->effective;
	s->job.ours = true;
	s->job.n_before = 0;
	s->has_job = true;
	a->tries = 0;
	rc = del_orphan(e, a, &s->job);
	return rc < 0 ? rc : put_job(e, a->name, &s->job);
}

/* What a driver saw, or says after an apply. */
static int seen(struct ch_engine *e, struct act *a, struct sight *s,
		const struct ch_ran *ran)
{
	bool current = version_equal(&s->job.version, &s->version) && s->in &&
		       ch_bytes_equal(s->job.driver, s->driver) &&
		       !resource_is_split(&s->r);
	enum state state = ran->healthy ? STATE_READY : STATE_APPLYING;
	struct strbuf buf = STRBUF_INIT;
	struct report r;
	int rc;

	a->tries = 0;
	if (!s->have || !current)
		return 0; /* Another version is desired by now: go on to it. */
	if (!ran->healthy) {
		a->observe = true;
		a->look_again_ms = e->now_ms + LOOK_AGAIN_MS;
		if (a->verb == CH_OBSERVE)
			state = STATE_DEGRADED;
	}
	if (ran->has_observed && ran->observed.len <= REPORT_OBSERVED_MAX) {
		rc = last_said(e, a->name, &buf, &r);
		if (rc == 0) {
			r.observed = ran->observed;
			rc = say(e, &s->r, &r);
		}
		strbuf_release(&buf);
		if (rc < 0)
			return rc;
	}
	return say_state(e, a, s, state, ran->message);
}

/* It is not as it was applied, and the policy is not to mend that. */
static int drifted(struct ch_engine *e, struct act *a, struct sight *s,
		   const struct ch_ran *ran)
{
	bool ignore = s->job.policy & JOB_IGNORE;
	struct strbuf text = STRBUF_INIT, buf = STRBUF_INIT;
	struct ch_ran seen_so = *ran;
	struct report r;
	int rc;

	strbuf_addf(&text, "%.*s (policy drift %s)", (int)ran->message.len,
		    (const char *)ran->message.p, ignore ? "ignore" : "report");
	seen_so.message = strbuf_bytes(&text);
	seen_so.healthy = ignore;
	rc = strbuf_error(&text);
	if (rc == 0)
		rc = last_said(e, a->name, &buf, &r);
	if (rc == 0 && !ignore && r.state != STATE_DEGRADED)
		update_notice(e, "drift", a->name, engine_name(e),
			      &s->job.version, ch_str(""), "%.*s",
			      (int)ran->message.len,
			      (const char *)ran->message.p);
	if (rc == 0)
		rc = seen(e, a, s, &seen_so);
	strbuf_release(&buf);
	strbuf_release(&text);
	return rc;
}

static int ran_job(struct ch_engine *e, struct act *a, struct sight *s,
		   const struct ch_ran *ran)
{
	int rc;

	if (ran->err)
		return failed(e, a, s, ran);
	switch (a->verb) {
	case CH_APPLY:
		rc = applied(e, a, s, ran);
		return rc < 0 ? rc : seen(e, a, s, ran);
	case CH_OBSERVE:
		if (!ran->drift)
			return seen(e, a, s, ran);
		if (s->job.policy & (JOB_REPORT | JOB_IGNORE))
			return drifted(e, a, s, ran);
		update_notice(e, "drift", a->name, engine_name(e),
			      &s->job.version, ch_str(""), "%.*s",
			      (int)ran->message.len,
			      (const char *)ran->message.p);
		s->job.phase = JOB_BEGUN;
		return put_job(e, a->name, &s->job);
	case CH_WITHDRAW:
		a->tries = 0;
		a->withdraw_ms = 0;
		update_notice(e, "withdrawn", a->name, engine_name(e),
			      &s->job.version, ch_str(""), "%s", "");
		return del_job(e, a->name, &s->job);
	}
	return 0;
}

bool plan_uses(const struct ch_engine *e, const struct ch_hash *body)
{
	for (size_t i = 0; i < CH_RUNNING_MAX; i++) {
		const struct act *a = e->running[i];

		if (a && a->verb == CH_APPLY &&
		    (hash_cmp(&a->spec, body) == 0 ||
		     hash_cmp(&a->patch, body) == 0))
			return true;
	}
	return false;
}

int plan_ran(struct ch_engine *e, const struct ch_ran *ran)
{
	struct act *a = NULL;
	struct sight s;
	int rc;

	for (size_t i = 0; i < CH_RUNNING_MAX; i++)
		if (e->running[i] && e->running[i]->job == ran->job) {
			a = e->running[i];
			e->running[i] = NULL;
			break;
		}
	if (!a)
		return 0;
	a->job = 0;
	rc = sight_open(e, a->name, &s);
	if (rc == 0 && s.has_job)
		rc = ran_job(e, a, &s, ran);
	sight_close(&s);
	act_look(e, a);
	return rc;
}
