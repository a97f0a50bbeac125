/*
 * wait.c -- users who wait until a version is in force (sync web/.wait).
 *
 * Whoever waits, waits for what was desired when it began. When another
 * version is desired meanwhile, that one will do: the first may never come.
 */
#include <errno.h>
#include <string.h>

#include "core/engine.h"
#include "core/mem.h"

struct waiter {
	struct waiter *next;
	uint64_t token, until_ms;
	bool one; /* Of a single site. */
	struct ch_id site;
	struct ch_bytes name; /* Behind the struct. */
};

void wait_release(struct ch_engine *e)
{
	while (e->waiters) {
		struct waiter *w = e->waiters;

		e->waiters = w->next;
		mem_free(w);
	}
}

void wait_interrupt(struct ch_engine *e, uint64_t token)
{
	for (struct waiter **at = &e->waiters; *at; at = &(*at)->next)
		if ((*at)->token == token) {
			struct waiter *w = *at;

			*at = w->next;
			mem_free(w);
			return;
		}
}

struct judge {
	struct ch_engine *e;
	const struct record *r;
	const struct waiter *w;
	int verdict; /* 0: all done; 1: not yet; below: it will not be. */
	struct err why;
};

static int judge_site(void *arg, const struct resource_site *s)
{
	struct judge *j = arg;
	struct ch_engine *e = j->e;
	struct ch_bytes name = member_name(e, &s->id);
	struct strbuf buf = STRBUF_INIT;
	struct version want;
	struct desired d;
	struct report r;
	uint64_t seq;
	int rc;

	size_t versions = resource_conflicts(j->r);

	if (!s->in || (j->w->one && id_cmp(&s->id, &j->w->site) != 0))
		return 0;
	if (versions > 1) { /* Someone has to choose. */
		j->verdict = err_set(&j->why, -EIO,
				     "%zu concurrent versions: see conflicts/",
				     versions);
		return 0;
	}
	resource_desired(j->r, &s->id, &d);
	if (!d.any || ch_bytes_equal(resource_driver(j->r), ch_str("none")))
		return 0;
	want = (struct version){d.vid, d.patch_vid};
	rc = report_load(e, j->r->name, &s->id, &buf, &r, &seq);
	if (rc == 0 && version_equal(&r.desired, &want) &&
	    r.state == STATE_READY && version_equal(&r.healthy, &want)) {
		/* Carried out, whether it is heard now or not. */
	} else if (rc == 0 && version_equal(&r.desired, &want) &&
		   (r.state == STATE_FAILED || r.state == STATE_CONFLICT)) {
		j->verdict = err_set(&j->why, -EIO, "%.*s: %.*s",
				     (int)name.len, (const char *)name.p,
				     (int)r.message.len,
				     (const char *)r.message.p);
	} else if (member_heartbeat(e, &s->id) == HB_DEAD) {
		j->verdict = err_set(&j->why, -EHOSTUNREACH, "%.*s is dead",
				     (int)name.len, (const char *)name.p);
	} else if (j->verdict == 0) {
		j->verdict = 1;
	}
	strbuf_release(&buf);
	return rc == -ENOENT ? 0 : rc;
}

/* 1: it is answered. */
static int judge(struct ch_engine *e, const struct waiter *w)
{
	struct judge j = {.e = e, .w = w, .why = ERR_INIT};
	struct record r;
	uint64_t seq;
	int rc;

	record_init(&r);
	j.r = &r;
	rc = keep_load(e, w->name, &r, &seq);
	if (rc == -ENOENT || (rc == 0 && !resource_is_there(&r))) {
		j.verdict = err_set(&j.why, -ENOENT, "it was deleted");
		rc = 0;
	} else if (rc == 0) {
		rc = resource_sites(&r, judge_site, &j);
	}
	record_release(&r);
	if (rc < 0)
		return rc;
	if (j.verdict > 0 && e->now_ms >= w->until_ms)
		j.verdict = err_set(&j.why, -ETIMEDOUT, "not in time");
	if (j.verdict > 0) {
		update_by(e, w->until_ms);
		return 0;
	}
	update_done(e, w->token, j.verdict, "%s", j.why.text);
	return 1;
}

int wait_check(struct ch_engine *e, struct ch_bytes name)
{
	struct waiter **at = &e->waiters;

	while (*at) {
		struct waiter *w = *at;
		int rc = 0;

		if (!name.len || ch_bytes_equal(w->name, name))
			rc = judge(e, w);
		if (rc < 0)
			return rc;
		if (rc == 0) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		mem_free(w);
	}
	return 0;
}

int wait_start(struct ch_engine *e, const struct ch_submit *s)
{
	struct waiter *w = mem_alloc(sizeof(*w) + s->name.len);

	if (!w)
		return -ENOMEM;
	w->token = s->token;
	w->until_ms = e->now_ms + s->timeout_ms;
	memcpy(w + 1, s->name.p, s->name.len);
	w->name = (struct ch_bytes){w + 1, s->name.len};
	w->one = s->site.len > 0;
	if (w->one && member_id(e, s->site, &w->site) < 0) {
		mem_free(w);
		update_done(e, s->token, -ENOENT, "that site is not in");
		return 0;
	}
	w->next = e->waiters;
	e->waiters = w;
	/* What has failed here before this moment is tried again now, so that
	 * the answer is of now. ch_finish() looks at it, behind the plan. */
	plan_hurry(e, s->name);
	return 0;
}
