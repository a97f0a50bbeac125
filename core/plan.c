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
#include "core/gone.h"
#include "core/peer.h"
#include "core/sight.h"
#include "core/text.h"

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
		rc = sight_say(e, a, s, STATE_HELD, strbuf_bytes(&text));
	strbuf_release(&text);
	if (rc == 0)
		rc = act_due(e, a, e->now_ms + s->hold_ms);
	return rc < 0 ? rc : 1;
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
	int rc = job_orphan(e, a, &s->job);

	if (rc == 0)
		rc = guard_void(e, a->name, &s->job);
	if (rc == 0)
		rc = job_del(e, a->name, &s->job);
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
		rc = sight_say(e, a, s, STATE_HELD, strbuf_bytes(&text));
	strbuf_release(&text);
	return rc < 0 ? rc : 1;
}

/* What stopped it does no more. */
static int unsay_held(struct ch_engine *e, struct act *a, struct sight *s)
{
	struct strbuf buf = STRBUF_INIT;
	struct report r;
	int rc = sight_said(e, a->name, &buf, &r);
	bool held = rc == 0 && r.state == STATE_HELD;

	strbuf_release(&buf);
	if (!held)
		return rc;
	return sight_say(e, a, s, s->in ? STATE_PENDING : STATE_REMOVING,
			 ch_str(""));
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
		rc = inherit_say_stays(e, a, s, r.name);
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
		rc = s->in ? 0 : sight_say(e, a, s, STATE_REMOVING, ch_str(""));
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
	int rc = job_of_object(e, a->name, s->driver, &owner);

	if (rc == 0) {
		strbuf_addf(&text,
			    "'%.*s' there belongs to the resource '%.*s', "
			    "which was called so",
			    (int)a->name.len, (const char *)a->name.p,
			    (int)owner.len, owner.buf);
		rc = strbuf_error(&text);
		if (rc == 0)
			rc = sight_say(e, a, s, STATE_FAILED,
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
		rc = job_unorphan(e, a, s, &left, &object);
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
		rc = job_put_object(e, &s->job, a->name);
	if (rc == 0 && !had)
		rc = job_put_lineage(e, &s->job.lineage, a->name, ch_str(""));
	if (rc == 0)
		rc = job_put(e, a->name, &s->job);
	if (rc == 0)
		rc = sight_say(e, a, s, STATE_APPLYING, ch_str(""));
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
		return sight_say(e, a, s, STATE_IDLE, ch_str(""));
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
	int rc = job_orphan(e, a, &s->job);

	s->job.phase = JOB_ORPHANED;
	return rc < 0 ? rc : job_put(e, a->name, &s->job);
}

/* Is what we said last of something else than what is in force? */
static int said_otherwise(struct ch_engine *e, struct act *a, struct sight *s,
			  bool *ret_otherwise)
{
	struct strbuf buf = STRBUF_INIT;
	struct report r;
	int rc = sight_said(e, a->name, &buf, &r);

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
		rc = sight_say(e, a, s, STATE_PENDING, strbuf_bytes(&text));
	strbuf_release(&text);
	return rc;
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
		rc = inherit_follow(e, a, s);
		if (rc)
			return rc < 0 ? rc : 0;
	}
	rc = inherit_claim(e, a, s);
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
			rc = job_put(e, a->name, &s->job);
		if (rc < 0)
			return rc;
	}
	if (s->has_job && mine && s->job.policy != s->policy) {
		/* What counts as drift may be something else now. */
		s->job.policy = s->policy;
		a->observe = true;
		rc = job_put(e, a->name, &s->job);
		if (rc < 0)
			return rc;
	}
	if (s->has_job && s->job.phase == JOB_ORPHANED &&
	    (!s->in || !mine || other)) {
		/* Not ours to remove any more, and not what another driver
		 * has. */
		rc = job_del(e, a->name, &s->job);
		if (rc < 0)
			return rc;
		s->has_job = false;
	}
	if (!s->in)
		return s->has_job ? 0 : rest(e, a, s);
	if (none) {
		rc = apart ? orphan(e, a, s) : 0;
		return rc < 0 ? rc
			      : sight_say(e, a, s, STATE_IDLE,
					  ch_str(s->has_job
							 ? "driver none: what "
							   "is there is left"
							 : ""));
	}
	if (!s->want.any)
		return s->has_job ? 0 : rest(e, a, s);
	if (resource_is_split(&s->r))
		return sight_say(e, a, s, STATE_CONFLICT,
				 ch_str("two resources of one name: write "
					"spec to settle it"));
	if (!has_driver(e, s->driver)) {
		struct strbuf text = STRBUF_INIT;

		strbuf_addf(&text, "no driver %.*s here", (int)s->driver.len,
			    (const char *)s->driver.p);
		rc = strbuf_error(&text);
		if (rc == 0)
			rc = sight_say(e, a, s, STATE_FAILED,
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

int plan_start(struct ch_engine *e)
{
	e->scrub_ms = e->now_ms;
	return 0;
}

int plan_run(struct ch_engine *e)
{
	struct act *list;
	int rc = scrub_run(e);

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
