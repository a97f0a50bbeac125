/*
 * net.h -- how messages get from site to site: HTTPS, TLS 1.3 both ways.
 *
 * One server (libmicrohttpd) and one client (curl multi), each with a thread
 * of its own. Both hand what comes in to callbacks, which must be quick and
 * may be called from either thread; both take what goes out from any thread.
 *
 * Who the other side is comes from its certificate, on every request and for
 * every answer: never from what it says.
 */
#ifndef CHEOPS_DRIVERS_NET_NET_H
#define CHEOPS_DRIVERS_NET_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/id.h"
#include "core/message.h"

struct net;
struct net_request;

struct net_identity {
	char name[64];
	struct ch_id uuid;
	struct ch_id federation;
	uint64_t not_after; /* The certificate's end, seconds since 1970. */
};

struct net_config {
	const char *listen; /* ADDRESS:PORT, [ADDRESS]:PORT; NULL: dial only. */
	bool tls;
	const char *ca, *cert, *key; /* Files, PEM. */
	const char *name;            /* Ours; used where tls is off. */
};

struct net_callbacks {
	/* A verified site asks. Answer with net_reply(), once, at any time.
	 * @body is the callback's until it returns. */
	void (*request)(void *arg, struct net_request *req,
			const struct net_identity *peer, struct ch_bytes body);
	/* What became of net_send(), once for each that returned 0: 0 with the
	 * answer's body and its sender, or an errno below zero and a sentence
	 * in @why; @peer is NULL then, unless it is known who answered.
	 *
	 *   -ECONNREFUSED, -EHOSTUNREACH ...  nobody there
	 *   -ETIMEDOUT    no answer in time   -ECONNRESET  it hung up
	 *   -EACCES       not whom we meant: another site, another authority,
	 *                 a certificate that has ended; nothing was sent
	 *   -EAGAIN       it is busy (429, 503)
	 *   -EMSGSIZE     the message (413) or the answer is too long
	 *   -ENOSPC       507                 -EPROTO      any other status
	 *   -ESHUTDOWN    net_close() was called */
	void (*response)(void *arg, uint64_t id, int result, const char *why,
			 const struct net_identity *peer, struct ch_bytes body);
	/* A connection from @address is of nobody we know, and @why; once for
	 * each. NULL: nobody wants to know. */
	void (*refused)(void *arg, const char *address, const char *why);
	void *arg;
};

/* Channels keep a held poll from blocking what else goes to that site. */
enum net_channel { NET_PUSH, NET_BEAT, NET_POLL, NET_CHANNELS };

struct net_target {
	const char *name;    /* As its certificate must say. */
	const char *address; /* HOST:PORT */
	enum net_channel channel;
};

/* Start. Reads our identity out of the certificate; @name, when given, must be
 * the same. Callbacks may come before it returns. -EINVAL, -ENOENT, -EADDRINUSE
 * ... with a sentence naming the file or address. */
int net_open(const struct net_config *cfg, const struct net_callbacks *cb,
	     struct net **ret_net, struct err *reterr);
/* Ends all exchanges; no callback is running or will run when it returns, and
 * no request may be replied to after it. What was sent and has no answer ends
 * with -ESHUTDOWN; requests not yet answered are answered 503. Takes about two
 * seconds at most. Not from a callback. Takes NULL. */
void net_close(struct net *n);

/* Ours. With tls off: the UUID is uuid_generate_sha1(name), see keys.h. */
const struct net_identity *net_self(const struct net *n);
/* The port that is listened on, for ":0" in tests; 0 when dialling only. */
uint16_t net_port(const struct net *n);

/*
 * POST @body to the target. One exchange at a time on each of a target's
 * channels: further ones wait, in order. @id comes back in response().
 * @timeout_ms is for all of it, the waiting included. Copies all. The message
 * may reach the other side twice when a kept connection turns out to be dead.
 * -EINVAL when name or address is malformed, or with tls off no loopback;
 * -EMSGSIZE over MSG_LEN_MAX; -EAGAIN when too many wait; -ESHUTDOWN; -ENOMEM.
 */
int net_send(struct net *n, const struct net_target *to, uint64_t id,
	     struct ch_bytes body, uint32_t timeout_ms);

/* Answer with HTTP @status and @body (copied). Any thread, once for each
 * request, whatever became of its connection; @req is gone then. */
void net_reply(struct net_request *req, unsigned int status,
	       struct ch_bytes body);

/* Counters for .metrics and status. */
struct net_figures {
	uint64_t accepted;      /* Connections to us. */
	uint64_t requests;      /* Handed to request(). */
	uint64_t refused_tls;   /* Connections without a valid certificate. */
	uint64_t refused_limit; /* Too many, too long, no memory for it. */
	uint64_t sent;          /* Exchanges begun, and those that failed. */
	uint64_t failed;
};
void net_figures(const struct net *n, struct net_figures *ret_figures);

#endif
