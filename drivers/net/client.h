/*
 * client.h -- the end that calls (libcurl's multi interface).
 */
#ifndef CHEOPS_DRIVERS_NET_CLIENT_H
#define CHEOPS_DRIVERS_NET_CLIENT_H

#include "drivers/net/inner.h"

struct client;

/* @in outlives the client. -ENOMEM or -EIO. */
int client_open(struct net_inner *in, struct client **ret_client,
		struct err *reterr);
/* As net_send(). */
int client_send(struct client *c, const struct net_target *to, uint64_t id,
		struct ch_bytes body, uint32_t timeout_ms);
/* Answers -ESHUTDOWN to all that is under way, and ends the thread; sends are
 * refused from then on. Once, before client_free(). */
void client_stop(struct client *c);
void client_free(struct client *c);

#endif
