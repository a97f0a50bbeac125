/*
 * tls.h -- what both ends of the network know of certificates: our own three
 * files, and whether somebody else's certificate is one of our federation.
 */
#ifndef CHEOPS_DRIVERS_NET_TLS_H
#define CHEOPS_DRIVERS_NET_TLS_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "core/err.h"
#include "core/strbuf.h"
#include "drivers/net/net.h"

/* For both ends: nothing below TLS 1.3. */
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3"

struct tls {
	struct strbuf ca, cert, key; /* PEM. */
	gnutls_x509_trust_list_t trust;
	struct net_identity self;
};

/* Read and check the three files: the key fits the certificate, the authority
 * signed it, and there is an identity in it. That it has ended is no error
 * here: its peers will say so. -EINVAL, -ENOENT ... with the file's name. */
int tls_init(struct tls *t, const char *ca, const char *cert, const char *key,
	     struct err *reterr);
void tls_release(struct tls *t);

/* The client at the other end of @session: a certificate of our authority, in
 * its time, made for clients, with the identity of a site of our federation.
 * -EACCES with the sentence. Reads @t only. */
int tls_peer(const struct tls *t, gnutls_session_t session,
	     struct net_identity *ret_peer, struct err *reterr);

/* 0 when @key is the key of @crt; -EINVAL. */
int tls_key_fits(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key);

/* A small file as a whole, appended. -ENOENT ..., -EFBIG over 256 KiB; the
 * sentence names it. */
int tls_file_read(const char *path, struct strbuf *out, struct err *reterr);

#endif
