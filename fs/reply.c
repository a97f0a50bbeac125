/* reply.c -- see reply.h. */
#include "fs/reply.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"

struct reply_queue {
	struct mnt *m;
	pthread_mutex_t lock;
	pthread_cond_t empty; /* Of all. */
	pthread_cond_t work;
	struct list all;  /* struct parked, by link. */
	struct list jobs; /* ... by job. */
	bool stopping, draining;
	pthread_t worker;
};

static void *worker_main(void *arg)
{
	struct reply_queue *q = arg;

	pthread_mutex_lock(&q->lock);
	for (;;) {
		struct parked *p;

		while (list_is_empty(&q->jobs) && !q->stopping)
			pthread_cond_wait(&q->work, &q->lock);
		if (list_is_empty(&q->jobs))
			break;
		p = LIST_ENTRY(q->jobs.next, struct parked, job);
		list_del(&p->job);
		pthread_mutex_unlock(&q->lock);
		p->run(p);
		pthread_mutex_lock(&q->lock);
	}
	pthread_mutex_unlock(&q->lock);
	return NULL;
}

int replies_new(struct mnt *m, struct reply_queue **ret_queue)
{
	struct reply_queue *q;
	int r;

	q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->m = m;
	list_init(&q->all);
	list_init(&q->jobs);
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->empty, NULL);
	pthread_cond_init(&q->work, NULL);
	r = pthread_create(&q->worker, NULL, worker_main, q);
	if (r != 0) {
		pthread_mutex_destroy(&q->lock);
		pthread_cond_destroy(&q->empty);
		pthread_cond_destroy(&q->work);
		free(q);
		return -r;
	}
	*ret_queue = q;
	return 0;
}

/* The token of one more that may be broken off, or 0. Each is told once. */
static uint64_t next_breakable(struct reply_queue *q)
{
	struct list *l;

	for (l = q->all.next; l != &q->all; l = l->next) {
		struct parked *p = LIST_ENTRY(l, struct parked, link);
		uint64_t token = atomic_load(&p->token);

		if (p->breakable && token &&
		    !atomic_exchange(&p->interrupted, true))
			return token;
	}
	return 0;
}

void replies_drain(struct reply_queue *q)
{
	uint64_t token;

	pthread_mutex_lock(&q->lock);
	q->draining = true;
	while ((token = next_breakable(q)) != 0) {
		pthread_mutex_unlock(&q->lock);
		agent_interrupt(q->m->agent, token);
		pthread_mutex_lock(&q->lock);
	}
	while (!list_is_empty(&q->all))
		pthread_cond_wait(&q->empty, &q->lock);
	pthread_mutex_unlock(&q->lock);
}

void replies_free(struct reply_queue *q)
{
	if (!q)
		return;
	pthread_mutex_lock(&q->lock);
	q->stopping = true;
	pthread_cond_signal(&q->work);
	pthread_mutex_unlock(&q->lock);
	pthread_join(q->worker, NULL);
	pthread_mutex_destroy(&q->lock);
	pthread_cond_destroy(&q->empty);
	pthread_cond_destroy(&q->work);
	free(q);
}

struct parked *parked_new(struct mnt *m, fuse_req_t req, parked_fn *end,
			  struct node *node, struct handle *h)
{
	struct reply_queue *q = m->replies;
	struct parked *p;

	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	atomic_init(&p->refs, 1);
	atomic_init(&p->interrupted, false);
	atomic_init(&p->token, 0);
	p->m = m;
	p->req = req;
	p->tid = req ? fuse_req_ctx(req)->pid : 0;
	p->end = end;
	strbuf_init(&p->body);
	strbuf_init(&p->context);
	list_init(&p->turn);
	list_init(&p->job);
	mnt_lock(m);
	p->node = node ? inode_ref(node) : NULL;
	mnt_unlock(m);
	p->h = h ? handle_ref(m, h) : NULL;
	pthread_mutex_lock(&q->lock);
	list_add_tail(&q->all, &p->link);
	pthread_mutex_unlock(&q->lock);
	return p;
}

static void parked_unref(struct parked *p)
{
	if (atomic_fetch_sub(&p->refs, 1) > 1)
		return;
	free(p);
}

void parked_done(struct parked *p)
{
	struct reply_queue *q = p->m->replies;
	struct mnt *m = p->m;

	if (p->h)
		handle_unref(m, p->h);
	mnt_lock(m);
	inode_unref(&m->inodes, p->node);
	inode_unref(&m->inodes, p->to);
	mnt_unlock(m);
	free(p->word);
	free(p->to_word);
	free(p->resource);
	free(p->label);
	strbuf_release(&p->body);
	strbuf_release(&p->context);
	pthread_mutex_lock(&q->lock);
	list_del(&p->link);
	if (list_is_empty(&q->all))
		pthread_cond_broadcast(&q->empty);
	pthread_mutex_unlock(&q->lock);
	parked_unref(p);
}

int parked_label(struct parked *p, const char *resource, const char *label)
{
	free(p->resource);
	free(p->label);
	p->resource = strdup(resource);
	p->label = strdup(label);
	return p->resource && p->label ? 0 : -ENOMEM;
}

/* May an interrupt break it off? Who is being killed looks at no answer. */
static bool may_break(const struct parked *p)
{
	return p->breakable || proc_is_killed(p->tid);
}

/* In the FUSE thread. @p lives: parked_answered() unregisters this before. */
static void on_interrupt(fuse_req_t req, void *data)
{
	struct parked *p = data;
	uint64_t token;

	(void)req;
	if (!may_break(p))
		return;
	atomic_store(&p->interrupted, true);
	token = atomic_load(&p->token);
	if (token)
		agent_interrupt(p->m->agent, token);
}

static void parked_answered(struct parked *p, int err, const char *text)
{
	if (p->req)
		fuse_req_interrupt_func(p->req, NULL, NULL);
	if (err < 0 && err != -EINTR && !(err == -EEXIST && p->again) &&
	    p->resource && p->label)
		agent_refused(p->m->agent, ch_str(p->resource), p->label, err,
			      text && text[0] ? text : strerror(-err));
	p->end(p, err);
}

void parked_end(struct parked *p, int err, const char *text)
{
	parked_answered(p, err, text);
}

static void on_done(void *arg, int err, const char *text,
		    struct ch_bytes context)
{
	struct parked *p = arg;

	/* Without memory for it, whoever needs it takes what there is. */
	strbuf_reset(&p->context);
	strbuf_add(&p->context, context.p, context.len);
	if (strbuf_error(&p->context) < 0)
		strbuf_reset(&p->context);
	parked_answered(p, err, text);
}

void parked_submit(struct parked *p, struct ch_submit *s)
{
	struct reply_queue *q = p->m->replies;
	uint64_t token = 0;
	bool draining;
	int r;

	/* The answer may come, and free @p, before agent_submit() is back. */
	atomic_fetch_add(&p->refs, 1);
	if (p->req)
		fuse_req_interrupt_func(p->req, on_interrupt, p);
	r = agent_submit(p->m->agent, s, on_done, p, &token);
	if (r < 0) {
		parked_answered(p, r,
				r == -ENOSPC ? "the disk of this site's store "
					       "is full"
					     : "this site's store takes no "
					       "writes now; try again");
		parked_unref(p);
		return;
	}
	CHECK(token != 0);
	atomic_store(&p->token, token);
	pthread_mutex_lock(&q->lock);
	draining = q->draining && p->breakable;
	pthread_mutex_unlock(&q->lock);
	if (draining || atomic_load(&p->interrupted))
		agent_interrupt(p->m->agent, token);
	parked_unref(p);
}

void parked_work(struct parked *p, void (*run)(struct parked *p))
{
	struct reply_queue *q = p->m->replies;

	p->run = run;
	pthread_mutex_lock(&q->lock);
	list_add_tail(&q->jobs, &p->job);
	pthread_cond_signal(&q->work);
	pthread_mutex_unlock(&q->lock);
}
