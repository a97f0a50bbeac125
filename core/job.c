/*
 * job.c -- what the driver here was asked for, as it is stored: each under the
 * name of its resource, and found by the object on the platform and by the
 * lineage.
 */
#include <errno.h>

#include "core/sight.h"

/* Who has @object on the platform of @driver: 0 and @ret; -ENOENT: the
 * resource that is called so, if any. */
int job_of_object(struct ch_engine *e, struct ch_bytes object,
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
int job_put_object(struct ch_engine *e, const struct stored_job *job,
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
int job_of_lineage(struct ch_engine *e, const struct ch_id *lineage,
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
int job_put_lineage(struct ch_engine *e, const struct ch_id *lineage,
		    struct ch_bytes name, struct ch_bytes was)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	int rc = job_of_lineage(e, lineage, &value);

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

int job_put(struct ch_engine *e, struct ch_bytes name,
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

int job_del(struct ch_engine *e, struct ch_bytes name,
	    const struct stored_job *job)
{
	int rc = job_put_object(e, job, ch_str(""));

	if (rc == 0)
		rc = job_put_lineage(e, &job->lineage, ch_str(""), name);
	return rc < 0 ? rc : db_del(e, COL_JOB, name);
}

int job_orphan(struct ch_engine *e, struct act *a, const struct stored_job *job)
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
int job_orphan_named(struct ch_engine *e, struct sight *s, struct ch_bytes name,
		     struct stored_orphan *ret)
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
int job_unorphan(struct ch_engine *e, struct act *a, struct sight *s,
		 struct stored_orphan *ret, struct ch_bytes *ret_object)
{
	const struct entry *made = resource_made(&s->r, &s->want.lineage);
	int rc = job_orphan_named(e, s, a->name, ret);
	struct ch_bytes name;

	*ret_object = ch_str("");
	for (size_t i = 0; made && rc == 0 && entry_from(made, i, &name) == 0;
	     i++) {
		struct strbuf buf = STRBUF_INIT;

		rc = job_orphan_named(e, s, name, ret);
		if (rc > 0) {
			*ret_object = name;
			rc = job_of_object(e, name, s->driver, &buf);
			if (rc == -ENOENT)
				rc = db_get(e, COL_JOB, name, &buf);
			rc = rc == -ENOENT ? 1 : rc < 0 ? rc : 0;
		}
		strbuf_release(&buf);
	}
	return rc;
}

int job_orphan_del(struct ch_engine *e, struct act *a,
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
