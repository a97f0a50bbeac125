/* lane_verdict.c -- what became of an exchange, in words people act on. */
#include <errno.h>
#include <string.h>

#include "drivers/net/keys.h"
#include "drivers/net/lane.h"

static int tls_failure(const struct lane *l, struct err *why)
{
	const char *pem = lane_certificate(l);
	struct net_identity peer;
	long verdict = 0;

	/* With a certificate at hand its chain is good, and the name is not. */
	if (pem && keys_identity(ch_str(pem), &peer, NULL) == 0 &&
	    lane_peer_check(l, &peer, why) < 0)
		return -EACCES;
	if (pem)
		return err_set(why, -EACCES,
			       "the certificate of %s is not that of '%s': %s",
			       l->address, l->name, l->curl_why);
	curl_easy_getinfo(l->easy, CURLINFO_SSL_VERIFYRESULT, &verdict);
	switch (verdict) { /* X509_V_ERR_ numbers of OpenSSL. */
	case 9:
		return err_set(why, -EACCES,
			       "the certificate of %s has not begun: compare "
			       "the clocks",
			       l->address);
	case 10:
		return err_set(why, -EACCES, "the certificate of %s has ended",
			       l->address);
	default:
		return err_set(why, -EACCES,
			       "the certificate of %s is of another authority: "
			       "%s",
			       l->address, l->curl_why);
	}
}

static int connect_failure(const struct lane *l, struct err *why)
{
	long os = 0;

	curl_easy_getinfo(l->easy, CURLINFO_OS_ERRNO, &os);
	if (os == ECONNREFUSED)
		return err_set(why, -ECONNREFUSED, "nobody listens at %s",
			       l->address);
	if (os == 0)
		os = EHOSTUNREACH;
	return err_set(why, (int)-os, "cannot reach %s: %s", l->address,
		       strerror((int)os));
}

/* A server refuses us by hanging up: it may well be our certificate. */
static int reset_failure(const struct lane *l, struct err *why)
{
	if (l->in->self.not_after < (uint64_t)time(NULL))
		return err_set(why, -ECONNRESET,
			       "%s at %s ended the connection: our own "
			       "certificate has ended",
			       l->name, l->address);
	return err_set(why, -ECONNRESET,
		       "%s at %s ended the connection%s: its .events say more "
		       "if it refused this site's certificate",
		       l->name, l->address,
		       l->in->is_tls ? "" : ", perhaps it uses TLS");
}

/* The handshake failed before any certificate was at fault. */
static int handshake_failure(const struct lane *l, struct err *why)
{
	long os = 0;

	curl_easy_getinfo(l->easy, CURLINFO_OS_ERRNO, &os);
	if (os == ECONNRESET || os == EPIPE ||
	    strstr(l->curl_why, "SSL_ERROR_SYSCALL"))
		return reset_failure(l, why);
	return err_set(why, -EPROTO, "no TLS 1.3 with %s at %s: %s", l->name,
		       l->address, l->curl_why);
}

static int curl_failure(const struct lane *l, CURLcode code, struct err *why)
{
	switch (code) {
	case CURLE_ABORTED_BY_CALLBACK:
		return err_set(why, -EACCES, "%s",
			       l->why.text[0] ? l->why.text
					      : "cannot tell who would answer");
	case CURLE_PEER_FAILED_VERIFICATION:
		return tls_failure(l, why);
	case CURLE_SSL_CONNECT_ERROR:
		return handshake_failure(l, why);
	case CURLE_COULDNT_RESOLVE_HOST:
		return err_set(why, -EHOSTUNREACH, "no address is known for %s",
			       l->address);
	case CURLE_COULDNT_CONNECT:
		return connect_failure(l, why);
	case CURLE_OPERATION_TIMEDOUT:
		return err_set(why, -ETIMEDOUT,
			       "%s at %s did not answer in time", l->name,
			       l->address);
	case CURLE_WRITE_ERROR:
	case CURLE_FILESIZE_EXCEEDED:
		if (l->is_too_long || code == CURLE_FILESIZE_EXCEEDED)
			return err_set(why, -EMSGSIZE,
				       "the answer of %s is over %u bytes",
				       l->address, MSG_LEN_MAX);
		return err_set(why, -ENOMEM, "out of memory");
	case CURLE_OUT_OF_MEMORY:
		return err_set(why, -ENOMEM, "out of memory");
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_PARTIAL_FILE:
		return reset_failure(l, why);
	default:
		return err_set(why, -EPROTO, "%s at %s: %s", l->name,
			       l->address,
			       l->curl_why[0] ? l->curl_why
					      : curl_easy_strerror(code));
	}
}

static int http_failure(const struct lane *l, long status, struct err *why)
{
	switch (status) {
	case 410:
		return err_set(
			why, -ESTALE,
			"%s refuses this site: it was declared gone; to "
			"come back it needs a new key and an empty store",
			l->name);
	case 413:
		return err_set(why, -EMSGSIZE, "%s finds the message too long",
			       l->name);
	case 429:
	case 503:
		return err_set(why, -EAGAIN, "%s is busy", l->name);
	case 507:
		return err_set(why, -ENOSPC, "%s has no space", l->name);
	case 403:
		return err_set(why, -EACCES,
			       "%s at %s does not take this site for one of "
			       "its federation: its .events say more",
			       l->name, l->address);
	case 409:
		return err_set(why, -EACCES,
			       "%s at %s knows another site that is called "
			       "'%s'",
			       l->name, l->address, l->in->self.name);
	case 426:
		return err_set(why, -EPROTO,
			       "%s at %s speaks other versions of the protocol",
			       l->name, l->address);
	default:
		return err_set(why, -EPROTO,
			       "%s at %s answered with status %ld", l->name,
			       l->address, status);
	}
}

int lane_verdict(const struct lane *l, CURLcode code, struct err *why)
{
	long status = 0;

	if (code != CURLE_OK)
		return curl_failure(l, code, why);
	if (!l->has_peer)
		return err_set(why, -EACCES, "%s does not say who it is%s%s",
			       l->address, l->why.text[0] ? ": " : "",
			       l->why.text);
	curl_easy_getinfo(l->easy, CURLINFO_RESPONSE_CODE, &status);
	return status == 200 ? 0 : http_failure(l, status, why);
}
