/*
 * keys.h -- authorities and sites' certificates (GnuTLS).
 *
 * A federation is a UUID made with its authority, whose certificate carries
 * URI:cheops://FEDERATION. A site is a UUID made with its key; its certificate
 * carries URI:cheops://FEDERATION/NAME/UUID and DNS:NAME and lasts 825 days,
 * the authority's ten years. Keys are P-256, files of keys 0600.
 *
 * Files appear whole and synced, or not at all; none is ever overwritten.
 */
#ifndef CHEOPS_DRIVERS_NET_KEYS_H
#define CHEOPS_DRIVERS_NET_KEYS_H

#include "core/err.h"
#include "core/id.h"
#include "drivers/net/net.h"

/* DIR/ca.pem and DIR/ca.key; DIR is made (0700) where its parent exists.
 * -EEXIST when one of them is there, else the errno of what failed. */
int keys_init(const char *dir, struct err *reterr);

/* DIR/NAME.pem and DIR/NAME.key, signed by DIR/ca.key. @name must be a site
 * name (name.h): -EINVAL. -ENOENT without an authority, -EEXIST when one of
 * the two is there, -EINVAL when the authority's files do not fit. */
int keys_site(const char *dir, const char *name, struct err *reterr);

/* What a site is where tls is off. */
void keys_uuid_of_name(const char *name, struct ch_id *ret_uuid);

/* Read the identity out of a PEM or DER certificate. -EINVAL with what is
 * missing in it. Verifies nothing. */
int keys_identity(struct ch_bytes cert, struct net_identity *ret_identity,
		  struct err *reterr);

#endif
