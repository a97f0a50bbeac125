/*
 * inherit.c -- what this site has on its platform under the former name of a
 * resource: the job goes with the resource, and no driver hears of it.
 */
#include <errno.h>

#include "core/act.h"
#include "core/sight.h"

#define MOVE_AGAIN_MS 1000u /* Renamed, but not all of it is known yet. */

/* Two of the name that it has now: each stays as it is. 1, or below. */
int inherit_say_stays(struct ch_engine *e, struct act *a, struct sight *s,
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
			rc = sight_say(e, a, s, STATE_CONFLICT,
				       strbuf_bytes(&text));
	}
	strbuf_release(&text);
	return rc < 0 ? rc : 1;
}

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
		rc = job_put_lineage(e, &job->lineage, ch_str(""), name);
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
		rc = job_put_object(e, &job, ch_str(""));
	if (rc == 0 && ch_bytes_equal(job.object, name))
		job.object = ch_str("");
	if (rc == 0)
		rc = job_put(e, name, &job);
	if (rc == 0)
		rc = job_put_object(e, &job, name);
	if (rc == 0)
		rc = job_put_lineage(e, lineage, name, ch_str(""));
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
	rc = job_put_object(e, &job, ch_str(""));
	if (!job.object.len)
		job.object = from;
	if (!goes && ch_bytes_equal(job.object, r->name))
		job.object = ch_str("");
	if (rc == 0)
		rc = db_del(e, COL_JOB, from);
	if (rc == 0)
		rc = job_put_object(e, &job, r->name);
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
		rc = job_put(e, r->name, &job);
	if (rc == 0 && job.guard == GUARD_HELD)
		rc = guard_rename(e, from, r->name);
	if (rc == 0)
		rc = job_put_lineage(e, &job.lineage, r->name, ch_str(""));
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
int inherit_follow(struct ch_engine *e, struct act *a, struct sight *s)
{
	struct record r;
	int rc;

	record_init(&r);
	rc = move_find(e, &s->r, &s->job.lineage, &r);
	if (rc == 1 && !resource_has_lineage(&r, &s->job.lineage))
		rc = 2; /* It was deleted there. */
	else if (rc == 1 && resource_is_split(&r))
		rc = inherit_say_stays(e, a, s, r.name);
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
		rc = job_of_lineage(c->e, lineage, &where);
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
int inherit_claim(struct ch_engine *e, struct act *a, struct sight *s)
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
				rc = sight_say(e, a, s, STATE_PENDING,
					       waits.len ? strbuf_bytes(&text)
							 : ch_str(""));
		}
	}
	strbuf_release(&text);
	strbuf_release(&waits);
	return rc < 0 ? rc : c.took || c.again;
}
