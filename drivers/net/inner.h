/*
 * inner.h -- what server.c and client.c share of one struct net. Set before
 * either has a thread, and but for the counters never changed after.
 */
#ifndef CHEOPS_DRIVERS_NET_INNER_H
#define CHEOPS_DRIVERS_NET_INNER_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "drivers/net/net.h"
#include "drivers/net/tls.h"

#define NET_PATH "/v1/exchange"
#define NET_MEDIA_TYPE "application/x-cheops"
/* Who speaks, where tls is off. */
#define NET_SITE_HEADER "Cheops-Site"
/* Bodies in memory, of each of server and client. */
#define NET_BODIES_LEN_MAX (64u * 1024u * 1024u)

struct net_inner {
	struct net_callbacks cb;
	bool is_tls;
	struct tls tls; /* Empty where tls is off. */
	struct net_identity self;
	/* As in struct net_figures. */
	atomic_ullong accepted, requests, refused_tls, refused_limit;
	atomic_ullong sent, failed;
};

static inline uint64_t inner_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static inline void inner_count(atomic_ullong *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* Threads made from here to inner_unblock() take no signals: those are for the
 * agent, and SIGPIPE must not end it. */
static inline void inner_block(sigset_t *ret_before)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, ret_before);
}

static inline void inner_unblock(const sigset_t *before)
{
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* The identity of who says it is @name, where tls is off. -EACCES. */
int inner_identity_of_name(const char *name, struct net_identity *ret_identity,
			   struct err *reterr);

#endif
