/* sight.c -- see sight.h. */
#include <errno.h>
#include <string.h>

#include "core/sight.h"

static uint8_t policy_bits(const struct record *r)
{
	bool report = resource_policy_is(r, POLICY_DRIFT, "report");
	bool ignore = resource_policy_is(r, POLICY_DRIFT, "ignore");
	bool keep = resource_policy_is(r, POLICY_ON_REMOVE, "keep");

	return (uint8_t)((keep ? JOB_KEEP : 0) | (report ? JOB_REPORT : 0) |
			 (ignore ? JOB_IGNORE : 0));
}

int sight_open(struct ch_engine *e, struct ch_bytes name, struct sight *s)
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
		s->unconfirmed = rejoin_is_unconfirmed(e, name, seq, &rc);
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

void sight_close(struct sight *s)
{
	record_release(&s->r);
	strbuf_release(&s->job_buf);
}

/* What we said last, to change a part of it. */
int sight_said(struct ch_engine *e, struct ch_bytes name, struct strbuf *buf,
	       struct report *ret)
{
	uint64_t seq;
	int rc = report_load(e, name, &e->cfg.self, buf, ret, &seq);

	if (rc == -ENOENT) {
		*ret = (struct report){.state = STATE_IDLE};
		return 0;
	}
	return rc;
}

int sight_say(struct ch_engine *e, struct act *a, struct sight *s,
	      enum state state, struct ch_bytes message)
{
	struct strbuf buf = STRBUF_INIT, extra = STRBUF_INIT;
	struct report r;
	int rc = sight_said(e, a->name, &buf, &r);

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
