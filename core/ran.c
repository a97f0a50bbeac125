/* ran.c -- how jobs went: what drivers say. */

#include "core/act.h"
#include "core/rng.h"
#include "core/sight.h"

#define RETRY_MIN_MS 1000u
#define RETRY_MAX_MS 300000u
#define LOOK_AGAIN_MS 2000u /* Applied, but not healthy yet. */

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
		int rc = job_del(e, a->name, &s->job);

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
	return s->have ? sight_say(e, a, s, state, ran->message) : 0;
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
	rc = job_orphan_del(e, a, &s->job);
	return rc < 0 ? rc : job_put(e, a->name, &s->job);
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
		rc = sight_said(e, a->name, &buf, &r);
		if (rc == 0) {
			r.observed = ran->observed;
			rc = say(e, &s->r, &r);
		}
		strbuf_release(&buf);
		if (rc < 0)
			return rc;
	}
	return sight_say(e, a, s, state, ran->message);
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
		rc = sight_said(e, a->name, &buf, &r);
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
		return job_put(e, a->name, &s->job);
	case CH_WITHDRAW:
		a->tries = 0;
		a->withdraw_ms = 0;
		update_notice(e, "withdrawn", a->name, engine_name(e),
			      &s->job.version, ch_str(""), "%s", "");
		return job_del(e, a->name, &s->job);
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
