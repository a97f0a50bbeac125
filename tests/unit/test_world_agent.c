/*
 * test_world_agent.c -- what is let out has an answer, also without memory; and
 * a driver has one job of a name at a time, also when engines follow each
 * other.
 *
 * The agent is nothing here but its queue and its worker; its driver keeps the
 * jobs that it is handed.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/check.h"
#include "core/mem.h"
#include "fs/agent_private.h"

/* Sanitizers have a malloc of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_FAIL 0
#else
#define CAN_FAIL 1
#endif

static bool no_memory;

#if CAN_FAIL
void *__libc_malloc(size_t len);
void *__libc_calloc(size_t n, size_t len);

void *malloc(size_t len)
{
	return no_memory ? NULL : __libc_malloc(len);
}

void *calloc(size_t n, size_t len)
{
	return no_memory ? NULL : __libc_calloc(n, len);
}
#endif

#define JOBS_MAX 8

struct fixture {
	struct agent a;
	struct platform driver;
	pthread_mutex_t lock;
	pthread_cond_t more;
	uint64_t got[JOBS_MAX]; /* Ids, in their order. */
	size_t n_got;
	uint64_t last_id;
};

static struct fixture *of_driver(struct platform *p)
{
	return (struct fixture *)((char *)p - offsetof(struct fixture, driver));
}

static void keep_job(struct platform *p, const struct platform_job *job)
{
	struct fixture *f = of_driver(p);

	pthread_mutex_lock(&f->lock);
	CHECK(f->n_got < JOBS_MAX);
	f->got[f->n_got++] = job->id;
	pthread_cond_signal(&f->more);
	pthread_mutex_unlock(&f->lock);
}

static const struct platform_ops ops = {.name = "kept", .submit = keep_job};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct agent *a;

	if (!f)
		return -1;
	a = &f->a;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->more, NULL);
	pthread_mutex_init(&a->queue.lock, NULL);
	pthread_mutex_init(&a->misc.lock, NULL);
	pthread_cond_init(&a->queue.more, NULL);
	pthread_cond_init(&a->queue.orders, NULL);
	a->queue.last = &a->queue.first;
	a->queue.order_last = &a->queue.order_first;
	a->platform[0] = &f->driver;
	a->drivers[0] = ops.name;
	a->n_drivers = 1;
	f->driver.ops = &ops;
	*state = f;
	return ch_update_init(&a->update) ||
	       pthread_create(&a->worker, NULL, agent_worker, a);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct agent *a = &f->a;

	pthread_mutex_lock(&a->queue.lock);
	atomic_store(&a->stop, true);
	pthread_cond_broadcast(&a->queue.orders);
	pthread_mutex_unlock(&a->queue.lock);
	pthread_join(a->worker, NULL);
	agent_jobs_drop(a);
	agent_net_drop(a);
	ch_update_release(&a->update);
	free(f);
	return mem_outstanding() == 0 ? 0 : -1;
}

/* As the engine asks for a job. */
static uint64_t ask(struct fixture *f, const char *name)
{
	struct ch_update *u = &f->a.update;
	struct ch_job job = {.verb = CH_WITHDRAW, .driver = "kept"};

	ch_update_reset(u);
	job.id = ++f->last_id;
	job.name = name;
	*u->run.last = &job;
	assert_int_equal(agent_jobs_prepare(&f->a, u), 0);
	agent_jobs_let_out(&f->a);
	ch_update_reset(u);
	return job.id;
}

/* The driver has had @n jobs; the last one's id. */
static uint64_t got(struct fixture *f, size_t n)
{
	struct timespec until;
	size_t n_got;
	uint64_t id;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 30;
	pthread_mutex_lock(&f->lock);
	while (f->n_got < n && r == 0)
		r = pthread_cond_timedwait(&f->more, &f->lock, &until);
	n_got = f->n_got;
	id = f->got[n - 1];
	pthread_mutex_unlock(&f->lock);
	assert_int_equal(n_got, n);
	return id;
}

/* The next event that waits, which is of that kind. Free it. */
static struct item *event(struct fixture *f, enum ch_event_type type)
{
	struct item *it;

	pthread_mutex_lock(&f->a.queue.lock);
	it = f->a.queue.first;
	f->a.queue.first = it ? it->next : NULL;
	if (!f->a.queue.first)
		f->a.queue.last = &f->a.queue.first;
	pthread_mutex_unlock(&f->a.queue.lock);
	assert_non_null(it);
	assert_int_equal(it->ev.type, type);
	return it;
}

static void a_job_is_answered(void **state)
{
	struct fixture *f = *state;
	struct platform_result r = {.err = -EIO, .retry = true};
	char text[3 * AGENT_TEXT_LEN];
	struct item *it;
	uint64_t id;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	r.message = text;
	r.observed = "{}";
	id = ask(f, "web");
	assert_int_equal(got(f, 1), id);
	no_memory = true;
	agent_job_done(&f->a, id, &r);
	no_memory = false;
	it = event(f, CH_RAN);
	assert_int_equal(it->ev.u.ran.job, id);
	assert_int_equal(it->ev.u.ran.err, -EIO);
	assert_true(it->ev.u.ran.retry);
	assert_int_equal(it->ev.u.ran.message.len,
			 CAN_FAIL ? AGENT_TEXT_LEN : sizeof(text) - 1);
	assert_memory_equal(it->ev.u.ran.message.p, text,
			    it->ev.u.ran.message.len);
	assert_int_equal(it->ev.u.ran.has_observed, !CAN_FAIL);
	agent_item_free(it);
	/* With memory all of it comes. */
	id = ask(f, "web");
	assert_int_equal(got(f, 2), id);
	agent_job_done(&f->a, id, &r);
	it = event(f, CH_RAN);
	assert_int_equal(it->ev.u.ran.message.len, sizeof(text) - 1);
	assert_int_equal(it->ev.u.ran.observed.len, 2);
	agent_item_free(it);
}

static void one_job_of_a_name(void **state)
{
	struct fixture *f = *state;
	const struct platform_result r = {.message = ""};
	uint64_t old, next, other;

	old = ask(f, "web");
	assert_int_equal(got(f, 1), old);
	/* Its engine ends. What no driver has begun goes with it. */
	ask(f, "web");
	agent_jobs_drop(&f->a);
	next = ask(f, "web");
	other = ask(f, "db");
	assert_int_equal(got(f, 2), other);
	agent_job_done(&f->a, other, &r);
	agent_job_done(&f->a, old, &r);
	assert_int_equal(got(f, 3), next);
	agent_job_done(&f->a, next, &r);
	for (int i = 0; i < 3; i++)
		agent_item_free(event(f, CH_RAN));
}

static void a_message_is_answered(void **state)
{
	struct fixture *f = *state;
	struct ch_update *u = &f->a.update;
	struct ch_frame hello = {.type = FRAME_HELLO};
	struct ch_send s = {.id = 77, .name = "paris", .address = "::1"};
	struct item *it;

	hello.u.hello.name = hello.u.hello.address = "";
	hello.u.hello.version = hello.u.hello.labels = "";
	s.msg = (struct ch_message){&hello, 1};
	*u->send.last = &s;
	assert_int_equal(agent_net_prepare(&f->a, u), 0);
	no_memory = true;
	mem_fail_after(0); /* The message cannot be made. */
	agent_net_let_out(&f->a, u);
	mem_fail_after(-1);
	no_memory = false;
	ch_update_reset(u);
	it = event(f, CH_UNSENT);
	assert_int_equal(it->ev.u.unsent.id, 77);
	assert_int_equal(it->ev.u.unsent.err, -ENOMEM);
	agent_item_free(it);
}

#if CAN_FAIL
/* Then the round fails, and nothing of it is let out. */
static void no_memory_for_answers(void **state)
{
	struct fixture *f = *state;
	struct ch_update *u = &f->a.update;
	struct ch_job job = {.driver = "kept", .name = "web"};
	struct ch_send s = {.id = 1};

	*u->run.last = &job;
	*u->send.last = &s;
	no_memory = true;
	assert_int_equal(agent_jobs_prepare(&f->a, u), -ENOMEM);
	assert_int_equal(agent_net_prepare(&f->a, u), -ENOMEM);
	no_memory = false;
	ch_update_reset(u);
}
#endif

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_job_is_answered),
		TEST(one_job_of_a_name),
		TEST(a_message_is_answered),
#if CAN_FAIL
		TEST(no_memory_for_answers),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
