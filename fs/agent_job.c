/* agent_job.c -- jobs for drivers: what they are handed, what they answer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "fs/agent_private.h"

/* The answer takes the order's item with it, and what it says if there is
 * memory for that; else as much as fits in what was set aside. */
static void answer(struct agent *a, struct order *o, const struct ch_ran *ran)
{
	struct item *it = o->answer;
	size_t message = ran->message.len, observed = ran->observed.len;
	char *to;

	o->answer = NULL;
	agent_order_free(o);
	it->ev.u.ran = *ran;
	to = malloc(message + observed + 1);
	if (to) {
		free(it->mem);
		it->mem = to;
	} else {
		to = it->mem;
		if (message > AGENT_TEXT_LEN)
			message = AGENT_TEXT_LEN;
		observed = 0;
		it->ev.u.ran.has_observed = false;
	}
	if (message)
		memcpy(to, ran->message.p, message);
	it->ev.u.ran.message = (struct ch_bytes){to, message};
	to += message;
	if (observed)
		memcpy(to, ran->observed.p, observed);
	it->ev.u.ran.observed = (struct ch_bytes){to, observed};
	(void)agent_post(a, it, false);
}

void agent_job_done(void *arg, uint64_t id, const struct platform_result *r)
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
	struct order **at, *o;

	pthread_mutex_lock(&a->queue.lock);
	at = &a->queue.running;
	while (*at && (*at)->job.id != id)
		at = &(*at)->next;
	o = *at;
	if (o)
		*at = o->next;
	/* Another of that name may have waited. */
	pthread_cond_signal(&a->queue.orders);
	pthread_mutex_unlock(&a->queue.lock);
	CHECK(o);
	ran.effective = o->effective;
	answer(a, o, &ran);
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
	const struct platform_callbacks cb = {agent_job_done, changed, a};
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

void agent_order_free(struct order *o)
{
	if (!o)
		return;
	agent_item_free(o->answer);
	free(o->mem);
	free(o);
}

static struct order *order_new(const struct ch_job *job)
{
	struct order *o = calloc(1, sizeof(*o));
	size_t driver = strlen(job->driver) + 1;
	size_t name = strlen(job->name) + 1;
	char *mem = malloc(driver + name);

	if (o) {
		o->mem = mem;
		o->answer = agent_item(CH_RAN);
	}
	if (o && o->answer)
		o->answer->mem = malloc(AGENT_TEXT_LEN);
	if (!o || !mem || !o->answer || !o->answer->mem) {
		if (!o)
			free(mem);
		agent_order_free(o);
		return NULL;
	}
	o->job = *job;
	memcpy(mem, job->driver, driver);
	memcpy(mem + driver, job->name, name);
	o->job.driver = mem;
	o->job.name = mem + driver;
	return o;
}

int agent_jobs_prepare(struct agent *a, const struct ch_update *u)
{
	for (const struct ch_job *j = u->run.first; j; j = j->next) {
		struct order *o = order_new(j);

		if (!o)
			return -ENOMEM;
		o->next = a->ready;
		a->ready = o;
	}
	return 0;
}

void agent_jobs_let_out(struct agent *a)
{
	struct order *list = NULL;

	while (a->ready) { /* The oldest first. */
		struct order *o = a->ready;

		a->ready = o->next;
		o->next = list;
		list = o;
	}
	if (!list)
		return;
	pthread_mutex_lock(&a->queue.lock);
	*a->queue.order_last = list;
	while (*a->queue.order_last)
		a->queue.order_last = &(*a->queue.order_last)->next;
	pthread_cond_signal(&a->queue.orders);
	pthread_mutex_unlock(&a->queue.lock);
}

static void free_orders(struct order *list)
{
	while (list) {
		struct order *o = list;

		list = o->next;
		agent_order_free(o);
	}
}

void agent_jobs_drop(struct agent *a)
{
	struct order *list;

	free_orders(a->ready);
	a->ready = NULL;
	pthread_mutex_lock(&a->queue.lock);
	list = a->queue.order_first;
	a->queue.order_first = NULL;
	a->queue.order_last = &a->queue.order_first;
	pthread_mutex_unlock(&a->queue.lock);
	free_orders(list);
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

static void run(struct agent *a, struct order *o)
{
	pthread_mutex_lock(&a->queue.lock);
	o->next = a->queue.running;
	a->queue.running = o;
	pthread_mutex_unlock(&a->queue.lock);
}

static void carry_out(struct agent *a, struct order *o)
{
	const struct ch_job *j = &o->job;
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
		.take = j->take,
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
		o->effective = job.effective;
	}
	if (r < 0) {
		const struct ch_ran ran = {
			.job = j->id,
			.err = r,
			.retry = r != -EINVAL,
			.message = ch_str(err.text[0] ? err.text
						      : strerror(-r)),
		};

		answer(a, o, &ran);
	} else {
		/* The strings may go with its answer: submit() copies first. */
		run(a, o);
		p->ops->submit(p, &job);
	}
	strbuf_release(&spec);
}

/* The first one that no driver is at work for. */
static struct order *take_order(struct agent *a)
{
	for (struct order **at = &a->queue.order_first; *at;
	     at = &(*at)->next) {
		struct order *o = *at, *x = a->queue.running;

		while (x && strcmp(x->job.name, o->job.name) != 0)
			x = x->next;
		if (x)
			continue;
		*at = o->next;
		if (!o->next)
			a->queue.order_last = at;
		return o;
	}
	return NULL;
}

void *agent_worker(void *arg)
{
	struct agent *a = arg;

	pthread_mutex_lock(&a->queue.lock);
	while (!atomic_load(&a->stop)) {
		struct order *o = take_order(a);

		if (!o) {
			pthread_cond_wait(&a->queue.orders, &a->queue.lock);
			continue;
		}
		pthread_mutex_unlock(&a->queue.lock);
		carry_out(a, o);
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
