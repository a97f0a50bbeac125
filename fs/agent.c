/* agent.c -- agent.h says what it promises; agent_private.h who does what. */
#include "fs/agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/doc.h"
#include "core/id.h"
#include "fs/agent_private.h"

static uint64_t clock_ms(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t agent_now_ms(void)
{
	return clock_ms(CLOCK_BOOTTIME);
}

uint64_t agent_wall_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

struct item *agent_item(enum ch_event_type type)
{
	struct item *it = calloc(1, sizeof(*it));

	if (it)
		it->ev.type = type;
	return it;
}

void agent_item_free(struct item *it)
{
	if (!it)
		return;
	codec_release(&it->msg);
	free(it->mem);
	free(it->held);
	free(it);
}

int agent_post(struct agent *a, struct item *it, bool bounded)
{
	int r = 0;

	pthread_mutex_lock(&a->queue.lock);
	if (bounded && a->queue.n >= AGENT_QUEUE_MAX) {
		r = -EAGAIN;
	} else {
		it->next = NULL;
		*a->queue.last = it;
		a->queue.last = &it->next;
		a->queue.n++;
	}
	pthread_mutex_unlock(&a->queue.lock);
	/* Behind the lock, or the loop would wake up only to wait for it. */
	if (r == 0)
		pthread_cond_signal(&a->queue.more);
	return r;
}

/* Users who wait. */

static struct pending *pending_take(struct agent *a, uint64_t token)
{
	struct pending *p = NULL;

	pthread_mutex_lock(&a->pending.lock);
	for (struct pending **at = &a->pending.first; *at; at = &(*at)->next)
		if ((*at)->token == token) {
			p = *at;
			*at = p->next;
			a->pending.n--;
			break;
		}
	pthread_mutex_unlock(&a->pending.lock);
	return p;
}

static const struct ch_bytes no_context;

void agent_written(struct agent *a, uint64_t token, int err, const char *text,
		   struct ch_bytes context)
{
	struct pending *p = pending_take(a, token);

	if (!p)
		return;
	p->fn(p->arg, err, text, context);
	free(p);
}

void agent_done(struct agent *a, uint64_t token, int err, const char *text)
{
	agent_written(a, token, err, text, no_context);
}

void agent_done_waits(struct agent *a, int err, const char *text)
{
	for (;;) {
		const struct pending *p;
		uint64_t token = 0;

		pthread_mutex_lock(&a->pending.lock);
		for (p = a->pending.first; p && p->until_ms; p = p->next)
			;
		if (p)
			token = p->token;
		pthread_mutex_unlock(&a->pending.lock);
		if (!token)
			return;
		agent_done(a, token, err, text);
	}
}

static struct pending *pending_late(struct agent *a, uint64_t now,
				    uint64_t *ret_next)
{
	*ret_next = UINT64_MAX;
	for (struct pending **at = &a->pending.first; *at; at = &(*at)->next) {
		struct pending *p = *at;

		if (!p->until_ms)
			continue;
		if (p->until_ms <= now) {
			*at = p->next;
			a->pending.n--;
			return p;
		}
		if (p->until_ms < *ret_next)
			*ret_next = p->until_ms;
	}
	return NULL;
}

static void wait_until(pthread_cond_t *cond, pthread_mutex_t *lock,
		       uint64_t now, uint64_t ms)
{
	struct timespec t;

	if (ms == UINT64_MAX) {
		pthread_cond_wait(cond, lock);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &t);
	ms = ms > now ? ms - now : 0;
	t.tv_sec += (time_t)(ms / 1000);
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(cond, lock, &t);
}

/* Answers whoever waits too long: the loop may hang in a commit. */
static void *timer(void *arg)
{
	struct agent *a = arg;

	pthread_mutex_lock(&a->pending.lock);
	while (!atomic_load(&a->stop)) {
		uint64_t now = agent_now_ms(), next;
		struct pending *p = pending_late(a, now, &next);

		if (!p) {
			a->pending.timer_rests = next == UINT64_MAX;
			wait_until(&a->pending.changed, &a->pending.lock, now,
				   next);
			a->pending.timer_rests = false;
			continue;
		}
		pthread_mutex_unlock(&a->pending.lock);
		p->fn(p->arg, -EAGAIN,
		      "the store has not answered for 2 s; the version may "
		      "yet appear",
		      no_context);
		free(p);
		pthread_mutex_lock(&a->pending.lock);
	}
	pthread_mutex_unlock(&a->pending.lock);
	return NULL;
}

/* The view. */

static int broken_get(const struct ch_reader *r, enum ch_col col,
		      struct ch_bytes key, struct strbuf *ret_value)
{
	(void)r;
	(void)col;
	(void)key;
	(void)ret_value;
	return -EIO;
}

static int broken_scan(const struct ch_reader *r, enum ch_col col,
		       struct ch_bytes prefix, struct ch_bytes from,
		       ch_scan_fn *fn, void *arg)
{
	(void)r;
	(void)col;
	(void)prefix;
	(void)from;
	(void)fn;
	(void)arg;
	return -EIO;
}

/* Stands in for a store that cannot be opened: what needs none is shown, and
 * nothing looks as if it were gone. */
static const struct ch_reader broken = {broken_get, broken_scan};

int agent_view_get(struct agent *a, struct agent_view *ret_view)
{
	const struct ch_reader *reader = NULL;
	bool open;
	int r = 0;

	pthread_mutex_lock(&a->gate.lock);
	a->gate.readers++;
	open = !a->gate.closed && a->store;
	pthread_mutex_unlock(&a->gate.lock);
	if (open)
		r = store_snapshot(a->store, &reader);
	ret_view->v.store = reader ? reader : &broken;
	ret_view->v.self = a->self.uuid;
	ret_view->v.wall_ms = agent_wall_ms();
	ret_view->hold = (void *)(uintptr_t)reader;
	if (r < 0)
		agent_view_put(a, ret_view);
	return r;
}

void agent_view_put(struct agent *a, struct agent_view *v)
{
	if (v->hold)
		store_snapshot_free(a->store, v->hold);
	v->hold = NULL;
	pthread_mutex_lock(&a->gate.lock);
	if (--a->gate.readers == 0)
		pthread_cond_signal(&a->gate.idle);
	pthread_mutex_unlock(&a->gate.lock);
}

int agent_writable(struct agent *a, struct err *reterr)
{
	int ailing = atomic_load(&a->ailing);

	if (ailing == -ENOSPC ||
	    (!ailing && store_dir_space(a->dir) == STORE_SPACE_LOW))
		return err_set(reterr, -ENOSPC,
			       "the disk of the store is full: make room in "
			       "%s; what is stored can be read",
			       a->cfg->store);
	if (ailing)
		return err_set(reterr, -EAGAIN,
			       "the store ails and is being opened again: try "
			       "later; what is stored can be read");
	return 0;
}

/* Submitting. */

static size_t room(const struct ch_submit *s)
{
	return s->name.len + s->site.len + s->trash.len + s->to.len +
	       s->context.len + s->body.len + s->user.len + s->owner.len +
	       s->group.len;
}

static void move_bytes(char **to, struct ch_bytes *b)
{
	if (b->len)
		memcpy(*to, b->p, b->len);
	b->p = *to;
	*to += b->len;
}

static struct item *submit_item(const struct ch_submit *s)
{
	struct item *it = agent_item(CH_SUBMIT);
	struct ch_submit *c;
	char *to;

	if (!it)
		return NULL;
	it->mem = malloc(room(s) + 1);
	if (!it->mem) {
		free(it);
		return NULL;
	}
	c = &it->ev.u.submit;
	*c = *s;
	to = it->mem;
	move_bytes(&to, &c->name);
	move_bytes(&to, &c->site);
	move_bytes(&to, &c->trash);
	move_bytes(&to, &c->to);
	move_bytes(&to, &c->context);
	move_bytes(&to, &c->body);
	move_bytes(&to, &c->user);
	move_bytes(&to, &c->owner);
	move_bytes(&to, &c->group);
	return it;
}

int agent_submit(struct agent *a, struct ch_submit *s, agent_done_fn *fn,
		 void *arg, uint64_t *ret_token)
{
	struct pending *p;
	struct item *it;
	bool wake;
	int r = s->op == CH_WAIT ? 0 : agent_writable(a, NULL);

	if (r < 0)
		return r;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->fn = fn;
	p->arg = arg;
	p->until_ms =
		s->op == CH_WAIT ? 0 : agent_now_ms() + AGENT_COMMIT_MS;
	pthread_mutex_lock(&a->pending.lock);
	s->token = p->token = ++a->pending.last_token;
	pthread_mutex_unlock(&a->pending.lock);
	it = submit_item(s);
	if (!it) {
		free(p);
		return -ENOMEM;
	}
	if (ret_token)
		*ret_token = p->token;
	pthread_mutex_lock(&a->pending.lock);
	p->next = a->pending.first;
	a->pending.first = p;
	a->pending.n++;
	/* While it sleeps for someone it will not be too late for us: whoever
	 * comes later waits until later. So it is woken at most every 2 s. */
	wake = p->until_ms && a->pending.timer_rests;
	if (wake)
		a->pending.timer_rests = false;
	pthread_mutex_unlock(&a->pending.lock);
	if (wake)
		pthread_cond_signal(&a->pending.changed);
	r = agent_post(a, it, true);
	if (r < 0) {
		agent_item_free(it);
		p = pending_take(a, s->token);
		free(p);
		return p ? r : 0; /* Else the timer has answered it. */
	}
	return 0;
}

void agent_interrupt(struct agent *a, uint64_t token)
{
	struct item *it = agent_item(CH_INTERRUPT);

	if (!it)
		return; /* It ends when its time is over. */
	it->ev.u.interrupt.token = token;
	(void)agent_post(a, it, false);
}

void agent_quiet(struct agent *a, struct ch_bytes name)
{
	struct item *it = agent_item(CH_QUIET);

	if (it)
		it->mem = malloc(name.len + 1);
	if (!it || !it->mem) {
		agent_item_free(it);
		return; /* It goes out a second later by itself. */
	}
	memcpy(it->mem, name.p, name.len);
	it->ev.u.quiet.name = (struct ch_bytes){it->mem, name.len};
	(void)agent_post(a, it, false);
}

/* Checks before a commit. */

static const struct platform_ops *driver_ops(struct agent *a, const char *name)
{
	for (size_t i = 0; i < a->n_drivers; i++)
		if (strcmp(a->drivers[i], name) == 0)
			return a->platform[i]->ops;
	return NULL;
}

/* The driver that it has, or that a first spec would get. */
static const struct platform_ops *driver_of(struct agent *a,
					    const struct view_spec *spec)
{
	return driver_ops(a, spec->driver[0] ? spec->driver
					     : a->cfg->driver_default);
}

int agent_prepare_spec(struct agent *a, const struct view_spec *spec,
		       struct ch_bytes name, struct ch_bytes body,
		       struct ch_prepared *ret_prepared, struct err *reterr)
{
	const struct platform_ops *ops;
	int r = view_prepare_spec(spec, body, ret_prepared, reterr);

	if (r != 0)
		return r;
	ops = driver_of(a, spec);
	return ops ? ops->check(name, body, reterr) : 0;
}

int agent_prepare(struct agent *a, const struct view *v, struct ch_bytes name,
		  enum ch_file file, struct ch_bytes site, struct ch_bytes body,
		  struct ch_prepared *ret_prepared, struct err *reterr)
{
	struct view_spec spec;
	int r;

	if (file != CH_FILE_SPEC)
		return view_prepare(v, name, file, site, body, a->drivers,
				    a->n_drivers, ret_prepared, reterr);
	r = view_spec(v, name, &spec, NULL);
	return r < 0 ? r
		     : agent_prepare_spec(a, &spec, name, body, ret_prepared,
					  reterr);
}

int agent_check_prefix(struct agent *a, const struct view_spec *spec,
		       struct ch_bytes name, struct ch_bytes body,
		       struct err *reterr)
{
	const struct platform_ops *ops = driver_of(a, spec);

	if (!ops || !ops->must_parse(name, body))
		return 0;
	return doc_check_prefix(body, reterr);
}

/* The file error. */

static struct last_error **find_error(struct agent *a, struct ch_bytes name)
{
	struct last_error **at = &a->misc.errors;

	while (*at && !ch_bytes_equal(ch_str((*at)->name), name))
		at = &(*at)->next;
	return at;
}

static void error_free(struct last_error *e)
{
	if (!e)
		return;
	free(e->name);
	free(e->text);
	free(e);
}

static struct last_error *error_take(struct agent *a, struct last_error **at)
{
	struct last_error *e = *at;

	if (e) {
		*at = e->next;
		a->misc.n_errors--;
	}
	return e;
}

void agent_refused(struct agent *a, struct ch_bytes name, const char *file,
		   int err, const char *text)
{
	struct last_error *fresh = calloc(1, sizeof(*fresh)), *old, *oldest;
	time_t now = time(NULL);
	struct tm tm;
	char when[32];
	int n = -1;

	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (fresh) {
		fresh->name = strndup(name.p, name.len);
		n = asprintf(&fresh->text, "%s %s%s%s\n", when, file,
			     file[0] ? ": " : "",
			     text && text[0] ? text : strerror(-err));
	}
	if (n < 0 || !fresh->name) {
		if (n < 0 && fresh)
			fresh->text = NULL;
		error_free(fresh);
		return;
	}
	pthread_mutex_lock(&a->misc.lock);
	old = error_take(a, find_error(a, name));
	fresh->next = a->misc.errors;
	a->misc.errors = fresh;
	oldest = NULL;
	if (++a->misc.n_errors > AGENT_ERRORS_MAX) {
		struct last_error **at = &a->misc.errors;

		while ((*at)->next)
			at = &(*at)->next;
		oldest = error_take(a, at);
	}
	pthread_mutex_unlock(&a->misc.lock);
	error_free(old);
	error_free(oldest);
}

void agent_error_text(struct agent *a, struct ch_bytes name,
		      struct strbuf *out)
{
	struct last_error *e;

	pthread_mutex_lock(&a->misc.lock);
	e = *find_error(a, name);
	if (e)
		strbuf_add_str(out, e->text);
	pthread_mutex_unlock(&a->misc.lock);
}

/* The rest. */

void agent_space(struct agent *a, uint64_t *ret_free, uint64_t *ret_total)
{
	store_dir_bytes(a->dir, ret_free, ret_total);
}

void agent_watch(struct agent *a, const struct agent_watch *w)
{
	pthread_mutex_lock(&a->watch_lock);
	a->watch = *w;
	pthread_mutex_unlock(&a->watch_lock);
}

void agent_tell_events(struct agent *a)
{
	pthread_mutex_lock(&a->watch_lock);
	if (a->watch.events)
		a->watch.events(a->watch.arg);
	pthread_mutex_unlock(&a->watch_lock);
}

const char *agent_site(const struct agent *a)
{
	return a->self.name;
}

struct events *agent_events(struct agent *a)
{
	return a->events;
}

static int init(struct agent *a)
{
	pthread_condattr_t mono;

	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_mutex_init(&a->queue.lock, NULL);
	pthread_mutex_init(&a->pending.lock, NULL);
	pthread_mutex_init(&a->gate.lock, NULL);
	pthread_mutex_init(&a->misc.lock, NULL);
	pthread_mutex_init(&a->watch_lock, NULL);
	pthread_cond_init(&a->queue.more, &mono);
	pthread_cond_init(&a->queue.orders, &mono);
	pthread_cond_init(&a->pending.changed, &mono);
	pthread_cond_init(&a->gate.idle, &mono);
	pthread_condattr_destroy(&mono);
	a->queue.last = &a->queue.first;
	a->queue.order_last = &a->queue.order_first;
	a->events = events_new(AGENT_EVENTS_LEN);
	return a->events && ch_update_init(&a->update) == 0 ? 0 : -ENOMEM;
}

static int copy_config(struct agent *a, const struct config *cfg)
{
	struct strbuf labels = STRBUF_INIT;

	a->peers = calloc(cfg->n_peers + 1, sizeof(*a->peers));
	if (!a->peers)
		return -ENOMEM;
	for (size_t i = 0; i < cfg->n_peers; i++)
		a->peers[i] = (struct ch_peer){cfg->peers[i].key,
					       cfg->peers[i].value};
	for (size_t i = 0; i < cfg->n_labels; i++)
		strbuf_addf(&labels, "%s=%s\n", cfg->labels[i].key,
			    cfg->labels[i].value);
	a->labels = strdup(labels.buf);
	strbuf_release(&labels);
	return a->labels ? 0 : -ENOMEM;
}

static int start_threads(struct agent *a, struct err *reterr)
{
	int r;

	r = pthread_create(&a->loop, NULL, agent_loop, a);
	a->has_loop = r == 0;
	if (r == 0)
		r = pthread_create(&a->timer, NULL, timer, a);
	a->has_timer = r == 0;
	if (r == 0)
		r = pthread_create(&a->worker, NULL, agent_worker, a);
	a->has_worker = r == 0;
	return r ? err_set(reterr, -r, "start a thread: %s", strerror(r)) : 0;
}

int agent_open(const struct config *cfg, const char *mountpoint,
	       struct agent **ret_agent, struct err *reterr)
{
	struct agent *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return err_set(reterr, -ENOMEM, "no memory");
	a->cfg = cfg;
	r = init(a);
	if (r == 0)
		r = copy_config(a, cfg);
	if (r < 0)
		err_set(reterr, r, "no memory");
	if (r == 0)
		r = store_dir_open(cfg->store, mountpoint, &a->dir, reterr);
	if (r == 0)
		r = agent_drivers_open(a, reterr);
	if (r == 0)
		r = agent_net_open(a, reterr);
	if (r == 0)
		r = agent_store_open(a, reterr);
	/* Before anyone looks: this site is in the tree from the first. */
	if (r == 0 && a->engine)
		(void)agent_start_engine(a);
	if (r == 0)
		r = start_threads(a, reterr);
	if (r < 0) {
		agent_close(a);
		return r;
	}
	*ret_agent = a;
	return 0;
}

static void stop_threads(struct agent *a)
{
	atomic_store(&a->stop, true);
	pthread_mutex_lock(&a->queue.lock);
	pthread_cond_broadcast(&a->queue.more);
	pthread_cond_broadcast(&a->queue.orders);
	pthread_mutex_unlock(&a->queue.lock);
	pthread_mutex_lock(&a->pending.lock);
	pthread_cond_broadcast(&a->pending.changed);
	pthread_mutex_unlock(&a->pending.lock);
	if (a->has_loop)
		pthread_join(a->loop, NULL);
	if (a->has_timer)
		pthread_join(a->timer, NULL);
	if (a->has_worker)
		pthread_join(a->worker, NULL);
}

static void free_lists(struct agent *a)
{
	while (a->queue.first) {
		struct item *it = a->queue.first;

		a->queue.first = it->next;
		agent_item_free(it);
	}
	agent_jobs_drop(a);
	agent_net_drop(a);
	while (a->queue.running) {
		struct order *o = a->queue.running;

		a->queue.running = o->next;
		agent_order_free(o);
	}
	while (a->misc.sent) {
		struct sent *s = a->misc.sent;

		a->misc.sent = s->next;
		agent_sent_free(s);
	}
	while (a->misc.errors)
		error_free(error_take(a, &a->misc.errors));
}

void agent_close(struct agent *a)
{
	struct pending *p;

	if (!a)
		return;
	stop_threads(a);
	agent_drivers_close(a);
	net_close(a->net); /* Answers the requests that still wait. */
	while ((p = a->pending.first)) {
		a->pending.first = p->next;
		p->fn(p->arg, -EINTR, "the agent ends", no_context);
		free(p);
	}
	free_lists(a);
	agent_store_close(a);
	store_dir_close(a->dir);
	events_free(a->events);
	ch_update_release(&a->update);
	pthread_mutex_destroy(&a->queue.lock);
	pthread_mutex_destroy(&a->pending.lock);
	pthread_mutex_destroy(&a->gate.lock);
	pthread_mutex_destroy(&a->misc.lock);
	pthread_mutex_destroy(&a->watch_lock);
	pthread_cond_destroy(&a->queue.more);
	pthread_cond_destroy(&a->queue.orders);
	pthread_cond_destroy(&a->pending.changed);
	pthread_cond_destroy(&a->gate.idle);
	free(a->labels);
	free(a->peers);
	free(a);
}
