/* net.c -- see net.h: puts the two ends together. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/name.h"
#include "drivers/net/address.h"
#include "drivers/net/client.h"
#include "drivers/net/inner.h"
#include "drivers/net/keys.h"
#include "drivers/net/server.h"

struct net {
	struct net_inner in;
	struct server *server; /* NULL: this site only dials. */
	struct client *client;
};

int inner_identity_of_name(const char *name, struct net_identity *ret_identity,
			   struct err *reterr)
{
	struct net_identity id = {.not_after = UINT64_MAX};

	if (!name || name_check_site(ch_str(name), reterr) < 0)
		return err_wrap(reterr, -EACCES, NET_SITE_HEADER);
	memcpy(id.name, name, strlen(name));
	keys_uuid_of_name(name, &id.uuid);
	*ret_identity = id;
	return 0;
}

static int identity_open(struct net_inner *in, const struct net_config *cfg,
			 struct err *reterr)
{
	int r;

	if (!cfg->tls) {
		r = cfg->name ? name_check_site(ch_str(cfg->name), reterr)
			      : err_set(reterr, -EINVAL,
					"without TLS a site needs its name");
		if (r < 0)
			return r;
		return inner_identity_of_name(cfg->name, &in->self, reterr);
	}
	if (!cfg->ca || !cfg->cert || !cfg->key)
		return err_set(reterr, -EINVAL,
			       "TLS needs three files: ca, cert and key");
	r = tls_init(&in->tls, cfg->ca, cfg->cert, cfg->key, reterr);
	if (r < 0)
		return r;
	in->self = in->tls.self;
	if (!cfg->name || strcmp(cfg->name, in->self.name) == 0)
		return 0;
	r = err_set(reterr, -EINVAL,
		    "%s is the certificate of '%s', and this site is '%s'",
		    cfg->cert, in->self.name, cfg->name);
	tls_release(&in->tls);
	return r;
}

static int listen_parse(const struct net_config *cfg,
			struct address *ret_address, struct err *reterr)
{
	int r = address_parse(cfg->listen, ret_address, reterr);

	if (r < 0 || cfg->tls || address_is_loopback(ret_address))
		return r;
	return err_set(reterr, -EINVAL,
		       "%s: without TLS only loopback addresses are allowed, "
		       "as 127.0.0.1:7421",
		       cfg->listen);
}

int net_open(const struct net_config *cfg, const struct net_callbacks *cb,
	     struct net **ret_net, struct err *reterr)
{
	struct net *n = calloc(1, sizeof(*n));
	struct address at = {.port = 0};
	int r;

	if (!n)
		return err_set(reterr, -ENOMEM, "out of memory");
	n->in.cb = *cb;
	n->in.is_tls = cfg->tls;
	r = cfg->listen ? listen_parse(cfg, &at, reterr) : 0;
	if (r == 0)
		r = identity_open(&n->in, cfg, reterr);
	if (r < 0) {
		free(n);
		return r;
	}
	r = client_open(&n->in, &n->client, reterr);
	if (r == 0 && cfg->listen)
		r = server_open(&n->in, &at, &n->server, reterr);
	if (r < 0) {
		net_close(n);
		return r;
	}
	*ret_net = n;
	return 0;
}

void net_close(struct net *n)
{
	if (!n)
		return;
	/* A callback of the one may still call the other: so neither is freed
	 * before both have stopped. */
	if (n->client)
		client_stop(n->client);
	server_close(n->server);
	if (n->client)
		client_free(n->client);
	if (n->in.is_tls)
		tls_release(&n->in.tls);
	free(n);
}

const struct net_identity *net_self(const struct net *n)
{
	return &n->in.self;
}

uint16_t net_port(const struct net *n)
{
	return n->server ? server_port(n->server) : 0;
}

int net_send(struct net *n, const struct net_target *to, uint64_t id,
	     struct ch_bytes body, uint32_t timeout_ms)
{
	return client_send(n->client, to, id, body, timeout_ms);
}

static uint64_t read_counter(const atomic_ullong *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

void net_figures(const struct net *n, struct net_figures *ret_figures)
{
	ret_figures->accepted = read_counter(&n->in.accepted);
	ret_figures->requests = read_counter(&n->in.requests);
	ret_figures->refused_tls = read_counter(&n->in.refused_tls);
	ret_figures->refused_limit = read_counter(&n->in.refused_limit);
	ret_figures->sent = read_counter(&n->in.sent);
	ret_figures->failed = read_counter(&n->in.failed);
}
