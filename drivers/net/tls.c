/* tls.c -- see tls.h. */
#include "drivers/net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "drivers/net/keys.h"

#define FILE_LEN_MAX (256u * 1024u)
#define CHAIN_MAX 8

static gnutls_datum_t datum(const struct strbuf *sb)
{
	return (gnutls_datum_t){(unsigned char *)sb->buf,
				(unsigned int)sb->len};
}

int tls_file_read(const char *path, struct strbuf *out, struct err *reterr)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r = 0;
	char buf[4096];

	if (fd < 0) {
		r = -errno;
		return err_set(reterr, r, "%s: %s", path, strerror(-r));
	}
	for (;;) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = -errno;
		if (n <= 0)
			break;
		strbuf_add(out, buf, (size_t)n);
		if (out->len > FILE_LEN_MAX) {
			r = -EFBIG;
			break;
		}
	}
	close(fd);
	explicit_bzero(buf, sizeof(buf));
	if (r == 0)
		r = strbuf_error(out);
	if (r < 0)
		return err_set(reterr, r, "%s: %s", path, strerror(-r));
	return 0;
}

int tls_key_fits(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key)
{
	unsigned char a[64], b[64];
	size_t a_len = sizeof(a), b_len = sizeof(b);

	if (gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, a,
				       &a_len) < 0 ||
	    gnutls_x509_privkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, b,
					   &b_len) < 0 ||
	    a_len != b_len || memcmp(a, b, a_len) != 0)
		return -EINVAL;
	return 0;
}

/* Our certificate against our key and our authority. */
static int self_check(const struct tls *t, const char *ca, const char *cert,
		      const char *key_path, struct err *reterr)
{
	gnutls_datum_t crt_pem = datum(&t->cert), key_pem = datum(&t->key);
	gnutls_x509_crt_t crt = NULL;
	gnutls_x509_privkey_t key = NULL;
	unsigned int status = 0;
	int r;

	if (gnutls_x509_crt_init(&crt) < 0 ||
	    gnutls_x509_privkey_init(&key) < 0) {
		r = err_set(reterr, -ENOMEM, "out of memory");
		goto out;
	}
	r = gnutls_x509_crt_import(crt, &crt_pem, GNUTLS_X509_FMT_PEM);
	if (r < 0) {
		r = err_set(reterr, -EINVAL, "%s: not a certificate: %s", cert,
			    gnutls_strerror(r));
		goto out;
	}
	r = gnutls_x509_privkey_import2(key, &key_pem, GNUTLS_X509_FMT_PEM,
					NULL, 0);
	if (r < 0) {
		r = err_set(reterr, -EINVAL,
			    "%s: not a private key without a passphrase: %s",
			    key_path, gnutls_strerror(r));
		goto out;
	}
	if (tls_key_fits(crt, key) < 0) {
		r = err_set(reterr, -EINVAL, "%s is not the key of %s",
			    key_path, cert);
		goto out;
	}
	r = gnutls_x509_trust_list_verify_crt2(
		t->trust, &crt, 1, NULL, 0,
		GNUTLS_VERIFY_DISABLE_TIME_CHECKS |
			GNUTLS_VERIFY_DISABLE_TRUSTED_TIME_CHECKS,
		&status, NULL);
	r = r < 0 || status ? err_set(reterr, -EINVAL,
				      "%s is not signed by the authority of %s",
				      cert, ca)
			    : 0;
out:
	if (crt)
		gnutls_x509_crt_deinit(crt);
	if (key)
		gnutls_x509_privkey_deinit(key);
	return r;
}

int tls_init(struct tls *t, const char *ca, const char *cert, const char *key,
	     struct err *reterr)
{
	gnutls_datum_t d;
	int r;

	*t = (struct tls){
		.ca = STRBUF_INIT, .cert = STRBUF_INIT, .key = STRBUF_INIT};
	r = tls_file_read(ca, &t->ca, reterr);
	if (r == 0)
		r = tls_file_read(cert, &t->cert, reterr);
	if (r == 0)
		r = tls_file_read(key, &t->key, reterr);
	if (r < 0)
		goto fail;
	if (gnutls_x509_trust_list_init(&t->trust, 0) < 0) {
		r = err_set(reterr, -ENOMEM, "out of memory");
		goto fail;
	}
	d = datum(&t->ca);
	if (gnutls_x509_trust_list_add_trust_mem(
		    t->trust, &d, NULL, GNUTLS_X509_FMT_PEM, 0, 0) < 1) {
		r = err_set(reterr, -EINVAL,
			    "%s: no authority's certificate in it", ca);
		goto fail;
	}
	r = self_check(t, ca, cert, key, reterr);
	if (r < 0)
		goto fail;
	r = keys_identity(strbuf_bytes(&t->cert), &t->self, reterr);
	if (r < 0) {
		err_wrap(reterr, r, "%s", cert);
		goto fail;
	}
	return 0;
fail:
	tls_release(t);
	return r;
}

void tls_release(struct tls *t)
{
	if (t->trust)
		gnutls_x509_trust_list_deinit(t->trust, 1);
	if (t->key.alloc)
		explicit_bzero(t->key.buf, t->key.len);
	strbuf_release(&t->key);
	strbuf_release(&t->cert);
	strbuf_release(&t->ca);
	t->trust = NULL;
}

/* Is @chain, leaf first, one for a client, signed by our authority, now. */
static int chain_verify(const struct tls *t, const gnutls_datum_t *chain,
			unsigned int n, struct err *reterr)
{
	gnutls_typed_vdata_st purpose = {
		.type = GNUTLS_DT_KEY_PURPOSE_OID,
		.data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT,
	};
	gnutls_x509_crt_t crt[CHAIN_MAX];
	unsigned int status = 0, made = 0;
	int r = 0;

	while (made < n && r >= 0) {
		r = gnutls_x509_crt_init(&crt[made]);
		if (r < 0)
			break;
		r = gnutls_x509_crt_import(crt[made], &chain[made],
					   GNUTLS_X509_FMT_DER);
		made++;
	}
	/* Not gnutls_certificate_verify_peers2(): it returns 0 for a foreign
	 * certificate, and asks MHD's credentials instead of our list. */
	if (r >= 0)
		r = gnutls_x509_trust_list_verify_crt2(
			t->trust, crt, n, &purpose, 1, 0, &status, NULL);
	for (unsigned int i = 0; i < made; i++)
		gnutls_x509_crt_deinit(crt[i]);
	if (r < 0)
		return err_set(reterr, -EACCES, "its certificate: %s",
			       gnutls_strerror(r));
	if (status & GNUTLS_CERT_EXPIRED)
		return err_set(reterr, -EACCES, "its certificate has ended");
	if (status & GNUTLS_CERT_NOT_ACTIVATED)
		return err_set(reterr, -EACCES,
			       "its certificate has not begun: compare the "
			       "clocks");
	if (status)
		return err_set(reterr, -EACCES,
			       "its certificate is of another authority or not "
			       "for a client (%#x)",
			       status);
	return 0;
}

int tls_peer(const struct tls *t, gnutls_session_t session,
	     struct net_identity *ret_peer, struct err *reterr)
{
	const gnutls_datum_t *chain;
	struct net_identity peer;
	unsigned int n = 0;
	int r;

	if (gnutls_certificate_type_get2(session, GNUTLS_CTYPE_PEERS) !=
	    GNUTLS_CRT_X509)
		return err_set(reterr, -EACCES, "it has no X.509 certificate");
	chain = gnutls_certificate_get_peers(session, &n);
	if (!chain || n == 0 || n > CHAIN_MAX)
		return err_set(reterr, -EACCES, "it has no certificate");
	r = chain_verify(t, chain, n, reterr);
	if (r < 0)
		return r;
	r = keys_identity((struct ch_bytes){chain[0].data, chain[0].size},
			  &peer, reterr);
	if (r < 0)
		return -EACCES;
	if (id_cmp(&peer.federation, &t->self.federation) != 0)
		return err_set(reterr, -EACCES,
			       "its certificate is of another federation");
	*ret_peer = peer;
	return 0;
}
