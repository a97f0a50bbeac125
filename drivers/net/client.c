/*
 * client.c -- the end that calls: one thread, one multi handle of libcurl's.
 *
 * A lane (lane.h) is one channel of one target. One that was idle for a while
 * goes; connections stay with the multi handle, whose lanes share them.
 *
 * libcurl sends an exchange a second time, by itself, when a kept connection
 * turns out to be closed: a receiver must bear the same message twice.
 *
 * The lock guards the lanes' list, what waits, and the sum of bodies; the rest
 * is the thread's own. It is never held while libcurl or a callback runs.
 */
#include "drivers/net/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/net/lane.h"

#define WAITING_MAX 32 /* On one lane. */
#define LANE_IDLE_MS 90000u
#define ANSWER_KEPT_LEN (64u * 1024u)
#define IDLE_POLL_MS 30000

struct client {
	struct net_inner *in;
	CURLM *multi;
	pthread_t thread;

	struct known_ring known; /* The thread's own. */

	pthread_mutex_t lock;
	struct list lanes;
	size_t bodies_len;
	bool is_closing;
};

static struct lane *lane_at(struct list *l)
{
	return LIST_ENTRY(l, struct lane, link);
}

static struct exchange *exchange_at(struct list *l)
{
	return LIST_ENTRY(l, struct exchange, link);
}

/* Exchanges. */

static struct exchange *exchange_new(uint64_t id, struct ch_bytes body,
				     uint32_t timeout_ms)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->body = malloc(body.len + 1);
	if (!x->body) {
		free(x);
		return NULL;
	}
	if (body.len)
		memcpy(x->body, body.p, body.len);
	x->len = body.len;
	x->id = id;
	x->end_ms = inner_now_ms() + timeout_ms;
	list_init(&x->link);
	return x;
}

static void exchange_free(struct exchange *x)
{
	free(x->body);
	free(x);
}

/* The one place where an exchange ends. */
static void exchange_end(struct client *c, struct exchange *x, int result,
			 const char *why, const struct net_identity *peer,
			 struct ch_bytes answer)
{
	if (result < 0)
		inner_count(&c->in->failed);
	pthread_mutex_lock(&c->lock);
	c->bodies_len -= x->len;
	pthread_mutex_unlock(&c->lock);
	c->in->cb.response(c->in->cb.arg, x->id, result, why, peer, answer);
	exchange_free(x);
}

static void exchange_fail(struct client *c, struct exchange *x, int result,
			  const char *why)
{
	exchange_end(c, x, result, why, NULL, (struct ch_bytes){"", 0});
}

/* Lanes. */

static struct lane *lane_add(struct client *c, const struct net_target *to)
{
	struct lane *l = lane_new(c->in, &c->known, to);

	if (l)
		list_add_tail(&c->lanes, &l->link);
	return l;
}

static struct lane *lane_find(struct client *c, const struct net_target *to)
{
	for (struct list *i = c->lanes.next; i != &c->lanes; i = i->next) {
		struct lane *l = lane_at(i);

		if (l->channel == to->channel &&
		    strcmp(l->name, to->name) == 0 &&
		    strcmp(l->address, to->address) == 0)
			return l;
	}
	return NULL;
}

static void lane_done(struct client *c, struct lane *l, CURLcode code)
{
	struct err why = ERR_INIT;
	struct exchange *x = l->now;
	int r;

	curl_multi_remove_handle(c->multi, l->easy);
	if (code == CURLE_ABORTED_BY_CALLBACK && l->is_unknown &&
	    !l->is_fresh && lane_start(l, c->multi, true) == 0)
		return;
	r = lane_verdict(l, code, &why);
	l->now = NULL;
	l->idle_since_ms = inner_now_ms();
	exchange_end(c, x, r, why.text, l->has_peer ? &l->peer : NULL,
		     r == 0 ? strbuf_bytes(&l->answer)
			    : (struct ch_bytes){"", 0});
	if (l->answer.alloc > ANSWER_KEPT_LEN)
		strbuf_release(&l->answer);
}

/* The thread. */

/* Move what has waited too long, on any lane, to @late; the lock is held. */
static void waiting_expire(struct client *c, uint64_t now_ms, struct list *late)
{
	for (struct list *i = c->lanes.next; i != &c->lanes; i = i->next) {
		struct lane *l = lane_at(i);

		for (struct list *k = l->waiting.next; k != &l->waiting;) {
			struct exchange *x = exchange_at(k);

			k = k->next;
			if (x->end_ms > now_ms)
				continue;
			list_del(&x->link);
			l->waiting_n--;
			list_add_tail(late, &x->link);
		}
	}
}

/* Each idle lane takes the next that waits on it and goes on @start; a lane
 * that was idle long enough goes on @gone. The lock is held. Returns when to
 * look again. */
static uint64_t lanes_turn(struct client *c, uint64_t now_ms,
			   struct list *start, struct list *gone)
{
	uint64_t next_ms = now_ms + IDLE_POLL_MS;

	for (struct list *i = c->lanes.next; i != &c->lanes;) {
		struct lane *l = lane_at(i);

		i = i->next;
		if (!l->now && l->waiting_n) {
			l->now = exchange_at(l->waiting.next);
			list_del(&l->now->link);
			l->waiting_n--;
			list_add_tail(start, &l->turn);
		}
		for (struct list *k = l->waiting.next; k != &l->waiting;
		     k = k->next)
			if (exchange_at(k)->end_ms < next_ms)
				next_ms = exchange_at(k)->end_ms;
		if (l->now || now_ms - l->idle_since_ms < LANE_IDLE_MS)
			continue;
		list_del(&l->link);
		list_add_tail(gone, &l->link);
	}
	return next_ms;
}

static void lanes_start(struct client *c, struct list *start)
{
	while (!list_is_empty(start)) {
		struct lane *l = LIST_ENTRY(start->next, struct lane, turn);
		struct exchange *x = l->now;

		list_del(&l->turn);
		inner_count(&c->in->sent);
		if (lane_start(l, c->multi, false) == 0)
			continue;
		l->now = NULL;
		exchange_fail(c, x, -ENOMEM, "out of memory");
	}
}

static void late_fail(struct client *c, struct list *late, int result,
		      const char *why)
{
	while (!list_is_empty(late)) {
		struct exchange *x = exchange_at(late->next);

		list_del(&x->link);
		exchange_fail(c, x, result, why);
	}
}

static void lanes_free(struct list *gone)
{
	while (!list_is_empty(gone)) {
		struct lane *l = lane_at(gone->next);

		list_del(&l->link);
		lane_free(l);
	}
}

/* Returns when to call it again, or 0 when the client is closing. */
static uint64_t turn(struct client *c)
{
	struct list start, gone, late;
	uint64_t next_ms, now_ms = inner_now_ms();
	bool is_closing;

	list_init(&start);
	list_init(&gone);
	list_init(&late);
	pthread_mutex_lock(&c->lock);
	is_closing = c->is_closing;
	waiting_expire(c, now_ms, &late);
	next_ms = lanes_turn(c, now_ms, &start, &gone);
	pthread_mutex_unlock(&c->lock);
	late_fail(c, &late, -ETIMEDOUT,
		  "it had no turn in time: an earlier "
		  "exchange with that site took longer");
	lanes_free(&gone);
	lanes_start(c, &start);
	return is_closing ? 0 : next_ms;
}

/* Returns whether some exchange has ended, so that its lane is free. */
static bool messages_read(struct client *c)
{
	bool any = false;
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(c->multi, &left)) != NULL) {
		CURLcode code = m->data.result;
		struct lane *l = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &l);
		lane_done(c, l, code); /* Ends the life of @m. */
		any = true;
	}
	return any;
}

static void all_fail(struct client *c)
{
	struct list late, gone;

	list_init(&late);
	list_init(&gone);
	pthread_mutex_lock(&c->lock);
	while (!list_is_empty(&c->lanes)) {
		struct lane *l = lane_at(c->lanes.next);

		waiting_expire(c, UINT64_MAX, &late);
		list_del(&l->link);
		list_add_tail(&gone, &l->link);
	}
	pthread_mutex_unlock(&c->lock);
	for (struct list *i = gone.next; i != &gone; i = i->next) {
		struct lane *l = lane_at(i);

		if (!l->now)
			continue;
		curl_multi_remove_handle(c->multi, l->easy);
		list_add_tail(&late, &l->now->link);
		l->now = NULL;
	}
	late_fail(c, &late, -ESHUTDOWN, "this site is closing");
	lanes_free(&gone);
}

static void *client_run(void *arg)
{
	struct client *c = arg;
	uint64_t next_ms;
	int running;

	while ((next_ms = turn(c)) != 0) {
		uint64_t now_ms;

		curl_multi_perform(c->multi, &running);
		if (messages_read(c))
			continue;
		now_ms = inner_now_ms();
		curl_multi_poll(c->multi, NULL, 0,
				next_ms > now_ms ? (int)(next_ms - now_ms) : 0,
				NULL);
	}
	all_fail(c);
	return NULL;
}

/* The door. */

static int target_check(const struct client *c, const struct net_target *to)
{
	struct address a;

	if (!to->name || strlen(to->name) >= sizeof(((struct lane *)0)->name) ||
	    !to->address || address_parse(to->address, &a, NULL) < 0 ||
	    (!c->in->is_tls && !address_is_loopback(&a)) ||
	    to->channel >= NET_CHANNELS)
		return -EINVAL;
	return 0;
}

int client_send(struct client *c, const struct net_target *to, uint64_t id,
		struct ch_bytes body, uint32_t timeout_ms)
{
	int r = target_check(c, to);
	struct exchange *x;
	struct lane *l = NULL;

	if (r == 0 && body.len > MSG_LEN_MAX)
		r = -EMSGSIZE;
	if (r < 0)
		return r;
	x = exchange_new(id, body, timeout_ms);
	if (!x)
		return -ENOMEM;
	pthread_mutex_lock(&c->lock);
	if (c->is_closing)
		r = -ESHUTDOWN;
	else if (c->bodies_len + body.len > NET_BODIES_LEN_MAX)
		r = -EAGAIN;
	if (r == 0) {
		l = lane_find(c, to);
		if (!l)
			l = lane_add(c, to);
		if (!l)
			r = -ENOMEM;
		else if (l->waiting_n >= WAITING_MAX)
			r = -EAGAIN;
	}
	if (r == 0) {
		list_add_tail(&l->waiting, &x->link);
		l->waiting_n++;
		c->bodies_len += body.len;
	}
	pthread_mutex_unlock(&c->lock);
	if (r < 0)
		exchange_free(x);
	else
		curl_multi_wakeup(c->multi);
	return r;
}

static void curl_begin(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

int client_open(struct net_inner *in, struct client **ret_client,
		struct err *reterr)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct client *c = calloc(1, sizeof(*c));
	sigset_t before;
	int r;

	pthread_once(&once, curl_begin);
	if (c)
		c->multi = curl_multi_init();
	if (!c || !c->multi) {
		free(c);
		return err_set(reterr, -ENOMEM, "out of memory");
	}
	c->in = in;
	list_init(&c->lanes);
	pthread_mutex_init(&c->lock, NULL);
	curl_multi_setopt(c->multi, CURLMOPT_PIPELINING,
			  (long)CURLPIPE_NOTHING);
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS,
			  (long)LANE_CONNECTIONS_MAX);
	inner_block(&before);
	r = pthread_create(&c->thread, NULL, client_run, c);
	inner_unblock(&before);
	if (r) {
		pthread_mutex_destroy(&c->lock);
		curl_multi_cleanup(c->multi);
		free(c);
		return err_set(reterr, -r, "cannot start a thread: %s",
			       strerror(r));
	}
	*ret_client = c;
	return 0;
}

void client_stop(struct client *c)
{
	pthread_mutex_lock(&c->lock);
	c->is_closing = true;
	pthread_mutex_unlock(&c->lock);
	curl_multi_wakeup(c->multi);
	pthread_join(c->thread, NULL);
}

void client_free(struct client *c)
{
	curl_multi_cleanup(c->multi);
	pthread_mutex_destroy(&c->lock);
	free(c->known.v);
	free(c);
}
