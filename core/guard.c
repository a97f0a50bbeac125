/*
 * guard.c -- the mass-removal guard: of many removals at once, from whatever
 * cause, only the first few reach this site's driver.
 *
 *	          grace is over              rm .held/NAME
 *	(none) ----------------> held -----------------------> passed
 *	   |  guard_pass()                    guard_let_go()     ^
 *	   +-----------------------------------------------------+
 *	                      guard_pass()
 *
 * From each of them guard_void() leads back, once nothing is to be removed any
 * more. The word stands in COL_JOB, so a crash changes nothing; what people
 * read of a removal that is held stands beside it.
 *
 * A removal may go while no more than 3 went in the minute before, or no more
 * than 20 and than a quarter of what was in force when that minute's first one
 * went. Who never had more than 3 is not guarded. Removals count by lineage:
 * one that is undone and repeated counts once. The minute is one of running
 * time, and is stored, so that it outlives the agent.
 */
#include <errno.h>
#include <string.h>

#include "core/act.h"
#include "core/wire.h"

#define WINDOW_MS 60000u
#define FEW 3u	 /* So many may go from any site. */
#define MANY 20u /* And so many at most. */
#define PART 4u	 /* One of so many. */
#define COUNT_MAX (MANY * PART) /* More need not be counted. */

#define WINDOW_KEY "guard"
#define WINDOW_FORMAT 1

/* The removals of the last minute, oldest first. */
struct window {
	struct {
		uint64_t run_ms;
		struct ch_id lineage;
		uint32_t before; /* In force then; COUNT_MAX: or more. */
	} v[MANY];
	size_t n;
};

static int window_load(struct ch_engine *e, struct window *ret)
{
	struct strbuf value = STRBUF_INIT;
	uint64_t run = engine_run(e);
	struct window win = {.n = 0};
	struct wire w;
	uint32_t n;
	int rc = db_get(e, COL_SYS, ch_str(WINDOW_KEY), &value);

	if (rc == 0) {
		w = wire_of(strbuf_bytes(&value));
		if (wire_u8(&w) != WINDOW_FORMAT)
			rc = -EIO;
		n = wire_u32(&w);
		for (uint32_t i = 0; i < n && i < MANY && !w.bad; i++) {
			win.v[win.n].run_ms = wire_u64(&w);
			wire_copy(&w, win.v[win.n].lineage.b, 16);
			win.v[win.n].before = wire_u32(&w);
			/* A crash may have set our time back a little. */
			if (win.v[win.n].run_ms > run ||
			    run - win.v[win.n].run_ms < WINDOW_MS)
				win.n++;
		}
		if (rc == 0 && (!wire_done(&w) || n > MANY))
			rc = -EIO;
	}
	strbuf_release(&value);
	*ret = win;
	return rc == -ENOENT ? 0 : rc;
}

static int window_store(struct ch_engine *e, const struct window *win)
{
	struct strbuf value = STRBUF_INIT;
	int rc;

	wire_put_u8(&value, WINDOW_FORMAT);
	wire_put_u32(&value, (uint32_t)win->n);
	for (size_t i = 0; i < win->n; i++) {
		wire_put_u64(&value, win->v[i].run_ms);
		wire_put_raw(&value, win->v[i].lineage.b, 16);
		wire_put_u32(&value, win->v[i].before);
	}
	rc = strbuf_error(&value);
	if (rc == 0)
		rc = db_put(e, COL_SYS, ch_str(WINDOW_KEY),
			    strbuf_bytes(&value));
	strbuf_release(&value);
	engine_save_run_until(e, e->now_ms + WINDOW_MS);
	return rc;
}

static int count_one(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct stored_job job;
	uint32_t *n = arg;

	(void)key;
	if (stored_job_decode(value, &job) < 0)
		return -EIO;
	*n += job.phase != JOB_ORPHANED;
	return *n == COUNT_MAX;
}

/* What this site has in force, COUNT_MAX at most. */
static int count_in_force(struct ch_engine *e, uint32_t *ret_n)
{
	int rc;

	*ret_n = 0;
	rc = db_scan(e, COL_JOB, ch_str(""), ch_str(""), count_one, ret_n);
	return rc < 0 ? rc : 0;
}

/* 1: one more may go, and is counted; 0; below. */
static int admit(struct ch_engine *e, const struct ch_id *lineage,
		 struct window *win)
{
	uint32_t now = 0, before = 0, n = (uint32_t)win->n + 1;
	bool few;
	int rc = 0;

	for (size_t i = 0; i < win->n; i++)
		if (id_cmp(&win->v[i].lineage, lineage) == 0)
			return 1;
	if (win->n)
		before = win->v[0].before;
	if (!win->n || before <= FEW)
		rc = count_in_force(e, &now);
	if (rc < 0)
		return rc;
	if (!win->n)
		before = now;
	few = before <= FEW && now <= FEW;
	if (!few && n > FEW && (n > MANY || n * PART > before))
		return 0;
	if (win->n == MANY) { /* Of few, many times: the first one goes. */
		memmove(win->v, win->v + 1, (MANY - 1) * sizeof(win->v[0]));
		win->n--;
	}
	win->v[win->n].run_ms = engine_run(e);
	win->v[win->n].lineage = *lineage;
	win->v[win->n].before = before;
	win->n++;
	rc = window_store(e, win);
	return rc < 0 ? rc : 1;
}

static int put_held(struct ch_engine *e, struct ch_bytes name,
		    const struct stored_held *held)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	int rc;

	key_held(&key, name);
	stored_held_encode(held, &value);
	rc = key.bad || value.bad ? -ENOMEM : 0;
	if (rc == 0)
		rc = db_put(e, COL_SYS, strbuf_bytes(&key),
			    strbuf_bytes(&value));
	if (rc == 0)
		update_stale(e, CH_STALE_HELD, name, ch_str(""), true);
	strbuf_release(&value);
	strbuf_release(&key);
	return rc;
}

static int del_held(struct ch_engine *e, struct ch_bytes name)
{
	struct strbuf key = STRBUF_INIT;
	int rc;

	key_held(&key, name);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_del(e, COL_SYS, strbuf_bytes(&key));
	if (rc == 0)
		update_stale(e, CH_STALE_HELD, name, ch_str(""), false);
	strbuf_release(&key);
	return rc;
}

int guard_pass(struct ch_engine *e, struct ch_bytes name,
	       struct stored_job *job, const struct guard_cause *cause)
{
	struct stored_held held = {
		.lineage = job->lineage,
		.driver = job->driver,
		.cause = ch_str(cause->what),
		.user = cause->user,
		.at = cause->at,
		.since_ms = e->wall_ms,
	};
	struct window win;
	int rc;

	if (job->guard != GUARD_NONE)
		return job->guard == GUARD_PASSED;
	rc = window_load(e, &win);
	held.gone = (uint32_t)win.n;
	if (rc == 0)
		rc = admit(e, &job->lineage, &win);
	if (rc < 0)
		return rc;
	job->guard = rc ? GUARD_PASSED : GUARD_HELD;
	rc = job_put(e, name, job);
	if (rc == 0 && job->guard == GUARD_HELD) {
		update_notice(e, "held", name, engine_name(e), &job->version,
			      cause->user,
			      "%s; %u removals went in the minute before: see "
			      ".held/",
			      cause->what, (unsigned)held.gone);
		rc = put_held(e, name, &held);
	}
	return rc < 0 ? rc : job->guard == GUARD_PASSED;
}

int guard_void(struct ch_engine *e, struct ch_bytes name,
	       struct stored_job *job)
{
	bool held = job->guard == GUARD_HELD;

	if (job->guard == GUARD_NONE)
		return 0;
	job->guard = GUARD_NONE;
	return held ? del_held(e, name) : 0;
}

int guard_rename(struct ch_engine *e, struct ch_bytes from, struct ch_bytes to)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	struct stored_held held;
	int rc;

	key_held(&key, from);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_get(e, COL_SYS, strbuf_bytes(&key), &value);
	if (rc == 0 && stored_held_decode(strbuf_bytes(&value), &held) < 0)
		rc = -EIO;
	if (rc == 0)
		rc = put_held(e, to, &held);
	if (rc == 0)
		rc = del_held(e, from);
	strbuf_release(&value);
	strbuf_release(&key);
	return rc == -ENOENT ? 0 : rc;
}

int guard_held(struct ch_engine *e, struct ch_bytes name, struct strbuf *buf,
	       struct stored_job *ret_job)
{
	int rc = db_get(e, COL_JOB, name, buf);

	if (rc == 0 && stored_job_decode(strbuf_bytes(buf), ret_job) < 0)
		rc = -EIO;
	return rc == 0 && ret_job->guard != GUARD_HELD ? -ENOENT : rc;
}

int guard_let_go(struct ch_engine *e, const struct ch_submit *s)
{
	struct strbuf buf = STRBUF_INIT;
	struct stored_job job;
	int rc = guard_held(e, s->name, &buf, &job);

	if (rc == -ENOENT) {
		update_done(e, s->token, rc, "no such removal is held here");
		strbuf_release(&buf);
		return 0;
	}
	if (rc == 0) {
		job.guard = GUARD_PASSED;
		rc = job_put(e, s->name, &job);
	}
	if (rc == 0)
		rc = del_held(e, s->name);
	if (rc == 0)
		rc = plan_touch(e, s->name);
	if (rc == 0)
		update_done(e, s->token, 0, "%s", "");
	strbuf_release(&buf);
	return rc;
}
