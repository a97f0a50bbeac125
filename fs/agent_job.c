/* agent_job.c -- jobs for drivers: what they are handed, what they answer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/agent_private.h"

static void post_ran(struct agent *a, const struct ch_ran *ran)
{
	struct item *it = agent_item(CH_RAN);
	char *to;

	if (it)
		it->mem = malloc(ran->message.len + ran->observed.len + 1);
	if (!it || !it->mem) {
		agent_item_free(it);
		return; /* The engine asks again after a restart. */
	}
	it->ev.u.ran = *ran;
	to = it->mem;
	if (ran->message.len)
		memcpy(to, ran->message.p, ran->message.len);
	it->ev.u.ran.message.p = to;
	to += ran->message.len;
	if (ran->observed.len)
		memcpy(to, ran->observed.p, ran->observed.len);
	it->ev.u.ran.observed.p = to;
	(void)agent_post(a, it, false);
}

static void done(void *arg, uint64_t id, const struct platform_result *r)
{
	struct agent *a = arg;
	struct ch_ran ran = {
		.job = id,
		.err = r->err,
		.retry = r->retry,
		.retry_ms = r->retry_ms,
		.nothing = r->nothing,
		.healthy = r->healthy,
		.drift = r->drift,
		.message = ch_str(r->message),
		.has_observed = r->observed != NULL,
		.observed = ch_str(r->observed),
	};

	pthread_mutex_lock(&a->misc.lock);
	for (struct running **at = &a->misc.running; *at; at = &(*at)->next)
		if ((*at)->id == id) {
			struct running *x = *at;

			ran.effective = x->effective;
			*at = x->next;
			free(x);
			break;
		}
	pthread_mutex_unlock(&a->misc.lock);
	post_ran(a, &ran);
}

static void changed(void *arg, const char *name)
{
	struct agent *a = arg;
	struct item *it = agent_item(CH_CHANGED);

	if (it)
		it->mem = strdup(name ? name : "");
	if (!it || !it->mem) {
		agent_item_free(it);
		return;
	}
	it->ev.u.changed.name = ch_str(it->mem);
	(void)agent_post(a, it, false);
}

int agent_drivers_open(struct agent *a, struct err *reterr)
{
	const struct platform_callbacks cb = {done, changed, a};
	int r = 0;

	if (a->cfg->directory_root) {
		r = platform_directory_open(a->cfg->directory_root, &cb,
					    &a->platform[a->n_drivers],
					    reterr);
		if (r == 0)
			a->n_drivers++;
	}
	for (size_t i = 0; i < a->n_drivers; i++)
		a->drivers[i] = a->platform[i]->ops->name;
	return r;
}

void agent_drivers_close(struct agent *a)
{
	for (size_t i = 0; i < a->n_drivers; i++)
		a->platform[i]->ops->close(a->platform[i]);
	a->n_drivers = 0;
}

static struct order *order_new(const struct ch_job *job)
{
	struct order *o = calloc(1, sizeof(*o));
	size_t driver = strlen(job->driver) + 1;
	size_t name = strlen(job->name) + 1;
	char *mem = malloc(driver + name);

	if (!o || !mem) {
		free(o);
		free(mem);
		return NULL;
	}
	o->job = *job;
	memcpy(mem, job->driver, driver);
	memcpy(mem + driver, job->name, name);
	o->job.driver = mem;
	o->job.name = mem + driver;
	o->mem = mem;
	return o;
}

void agent_jobs_let_out(struct agent *a, const struct ch_update *u)
{
	for (const struct ch_job *j = u->run.first; j; j = j->next) {
		const struct ch_ran no_memory = {
			.job = j->id,
			.err = -ENOMEM,
			.retry = true,
			.message = ch_str("no memory"),
		};
		struct order *o = order_new(j);

		if (!o) {
			post_ran(a, &no_memory);
			continue;
		}
		pthread_mutex_lock(&a->queue.lock);
		*a->queue.order_last = o;
		a->queue.order_last = &o->next;
		pthread_cond_signal(&a->queue.orders);
		pthread_mutex_unlock(&a->queue.lock);
	}
}

static struct platform *platform_of(struct agent *a, const char *driver)
{
	for (size_t i = 0; i < a->n_drivers; i++)
		if (strcmp(a->drivers[i], driver) == 0)
			return a->platform[i];
	return NULL;
}

/* The effective spec: the bodies were durable before the job was let out. */
static int render(struct agent *a, const struct ch_job *j, struct strbuf *out,
		  struct err *reterr)
{
	struct agent_view view;
	int r = agent_view_get(a, &view);

	if (r < 0)
		return err_set(reterr, r, "the store cannot be read");
	r = view_effective(&view.v, &j->spec, &j->patch, out, reterr);
	agent_view_put(a, &view);
	return r;
}

static int remember(struct agent *a, uint64_t id, const struct ch_hash *hash)
{
	struct running *x = calloc(1, sizeof(*x));

	if (!x)
		return -ENOMEM;
	x->id = id;
	x->effective = *hash;
	pthread_mutex_lock(&a->misc.lock);
	x->next = a->misc.running;
	a->misc.running = x;
	pthread_mutex_unlock(&a->misc.lock);
	return 0;
}

static void carry_out(struct agent *a, const struct ch_job *j)
{
	struct platform *p = platform_of(a, j->driver);
	struct strbuf spec = STRBUF_INIT;
	struct err err = ERR_INIT;
	struct platform_job job = {
		.id = j->id,
		.name = j->name,
		.lineage = j->lineage,
		.owned = j->owned,
		.effective = j->effective,
		.before = j->before,
		.n_before = j->n_before,
		.secret = j->secret,
	};
	int r = 0;

	switch (j->verb) {
	case CH_APPLY:
		job.verb = PLATFORM_APPLY;
		r = render(a, j, &spec, &err);
		break;
	case CH_OBSERVE:
		job.verb = PLATFORM_OBSERVE;
		break;
	case CH_WITHDRAW:
		job.verb = PLATFORM_WITHDRAW;
		break;
	}
	if (r == 0 && !p)
		r = err_set(&err, -ENODEV, "no driver %s here", j->driver);
	if (r == 0 && j->verb == CH_APPLY) {
		job.spec = strbuf_bytes(&spec);
		hash_sum(&job.spec, 1, &job.effective);
		r = remember(a, j->id, &job.effective);
	}
	if (r < 0) {
		const struct ch_ran ran = {
			.job = j->id,
			.err = r,
			.retry = r != -EINVAL,
			.message = ch_str(err.text[0] ? err.text
						      : strerror(-r)),
		};

		post_ran(a, &ran);
	} else {
		p->ops->submit(p, &job);
	}
	strbuf_release(&spec);
}

void *agent_worker(void *arg)
{
	struct agent *a = arg;

	pthread_mutex_lock(&a->queue.lock);
	while (!atomic_load(&a->stop)) {
		struct order *o = a->queue.order_first;

		if (!o) {
			pthread_cond_wait(&a->queue.orders, &a->queue.lock);
			continue;
		}
		a->queue.order_first = o->next;
		if (!o->next)
			a->queue.order_last = &a->queue.order_first;
		pthread_mutex_unlock(&a->queue.lock);
		carry_out(a, &o->job);
		free(o->mem);
		free(o);
		pthread_mutex_lock(&a->queue.lock);
	}
	pthread_mutex_unlock(&a->queue.lock);
	return NULL;
}

const char *const *agent_drivers(struct agent *a)
{
	return a->drivers;
}

int agent_driver_status(struct agent *a, const char *driver,
			struct strbuf *out)
{
	struct platform *p = platform_of(a, driver);
	struct platform_figures f;

	if (!p)
		return -ENOENT;
	memset(&f, 0, sizeof(f));
	p->ops->figures(p, &f);
	strbuf_addf(out,
		    "reachable: %s\nversion: %s\napplied: %llu\n"
		    "withdrawn: %llu\nobserved: %llu\nfailed: %llu\n"
		    "last-error: %s\n",
		    f.reachable ? "yes" : "no",
		    f.version && f.version[0] ? f.version : "-",
		    (unsigned long long)f.applied,
		    (unsigned long long)f.withdrawn,
		    (unsigned long long)f.observed,
		    (unsigned long long)f.failed,
		    f.last_error[0] ? f.last_error : "-");
	return strbuf_error(out);
}
