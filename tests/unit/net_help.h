/*
 * net_help.h -- for the tests of drivers/net: a folder of keys, and sites that
 * keep what comes in, to be waited for.
 */
#ifndef CHEOPS_TESTS_UNIT_NET_HELP_H
#define CHEOPS_TESTS_UNIT_NET_HELP_H

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
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "drivers/net/keys.h"
#include "drivers/net/net.h"

#define DEADLINE_SECONDS 30
#define RESULTS_MAX 4096
#define HELD_MAX 256

struct result {
	bool is_there;
	int result;
	char why[256];
	char peer[64];
	size_t len;
	char body[64]; /* Its beginning. */
};

/* One site. A body that begins with "hold" is kept until held_reply(). */
struct site {
	struct net *net;
	char address[32];

	pthread_mutex_t lock;
	pthread_cond_t moved;
	struct net_request *held[HELD_MAX];
	size_t held_n, requests_n, responses_n;
	struct net_identity asked_by;       /* The last one. */
	size_t refused_n;
	char refused[256]; /* The last one's address, and why. */
	struct result results[RESULTS_MAX]; /* By id. */
};

static char keys_dir[64], other_dir[64];

static inline const char *key_path(const char *dir, const char *name,
				   const char *suffix)
{
	static _Thread_local char p[16][128];
	static _Thread_local unsigned int next;
	char *s = p[next++ % 16];

	snprintf(s, sizeof(p[0]), "%s/%s%s", dir, name, suffix);
	return s;
}

static inline void site_request(void *arg, struct net_request *req,
				const struct net_identity *peer,
				struct ch_bytes body)
{
	static const char echo[] = "answer to ";
	struct site *s = arg;
	struct strbuf answer = STRBUF_INIT;
	bool hold = body.len >= 4 && memcmp(body.p, "hold", 4) == 0;

	pthread_mutex_lock(&s->lock);
	s->requests_n++;
	s->asked_by = *peer;
	if (hold && s->held_n < HELD_MAX)
		s->held[s->held_n++] = req;
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->lock);
	if (hold)
		return;
	strbuf_add_str(&answer, echo);
	strbuf_add(&answer, body.p, body.len < 64 ? body.len : 64);
	net_reply(req, 200, strbuf_bytes(&answer));
	strbuf_release(&answer);
}

static inline void site_response(void *arg, uint64_t id, int result,
				 const char *why,
				 const struct net_identity *peer,
				 struct ch_bytes body)
{
	struct site *s = arg;
	struct result *r = &s->results[id % RESULTS_MAX];

	pthread_mutex_lock(&s->lock);
	r->is_there = true;
	r->result = result;
	snprintf(r->why, sizeof(r->why), "%s", why ? why : "");
	snprintf(r->peer, sizeof(r->peer), "%s", peer ? peer->name : "");
	r->len = body.len;
	memset(r->body, 0, sizeof(r->body));
	if (body.len)
		memcpy(r->body, body.p, body.len < 63 ? body.len : 63);
	s->responses_n++;
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->lock);
}

static inline void site_refused(void *arg, const char *address, const char *why)
{
	struct site *s = arg;

	pthread_mutex_lock(&s->lock);
	s->refused_n++;
	snprintf(s->refused, sizeof(s->refused), "%s: %s", address, why);
	pthread_mutex_unlock(&s->lock);
}

/* Free with site_close(). @listen NULL: it only dials. */
static inline struct site *site_open_in(const char *dir, const char *name,
					const char *listen, bool tls)
{
	struct site *s = calloc(1, sizeof(*s));
	struct net_config cfg = {
		.listen = listen,
		.tls = tls,
		.ca = tls ? key_path(dir, "ca", ".pem") : NULL,
		.cert = tls ? key_path(dir, name, ".pem") : NULL,
		.key = tls ? key_path(dir, name, ".key") : NULL,
		.name = name,
	};
	struct net_callbacks cb = {site_request, site_response, site_refused,
				   s};
	struct err err = ERR_INIT;

	assert_non_null(s);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->moved, NULL);
	if (net_open(&cfg, &cb, &s->net, &err) < 0)
		fail_msg("%s: %s", name, err.text);
	snprintf(s->address, sizeof(s->address), "127.0.0.1:%u",
		 net_port(s->net));
	return s;
}

static inline struct site *site_open(const char *name)
{
	return site_open_in(keys_dir, name, "127.0.0.1:0", true);
}

static inline void site_close(struct site *s)
{
	net_close(s->net);
	pthread_cond_destroy(&s->moved);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static inline struct timespec deadline(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += DEADLINE_SECONDS;
	return ts;
}

/* Wait until *@n, which the lock of @s guards, is at least @least. */
static inline void wait_for(struct site *s, const size_t *n, size_t least)
{
	struct timespec end = deadline();
	int r = 0;

	pthread_mutex_lock(&s->lock);
	while (*n < least && r == 0)
		r = pthread_cond_timedwait(&s->moved, &s->lock, &end);
	pthread_mutex_unlock(&s->lock);
	if (r)
		fail_msg("waited for %zu, got %zu", least, *n);
}

static inline struct result wait_result(struct site *s, uint64_t id)
{
	struct timespec end = deadline();
	struct result *slot = &s->results[id % RESULTS_MAX], copy;
	int r = 0;

	pthread_mutex_lock(&s->lock);
	while (!slot->is_there && r == 0)
		r = pthread_cond_timedwait(&s->moved, &s->lock, &end);
	copy = *slot;
	slot->is_there = false;
	pthread_mutex_unlock(&s->lock);
	if (r)
		fail_msg("no result for %llu", (unsigned long long)id);
	return copy;
}

static inline int send_to(struct site *from, const char *name,
			  const char *address, enum net_channel channel,
			  uint64_t id, const char *body, uint32_t timeout_ms)
{
	struct net_target to = {name, address, channel};

	return net_send(from->net, &to, id, ch_str(body), timeout_ms);
}

/* Send and wait. */
static inline struct result ask(struct site *from, const char *name,
				const char *address, uint64_t id,
				const char *body)
{
	assert_int_equal(
		send_to(from, name, address, NET_PUSH, id, body, 20000), 0);
	return wait_result(from, id);
}

static inline size_t count_of(struct site *s, const size_t *n)
{
	size_t now;

	pthread_mutex_lock(&s->lock);
	now = *n;
	pthread_mutex_unlock(&s->lock);
	return now;
}

/* Who asked last. */
static inline struct net_identity asker_of(struct site *s)
{
	struct net_identity id;

	pthread_mutex_lock(&s->lock);
	id = s->asked_by;
	pthread_mutex_unlock(&s->lock);
	return id;
}

/* Answer the oldest that is held. */
static inline void held_reply(struct site *s, const char *body)
{
	struct net_request *req;

	pthread_mutex_lock(&s->lock);
	assert_true(s->held_n > 0);
	req = s->held[0];
	memmove(s->held, s->held + 1, --s->held_n * sizeof(s->held[0]));
	pthread_mutex_unlock(&s->lock);
	net_reply(req, 200, ch_str(body));
}

static inline struct net_figures figures_of(const struct site *s)
{
	struct net_figures f;

	net_figures(s->net, &f);
	return f;
}

static inline void assert_has(const char *text, const char *what)
{
	if (!strstr(text, what))
		fail_msg("'%s' lacks '%s'", text, what);
}

/* Two authorities; sites nantes, paris, lyon, 42 of the first, paris of the
 * second. */
static inline int keys_setup(void **state)
{
	static const char *const names[] = {"nantes", "paris", "lyon", "42"};
	struct err err = ERR_INIT;

	(void)state;
	snprintf(keys_dir, sizeof(keys_dir), "/tmp/cheops-net-XXXXXX");
	snprintf(other_dir, sizeof(other_dir), "/tmp/cheops-net-XXXXXX");
	if (!mkdtemp(keys_dir) || !mkdtemp(other_dir) ||
	    keys_init(keys_dir, &err) < 0 || keys_init(other_dir, &err) < 0 ||
	    keys_site(other_dir, "paris", &err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (keys_site(keys_dir, names[i], &err) < 0)
			return -1;
	return 0;
}

static inline int keys_teardown(void **state)
{
	char command[192];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s %s", keys_dir, other_dir);
	return system(command);
}

#endif
