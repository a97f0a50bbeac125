/* shrink.c -- see shrink.h. */
#include "tests/sim/shrink.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/check.h"
#include "tests/sim/diagram.h"

#define TRIAL_S 60 /* One that takes longer counts as not failing. */

static void on_abort(int sig)
{
	(void)sig;
	if (run_world() && run_world()->o.told) {
		diagram_print(run_world(), stdout);
		fflush(stdout);
	}
	_exit(9);
}

void try_apart(const struct script *s, bool draw, struct verdict *ret)
{
	struct verdict *shared =
		mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct script told = *s;
	int status = 0;
	pid_t pid;

	CHECK(shared != MAP_FAILED);
	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		signal(SIGABRT, on_abort);
		alarm(TRIAL_S);
		told.o.told = draw;
		if (!freopen("/dev/null", "w", stderr))
			_exit(8);
		run_script(&told, shared);
		if (draw)
			diagram_print(run_world(), stdout);
		fflush(stdout);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	*ret = *shared;
	munmap(shared, sizeof(*shared));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 9) {
		ret->failed = true;
		(void)snprintf(ret->check, sizeof(ret->check), "aborted");
		(void)snprintf(ret->why, sizeof(ret->why),
			       "core found itself wrong, and ended");
	} else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		ret->failed = false;
	}
}

struct shrinker {
	struct script *s;
	const struct verdict *was;
	time_t end;
	size_t trials;
};

static bool still_fails(struct shrinker *x)
{
	struct verdict v;

	if (time(NULL) >= x->end)
		return false;
	x->trials++;
	try_apart(x->s, false, &v);
	return v.failed && strcmp(v.check, x->was->check) == 0;
}

static size_t list_on(const struct script *s, bool faults, size_t *v)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		if (!s->v[i].off &&
		    (s->v[i].kind >= DEED_FIRST_FAULT) == faults)
			v[n++] = i;
	return n;
}

/* Leave out what can be, @part of @parts at a time. */
static bool drop_some(struct shrinker *x, bool faults)
{
	size_t *v = calloc(x->s->n + 1, sizeof(*v));
	size_t n = list_on(x->s, faults, v), step = n;
	bool any = false;

	CHECK(v);
	while (step) {
		bool gone = false;

		for (size_t at = 0; at < n; at += step) {
			size_t end = at + step < n ? at + step : n;

			for (size_t i = at; i < end; i++)
				x->s->v[v[i]].off = true;
			if (still_fails(x)) {
				gone = any = true;
				continue;
			}
			for (size_t i = at; i < end; i++)
				x->s->v[v[i]].off = false;
		}
		n = list_on(x->s, faults, v);
		if (!gone || step == 1)
			step = step == 1 && !gone ? 0 : (step + 1) / 2;
		if (step > n)
			step = n;
	}
	free(v);
	return any;
}

static bool plainer(struct shrinker *x, const char *option)
{
	const struct script was = *x->s;

	CHECK(script_option(x->s, option));
	if (memcmp(&was.o, &x->s->o, sizeof(was.o)) == 0 &&
	    was.big == x->s->big && was.rest == x->s->rest &&
	    was.again == x->s->again && was.replays == x->s->replays &&
	    was.spares == x->s->spares)
		return false;
	if (still_fails(x))
		return true;
	*x->s = was;
	return false;
}

static bool drop_options(struct shrinker *x)
{
	static const char *const option[] = {
		"rest=0",   "spares=0",          "again=0",    "replays=0",
		"big=0",    "job_fails=0",       "job_ails=0", "commit_fails=0",
		"skewed=0", "lacks_other=0",     "slow=0",     "resets=0",
		"twice=0",  "late_ms=0",         "loss=0",     "dial_only=0",
		"star=0",   "together=0",        "delay_ms=1", "commit_ms=0",
		"job_ms=1", "heartbeat_ms=1000", "audits=64",
	};
	bool any = false;

	for (size_t i = 0; i < sizeof(option) / sizeof(option[0]); i++)
		any |= plainer(x, option[i]);
	return any;
}

static bool drop_sites(struct shrinker *x)
{
	bool any = false;
	char text[32];

	for (size_t n = 1; n < x->s->o.n_sites; n++) {
		(void)snprintf(text, sizeof(text), "sites=%zu", n);
		if (plainer(x, text)) {
			any = true;
			break;
		}
	}
	return any;
}

size_t shrink(struct script *s, const struct verdict *was, unsigned int seconds)
{
	struct shrinker x = {s, was, time(NULL) + (time_t)seconds, 0};
	bool any = true;

	while (any && time(NULL) < x.end) {
		any = drop_some(&x, true);
		any |= drop_some(&x, false);
		any |= drop_options(&x);
		any |= drop_sites(&x);
	}
	return x.trials;
}
