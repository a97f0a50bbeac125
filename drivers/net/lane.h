/*
 * lane.h -- one channel of one target: an easy handle, one exchange under way,
 * and those that wait for it. client.c says when, lane.c and lane_verdict.c
 * talk to libcurl.
 *
 * All of it is the client's thread's own but for the list, waiting and
 * waiting_n, which client.c guards.
 */
#ifndef CHEOPS_DRIVERS_NET_LANE_H
#define CHEOPS_DRIVERS_NET_LANE_H

#include <curl/curl.h>

#include "core/list.h"
#include "core/strbuf.h"
#include "drivers/net/address.h"
#include "drivers/net/inner.h"

#define LANE_CONNECTIONS_MAX 256 /* That are remembered, and kept. */

/* A connection that stands, or stood: who is at its other end. */
struct known {
	char ends[128]; /* Both ends' addresses and ports. */
	struct net_identity peer;
};

/* A ring, shared by all lanes of a client. */
struct known_ring {
	struct known *v;
	size_t n, next;
};

struct exchange {
	struct list link; /* lane.waiting */
	uint64_t id;
	uint64_t end_ms;
	char *body;
	size_t len;
};

struct lane {
	struct list link; /* client.lanes */
	struct list turn; /* Of those to start in this turn. */
	char name[64];
	char address[sizeof(((struct address *)0)->host) + 16];
	enum net_channel channel;

	struct list waiting;
	size_t waiting_n;

	const struct net_inner *in;
	struct known_ring *known;
	CURL *easy;
	struct curl_slist *headers, *connect_to;
	struct exchange *now;
	bool is_fresh;   /* This exchange has asked for a fresh connection. */
	bool is_unknown; /* on_connected() did not know the connection. */
	bool has_peer;
	struct net_identity peer;
	struct strbuf answer;
	bool is_too_long;
	struct err why; /* Of on_connected() and on_header(). */
	char curl_why[CURL_ERROR_SIZE];
	uint64_t idle_since_ms;
};

/* NULL: out of memory. */
struct lane *lane_new(const struct net_inner *in, struct known_ring *known,
		      const struct net_target *to);
/* Not while it is with the multi handle. */
void lane_free(struct lane *l);

/* Give l->now to libcurl. 0, or -ENOMEM. */
int lane_start(struct lane *l, CURLM *multi, bool is_fresh);

/* What became of it: 0 when l->answer may be handed on, else an errno and
 * the sentence. */
int lane_verdict(const struct lane *l, CURLcode code, struct err *why);

/* Is @peer whom the lane is for. -EACCES. */
int lane_peer_check(const struct lane *l, const struct net_identity *peer,
		    struct err *reterr);

/* The certificate of a handshake that was made for this exchange: PEM,
 * borrowed from libcurl, NULL when there was no handshake. */
const char *lane_certificate(const struct lane *l);

#endif
