/*
 * server.h -- the end that is called (libmicrohttpd).
 */
#ifndef CHEOPS_DRIVERS_NET_SERVER_H
#define CHEOPS_DRIVERS_NET_SERVER_H

#include "drivers/net/address.h"
#include "drivers/net/inner.h"

struct server;

/* Listen. @in outlives the server. Errors as address_listen(), or -EIO when
 * libmicrohttpd does not start. */
int server_open(struct net_inner *in, const struct address *at,
		struct server **ret_server, struct err *reterr);
uint16_t server_port(const struct server *s);
/* Answers 503 to all that waits, then ends; takes NULL. */
void server_close(struct server *s);

#endif
