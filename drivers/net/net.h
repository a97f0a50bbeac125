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
	/* What became of net_send(): 0 with the answer's body and its sender,
	 * or an errno below zero and a sentence in @why. */
	void (*response)(void *arg, uint64_t id, int result, const char *why,
			 const struct net_identity *peer, struct ch_bytes body);
	void *arg;
};

/* Channels keep a held poll from blocking what else goes to that site. */
enum net_channel { NET_PUSH, NET_BEAT, NET_POLL, NET_CHANNELS };

struct net_target {
	const char *name;    /* As its certificate must say. */
	const char *address; /* HOST:PORT */
	enum net_channel channel;
};

/* Start. Reads our identity out of the certificate. -EINVAL, -EADDRINUSE ...
 * with a sentence naming the file or address. */
int net_open(const struct net_config *cfg, const struct net_callbacks *cb,
	     struct net **ret_net, struct err *reterr);
/* Ends all exchanges; no callback is running or will run when it returns.
 * Requests not yet answered are answered 503. */
void net_close(struct net *n);

/* Ours. With tls off: the UUID is uuid_generate_sha1(name), see keys.h. */
const struct net_identity *net_self(const struct net *n);
/* The port that is listened on, for ":0" in tests; 0 when dialling only. */
uint16_t net_port(const struct net *n);

/* POST @body to the target. One exchange at a time on each of a target's
 * channels: further ones wait. @id comes back in response(). Copies all. */
int net_send(struct net *n, const struct net_target *to, uint64_t id,
	     struct ch_bytes body, uint32_t timeout_ms);

/* Answer with HTTP @status and @body (copied). Any thread. */
void net_reply(struct net_request *req, unsigned int status,
	       struct ch_bytes body);

/* Counters for .metrics and status. */
struct net_figures {
	uint64_t requests, refused_tls, refused_limit, sent, failed;
};
void net_figures(const struct net *n, struct net_figures *ret_figures);

#endif
