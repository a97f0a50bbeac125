/*
 * server.c -- the end that is called: one thread of libmicrohttpd's.
 *
 * A request goes through MHD's handler at least three times:
 *
 *   first call     who is it? No identity: the connection ends, nothing was
 *                  read. Nothing may be answered here: MHD would add
 *                  Connection: close, and each beat became a handshake.
 *   upload calls   the body is gathered, or thrown away when it will be
 *                  refused anyway
 *   last call      refusals are answered; else the connection is suspended
 *                  and the callback asked
 *   after resume   net_reply() has put the response there: it is queued
 *
 * A suspended connection is not freed by MHD, whatever happens to its socket,
 * until it is resumed; so net_reply() may resume it at any time, and does so
 * exactly once (`answered`, under the lock).
 *
 * A request lives until both sides let go: MHD (completed) and whoever was
 * asked (net_reply, or server_close).
 *
 * Whoever has not shown a certificate has little: 64 of them at a time, the
 * oldest gives way once it is 5 s old, 10 s without a byte end it. A site has
 * 16 connections; a further one ends its oldest.
 *
 * Connections and the budget are touched by MHD's thread alone; the lock is
 * for requests, and never held while MHD is called.
 */
#include "drivers/net/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/list.h"
#include "drivers/net/keys.h"

#define CONNECTIONS_MAX 2048u
#define PER_ADDRESS_MAX 256u
#define PER_SITE_MAX 16u
#define STRANGERS_MAX 64u
#define STRANGER_MS 5000u
#define STRANGER_SECONDS 10u /* Without a byte. */
#define PEER_SECONDS 150u    /* Above a held poll, and the client's 90 s. */
#define HEADER_LEN_MAX (32u * 1024u)
#define VERIFY_MS 60000u
#define CLOSE_SECONDS 2

struct connection {
	struct list link; /* server.connections, oldest first. */
	struct sockaddr_storage from;
	int fd;
	uint64_t since_ms;
	bool is_known; /* peer is set. */
	bool is_told;  /* That it is refused. */
	struct net_identity peer;
	uint64_t verified_ms;
};

struct server {
	struct net_inner *in;
	struct MHD_Daemon *daemon;
	int fd;
	uint16_t port;

	/* MHD's thread only. */
	struct list connections;
	size_t connections_n, strangers_n;
	size_t bodies_len;

	pthread_mutex_t lock;
	pthread_cond_t done; /* unsent_n fell. */
	struct list asked;   /* struct net_request that wait for an answer. */
	struct list late;    /* Answered 503 by us, not yet by who was asked. */
	size_t unsent_n;     /* Answered, not completed. */
	bool is_closing;
};

struct net_request {
	struct server *server;
	struct list link; /* server.asked or late, while is_held. */
	struct MHD_Connection *at;
	struct strbuf body;
	size_t charged_len; /* Of server.bodies_len. */
	size_t dropped_len;
	unsigned int refusal; /* A status; 0: it may be asked. */

	/* Under the lock. */
	bool is_held; /* The callback's, until net_reply(). */
	bool in_mhd;
	bool answered;
	unsigned int status;
	struct MHD_Response *response; /* NULL: out of memory. */
};

static struct connection *connection_at(struct list *l)
{
	return LIST_ENTRY(l, struct connection, link);
}

static struct net_request *request_at(struct list *l)
{
	return LIST_ENTRY(l, struct net_request, link);
}

/* Requests. */

static struct net_request *request_new(struct server *s,
				       struct MHD_Connection *at)
{
	struct net_request *req = calloc(1, sizeof(*req));

	if (!req)
		return NULL;
	req->server = s;
	req->at = at;
	req->in_mhd = true;
	list_init(&req->link);
	strbuf_init(&req->body);
	return req;
}

static void request_free(struct net_request *req)
{
	if (req->response)
		MHD_destroy_response(req->response);
	strbuf_release(&req->body);
	free(req);
}

/* MHD's thread only. */
static void body_drop(struct net_request *req)
{
	req->server->bodies_len -= req->charged_len;
	req->charged_len = 0;
	strbuf_release(&req->body);
}

static struct MHD_Response *
response_new(const struct server *s, unsigned int status, struct ch_bytes body)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(
		body.len, (void *)(uintptr_t)body.p, MHD_RESPMEM_MUST_COPY);
	bool good;

	if (!r)
		return NULL;
	good = MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE,
				       NET_MEDIA_TYPE) == MHD_YES;
	if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
		good = MHD_add_response_header(r, MHD_HTTP_HEADER_RETRY_AFTER,
					       "1") == MHD_YES &&
		       good;
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		good = MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW,
					       "POST") == MHD_YES &&
		       good;
	if (!s->in->is_tls)
		good = MHD_add_response_header(r, NET_SITE_HEADER,
					       s->in->self.name) == MHD_YES &&
		       good;
	if (good)
		return r;
	MHD_destroy_response(r);
	return NULL;
}

static enum MHD_Result refuse(const struct server *s, struct MHD_Connection *at,
			      unsigned int status)
{
	struct MHD_Response *r =
		response_new(s, status, (struct ch_bytes){"", 0});
	enum MHD_Result queued;

	if (!r)
		return MHD_NO;
	queued = MHD_queue_response(at, status, r);
	MHD_destroy_response(r);
	return queued;
}

/* Put the answer in place, if it has none. Returns whether that was so: the
 * caller then resumes the connection. Takes over @response. */
static bool answer(struct net_request *req, unsigned int status,
		   struct MHD_Response *response)
{
	bool is_first = !req->answered;

	if (is_first) {
		req->answered = true;
		req->status = status;
		req->response = response;
		req->server->unsent_n++;
	} else if (response) {
		MHD_destroy_response(response);
	}
	return is_first;
}

void net_reply(struct net_request *req, unsigned int status,
	       struct ch_bytes body)
{
	struct server *s = req->server;
	struct MHD_Response *response = response_new(s, status, body);
	struct MHD_Connection *at = NULL;
	bool is_last;

	pthread_mutex_lock(&s->lock);
	list_del(&req->link);
	req->is_held = false;
	if (answer(req, status, response))
		at = req->at;
	is_last = !req->in_mhd;
	pthread_mutex_unlock(&s->lock);
	if (at)
		MHD_resume_connection(at);
	if (is_last)
		request_free(req);
}

static void on_completed(void *cls, struct MHD_Connection *at, void **ctx,
			 enum MHD_RequestTerminationCode why)
{
	struct net_request *req = *ctx;
	struct server *s = cls;
	bool is_last;

	(void)at;
	(void)why;
	if (!req)
		return;
	*ctx = NULL;
	body_drop(req);
	pthread_mutex_lock(&s->lock);
	req->in_mhd = false;
	if (req->answered) {
		s->unsent_n--;
		pthread_cond_signal(&s->done);
	}
	is_last = !req->is_held;
	pthread_mutex_unlock(&s->lock);
	if (is_last)
		request_free(req);
}

/* Connections. */

static bool same_address(const struct sockaddr_storage *a,
			 const struct sockaddr *b)
{
	if (a->ss_family != b->sa_family)
		return false;
	if (b->sa_family == AF_INET)
		return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
	if (b->sa_family == AF_INET6)
		return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
			      &((const struct sockaddr_in6 *)b)->sin6_addr,
			      sizeof(struct in6_addr)) == 0;
	return false;
}

/* End it: MHD sees the end of its socket, and cleans up. */
static void hang_up(const struct connection *c)
{
	shutdown(c->fd, SHUT_RDWR);
}

/* The oldest stranger gives way, if it had its time. */
static bool stranger_evict(struct server *s)
{
	uint64_t now_ms = inner_now_ms();

	for (struct list *l = s->connections.next; l != &s->connections;
	     l = l->next) {
		struct connection *c = connection_at(l);

		if (c->is_known)
			continue;
		if (now_ms - c->since_ms < STRANGER_MS)
			return false;
		hang_up(c);
		return true;
	}
	return true;
}

static enum MHD_Result on_accept(void *cls, const struct sockaddr *from,
				 socklen_t len)
{
	struct server *s = cls;
	size_t same_n = 0;
	bool has_room;

	(void)len;
	for (struct list *l = s->connections.next; l != &s->connections;
	     l = l->next)
		same_n += same_address(&connection_at(l)->from, from);
	has_room = s->connections_n < CONNECTIONS_MAX &&
		   same_n < PER_ADDRESS_MAX &&
		   (s->strangers_n < STRANGERS_MAX || stranger_evict(s));
	if (has_room)
		return MHD_YES;
	inner_count(&s->in->refused_limit);
	return MHD_NO;
}

static void connection_add(struct server *s, struct MHD_Connection *at,
			   void **socket_ctx)
{
	const union MHD_ConnectionInfo *from =
		MHD_get_connection_info(at, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const union MHD_ConnectionInfo *fd =
		MHD_get_connection_info(at, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct connection *c = calloc(1, sizeof(*c));

	*socket_ctx = c;
	if (!c)
		return; /* Without it no request gets an identity. */
	c->fd = fd ? fd->connect_fd : -1;
	c->since_ms = inner_now_ms();
	if (from && from->client_addr)
		memcpy(&c->from, from->client_addr,
		       from->client_addr->sa_family == AF_INET6
			       ? sizeof(struct sockaddr_in6)
			       : sizeof(struct sockaddr_in));
	list_add_tail(&s->connections, &c->link);
	s->connections_n++;
	s->strangers_n++;
	inner_count(&s->in->accepted);
}

static void tell_refused(struct server *s, struct connection *c,
			 const char *why)
{
	const struct sockaddr_in6 *in6 = (const void *)&c->from;
	const struct sockaddr_in *in = (const void *)&c->from;
	char address[INET6_ADDRSTRLEN] = "?";

	if (c->is_told || !s->in->cb.refused)
		return;
	c->is_told = true;
	if (c->from.ss_family == AF_INET)
		inet_ntop(AF_INET, &in->sin_addr, address, sizeof(address));
	else if (c->from.ss_family == AF_INET6)
		inet_ntop(AF_INET6, &in6->sin6_addr, address, sizeof(address));
	s->in->cb.refused(s->in->cb.arg, address, why);
}

static bool is_closing(struct server *s)
{
	bool closing;

	pthread_mutex_lock(&s->lock);
	closing = s->is_closing;
	pthread_mutex_unlock(&s->lock);
	return closing;
}

static void on_connection(void *cls, struct MHD_Connection *at,
			  void **socket_ctx,
			  enum MHD_ConnectionNotificationCode what)
{
	struct connection *c = *socket_ctx;
	struct server *s = cls;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		connection_add(s, at, socket_ctx);
		return;
	}
	if (!c)
		return;
	if (!c->is_known) {
		s->strangers_n--;
		inner_count(&s->in->refused_tls);
		/* Whoever ends the handshake has seen our certificate, and we
		 * not theirs. */
		if (!is_closing(s))
			tell_refused(s, c,
				     "it ended its connection and had asked "
				     "nothing: it may not take this site's "
				     "certificate for that of whom it means");
	}
	s->connections_n--;
	list_del(&c->link);
	free(c);
	*socket_ctx = NULL;
}

/* A site that came back dials afresh while its dead connections stand. */
static void oldest_of_site_evict(struct server *s,
				 const struct net_identity *peer)
{
	struct connection *oldest = NULL;
	size_t n = 0;

	for (struct list *l = s->connections.next; l != &s->connections;
	     l = l->next) {
		struct connection *c = connection_at(l);

		if (!c->is_known || id_cmp(&c->peer.uuid, &peer->uuid) != 0)
			continue;
		if (!oldest)
			oldest = c;
		n++;
	}
	if (n <= PER_SITE_MAX || !oldest)
		return;
	hang_up(oldest);
	inner_count(&s->in->refused_limit);
}

static int peer_read(struct server *s, struct MHD_Connection *at,
		     struct net_identity *ret_peer, struct err *reterr)
{
	const union MHD_ConnectionInfo *info;

	if (!s->in->is_tls)
		return inner_identity_of_name(
			MHD_lookup_connection_value(at, MHD_HEADER_KIND,
						    NET_SITE_HEADER),
			ret_peer, reterr);
	info = MHD_get_connection_info(at, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	if (!info || !info->tls_session)
		return err_set(reterr, -EACCES, "it does not speak TLS");
	return tls_peer(&s->in->tls, info->tls_session, ret_peer, reterr);
}

/* Who asks: looked at for each request. Within one TLS 1.3 connection the
 * certificate cannot change, so its chain is verified once a minute, and its
 * end compared each time. NULL: nobody we know. */
static struct connection *identify(struct server *s, struct MHD_Connection *at)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(at, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct connection *c = info ? info->socket_context : NULL;
	uint64_t now_ms = inner_now_ms();
	struct err why = ERR_INIT;
	bool is_fresh;
	int r = 0;

	if (!c)
		return NULL;
	is_fresh = s->in->is_tls && c->is_known &&
		   now_ms - c->verified_ms < VERIFY_MS;
	if (!is_fresh)
		r = peer_read(s, at, &c->peer, &why);
	if (r == 0 && s->in->is_tls && (uint64_t)time(NULL) > c->peer.not_after)
		r = err_set(&why, -EACCES, "its certificate has ended");
	if (r < 0) {
		tell_refused(s, c, why.text);
		return NULL;
	}
	if (!is_fresh)
		c->verified_ms = now_ms;
	if (c->is_known)
		return c;
	c->is_known = true;
	s->strangers_n--;
	MHD_set_connection_option(at, MHD_CONNECTION_OPTION_TIMEOUT,
				  PEER_SECONDS);
	oldest_of_site_evict(s, &c->peer);
	return c;
}

/* The handler. */

static bool is_too_long(struct MHD_Connection *at)
{
	const char *s = MHD_lookup_connection_value(
		at, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
	uint64_t len = 0;

	/* MHD has refused what is no number. */
	for (; s && *s >= '0' && *s <= '9' && len <= MSG_LEN_MAX; s++)
		len = len * 10 + (uint64_t)(*s - '0');
	return len > MSG_LEN_MAX;
}

static enum MHD_Result first_call(struct server *s, struct MHD_Connection *at,
				  const char *url, const char *method,
				  void **ctx)
{
	struct net_request *req;

	if (!identify(s, at)) {
		/* One who was known and is no more is not counted when the
		 * connection ends. */
		const union MHD_ConnectionInfo *info = MHD_get_connection_info(
			at, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
		const struct connection *c = info ? info->socket_context : NULL;

		if (c && c->is_known)
			inner_count(&s->in->refused_tls);
		return MHD_NO;
	}
	if (is_too_long(at)) {
		inner_count(&s->in->refused_limit);
		return refuse(s, at, MHD_HTTP_CONTENT_TOO_LARGE);
	}
	req = request_new(s, at);
	if (!req)
		return MHD_NO;
	if (strcmp(url, NET_PATH) != 0)
		req->refusal = MHD_HTTP_NOT_FOUND;
	else if (strcmp(method, MHD_HTTP_METHOD_POST) != 0)
		req->refusal = MHD_HTTP_METHOD_NOT_ALLOWED;
	*ctx = req;
	return MHD_YES;
}

static enum MHD_Result upload_call(struct net_request *req, const char *data,
				   size_t len)
{
	struct server *s = req->server;
	size_t before = req->body.alloc;

	if (!req->refusal && len > MSG_LEN_MAX - req->body.len)
		req->refusal = MHD_HTTP_CONTENT_TOO_LARGE;
	if (!req->refusal && s->bodies_len + len > NET_BODIES_LEN_MAX)
		req->refusal = MHD_HTTP_SERVICE_UNAVAILABLE;
	if (!req->refusal) {
		strbuf_add(&req->body, data, len);
		req->charged_len += req->body.alloc - before;
		s->bodies_len += req->body.alloc - before;
		if (strbuf_error(&req->body) < 0)
			req->refusal = MHD_HTTP_SERVICE_UNAVAILABLE;
	}
	if (!req->refusal)
		return MHD_YES;
	/* Read on, so that the answer is not lost in a reset; but not for
	 * ever. */
	body_drop(req);
	req->dropped_len += len;
	return req->dropped_len > 2 * MSG_LEN_MAX ? MHD_NO : MHD_YES;
}

static enum MHD_Result ask(struct net_request *req)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		req->at, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	const struct connection *c = info->socket_context;
	struct server *s = req->server;
	struct net_identity peer = c->peer;
	struct strbuf body = STRBUF_INIT;
	size_t charged_len;
	bool is_closing;

	strbuf_swap(&body, &req->body);
	charged_len = req->charged_len;
	req->charged_len = 0;
	/* Before anybody can answer: only what is suspended can be resumed. */
	MHD_suspend_connection(req->at);
	pthread_mutex_lock(&s->lock);
	is_closing = s->is_closing;
	if (is_closing) {
		answer(req, MHD_HTTP_SERVICE_UNAVAILABLE, NULL);
	} else {
		req->is_held = true;
		list_add_tail(&s->asked, &req->link);
	}
	pthread_mutex_unlock(&s->lock);
	if (is_closing) {
		MHD_resume_connection(req->at);
	} else {
		/* From here on @req may be gone at any time. */
		inner_count(&s->in->requests);
		s->in->cb.request(s->in->cb.arg, req, &peer,
				  strbuf_bytes(&body));
	}
	s->bodies_len -= charged_len;
	strbuf_release(&body);
	return MHD_YES;
}

static enum MHD_Result last_call(struct net_request *req)
{
	struct server *s = req->server;
	bool answered;

	pthread_mutex_lock(&s->lock);
	answered = req->answered;
	pthread_mutex_unlock(&s->lock);
	if (answered)
		return req->response ? MHD_queue_response(req->at, req->status,
							  req->response)
				     : MHD_NO;
	if (!req->refusal)
		return ask(req);
	if (req->refusal == MHD_HTTP_SERVICE_UNAVAILABLE ||
	    req->refusal == MHD_HTTP_CONTENT_TOO_LARGE)
		inner_count(&s->in->refused_limit);
	return refuse(s, req->at, req->refusal);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *at,
				  const char *url, const char *method,
				  const char *version, const char *data,
				  size_t *data_len, void **ctx)
{
	enum MHD_Result result;

	(void)version;
	if (!*ctx)
		return first_call(cls, at, url, method, ctx);
	if (*data_len == 0)
		return last_call(*ctx);
	result = upload_call(*ctx, data, *data_len);
	*data_len = 0;
	return result;
}

/* Lifetime. */

static unsigned int connections_max(void)
{
	struct rlimit files;

	/* The rest of the agent needs descriptors too. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 &&
	    files.rlim_cur / 2 < CONNECTIONS_MAX)
		return (unsigned int)files.rlim_cur / 2;
	return CONNECTIONS_MAX;
}

static struct MHD_Daemon *daemon_start(struct server *s)
{
	struct tls *t = &s->in->tls;
	struct MHD_OptionItem tls_options[] = {
		{MHD_OPTION_HTTPS_MEM_KEY, 0, t->key.buf},
		{MHD_OPTION_HTTPS_MEM_CERT, 0, t->cert.buf},
		/* This makes MHD ask for a certificate, and no more. */
		{MHD_OPTION_HTTPS_MEM_TRUST, 0, t->ca.buf},
		{MHD_OPTION_HTTPS_PRIORITIES, 0,
		 (void *)(uintptr_t)TLS_PRIORITIES},
		{MHD_OPTION_END, 0, NULL},
	};
	struct MHD_OptionItem no_options[] = {{MHD_OPTION_END, 0, NULL}};
	unsigned int flags =
		MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
	struct MHD_Daemon *daemon;
	sigset_t before;

	if (s->in->is_tls)
		flags |= MHD_USE_TLS;
	inner_block(&before);
	daemon = MHD_start_daemon(
		flags, 0, on_accept, s, on_request, s, MHD_OPTION_LISTEN_SOCKET,
		s->fd, MHD_OPTION_CONNECTION_LIMIT, connections_max(),
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_LEN_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, STRANGER_SECONDS,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_ARRAY,
		s->in->is_tls ? tls_options : no_options, MHD_OPTION_END);
	inner_unblock(&before);
	return daemon;
}

static void server_free(struct server *s)
{
	if (s->fd >= 0)
		close(s->fd);
	pthread_cond_destroy(&s->done);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static int cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;
	int r = pthread_condattr_init(&attr);

	if (r)
		return -r;
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	r = pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
	return -r;
}

int server_open(struct net_inner *in, const struct address *at,
		struct server **ret_server, struct err *reterr)
{
	struct server *s = calloc(1, sizeof(*s));

	if (!s || cond_init(&s->done) < 0) {
		free(s);
		return err_set(reterr, -ENOMEM, "out of memory");
	}
	pthread_mutex_init(&s->lock, NULL);
	s->in = in;
	list_init(&s->connections);
	list_init(&s->asked);
	list_init(&s->late);
	s->fd = address_listen(at, &s->port, reterr);
	if (s->fd < 0) {
		int r = s->fd;

		server_free(s);
		return r;
	}
	s->daemon = daemon_start(s);
	if (!s->daemon) {
		server_free(s);
		return err_set(reterr, -EIO,
			       "libmicrohttpd does not start at %s port %u: "
			       "has it been built with GnuTLS?",
			       at->host, at->port);
	}
	*ret_server = s;
	return 0;
}

uint16_t server_port(const struct server *s)
{
	return s->port;
}

/* 503 to whatever waits for an answer. The lock is held, and given up around
 * each; nothing is added meanwhile, for is_closing is set. */
static void pending_refuse(struct server *s)
{
	while (!list_is_empty(&s->asked)) {
		struct net_request *req = request_at(s->asked.next);
		struct MHD_Connection *at = req->at;

		list_del(&req->link);
		list_add_tail(&s->late, &req->link);
		answer(req, MHD_HTTP_SERVICE_UNAVAILABLE,
		       response_new(s, MHD_HTTP_SERVICE_UNAVAILABLE,
				    (struct ch_bytes){"", 0}));
		pthread_mutex_unlock(&s->lock);
		MHD_resume_connection(at);
		pthread_mutex_lock(&s->lock);
	}
}

void server_close(struct server *s)
{
	struct timespec end;

	if (!s)
		return;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += CLOSE_SECONDS;
	MHD_quiesce_daemon(s->daemon);
	pthread_mutex_lock(&s->lock);
	s->is_closing = true;
	pending_refuse(s);
	while (s->unsent_n &&
	       pthread_cond_timedwait(&s->done, &s->lock, &end) == 0)
		continue;
	pthread_mutex_unlock(&s->lock);
	MHD_stop_daemon(s->daemon);
	while (!list_is_empty(&s->late)) {
		struct net_request *req = request_at(s->late.next);

		list_del(&req->link);
		request_free(req);
	}
	server_free(s);
}
