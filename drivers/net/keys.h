/*
 * keys.h -- authorities and sites' certificates (GnuTLS).
 *
 * A federation is a UUID made with its authority. A site is a UUID made with
 * its key. The site's certificate carries URI:cheops://FEDERATION/NAME/UUID
 * and DNS:NAME; both names last 825 days. Keys are P-256, files 0600.
 */
#ifndef CHEOPS_DRIVERS_NET_KEYS_H
#define CHEOPS_DRIVERS_NET_KEYS_H

#include "core/err.h"
#include "core/id.h"
#include "drivers/net/net.h"

/* DIR/ca.pem and DIR/ca.key. Nothing there is overwritten: -EEXIST. */
int keys_init(const char *dir, struct err *reterr);

/* DIR/NAME.pem and DIR/NAME.key, signed by DIR/ca.key. @name must be a site
 * name (name.h): -EINVAL. */
int keys_site(const char *dir, const char *name, struct err *reterr);

/* What a site is where tls is off. */
void keys_uuid_of_name(const char *name, struct ch_id *ret_uuid);

/* Read the identity out of a PEM or DER certificate. -EINVAL with what is
 * missing in it. */
int keys_identity(struct ch_bytes cert, struct net_identity *ret_identity,
		  struct err *reterr);

#endif
