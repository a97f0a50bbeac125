/*
 * lane.c -- libcurl's side of an exchange.
 *
 * Who answers is settled before a byte of the request is sent: when libcurl
 * has a connection and is about to use it, it calls on_connected(). A fresh
 * connection has its certificate there: its identity is read, compared with
 * whom we mean to speak to, and noted under the connection's two ends. A
 * connection that is used again has none (libcurl keeps it for the handshake
 * only), and is looked up; one that is not found is refused, and the exchange
 * starts over on a fresh one. So no answer is ever put down to another site.
 */
#include "drivers/net/lane.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/net/keys.h"

#define CONNECTION_IDLE_SECONDS 90L   /* Below the server's 150. */
#define CONNECTION_LIFE_SECONDS 3600L /* Then a new certificate counts. */
#define CONNECT_MS_MAX 5000u

/* Who is at the other end. */

static struct known *known_find(struct known_ring *ring, const char *ends)
{
	for (size_t i = 0; i < ring->n; i++)
		if (strcmp(ring->v[i].ends, ends) == 0)
			return &ring->v[i];
	return NULL;
}

static int known_put(struct known_ring *ring, const char *ends,
		     const struct net_identity *peer)
{
	struct known *k = known_find(ring, ends);

	if (!k && ring->n < LANE_CONNECTIONS_MAX) {
		struct known *more =
			realloc(ring->v, (ring->n + 1) * sizeof(*more));

		if (!more)
			return -ENOMEM;
		ring->v = more;
		k = &more[ring->n++];
	} else if (!k) {
		k = &ring->v[ring->next];
		ring->next = (ring->next + 1) % LANE_CONNECTIONS_MAX;
	}
	snprintf(k->ends, sizeof(k->ends), "%s", ends);
	k->peer = *peer;
	return 0;
}

const char *lane_certificate(const struct lane *l)
{
	struct curl_certinfo *info = NULL;

	if (curl_easy_getinfo(l->easy, CURLINFO_CERTINFO, &info) != CURLE_OK ||
	    !info || info->num_of_certs < 1)
		return NULL;
	for (struct curl_slist *s = info->certinfo[0]; s; s = s->next)
		if (strncmp(s->data, "Cert:", 5) == 0)
			return s->data + 5;
	return NULL;
}

int lane_peer_check(const struct lane *l, const struct net_identity *peer,
		    struct err *reterr)
{
	if (strcmp(peer->name, l->name) != 0)
		return err_set(reterr, -EACCES,
			       "%s has the certificate of '%s', not of '%s'",
			       l->address, peer->name, l->name);
	if (id_cmp(&peer->federation, &l->in->self.federation) != 0)
		return err_set(reterr, -EACCES,
			       "the certificate of %s at %s is of another "
			       "federation",
			       l->name, l->address);
	return 0;
}

static int peer_learn(struct lane *l, const char *ends, const char *pem)
{
	struct net_identity peer;
	int r = keys_identity(ch_str(pem), &peer, &l->why);

	if (r < 0)
		return err_wrap(&l->why, r, "%s", l->address);
	r = lane_peer_check(l, &peer, &l->why);
	if (r == 0)
		r = known_put(l->known, ends, &peer);
	if (r == 0)
		l->peer = peer;
	return r;
}

/* libcurl has a connection for the exchange, and has sent nothing yet. */
static int on_connected(void *cls, char *their_ip, char *our_ip, int their_port,
			int our_port)
{
	const struct known *known;
	struct lane *l = cls;
	const char *pem;
	char ends[128];

	if (!l->in->is_tls)
		return CURL_PREREQFUNC_OK;
	l->has_peer = false; /* libcurl may try more than one connection. */
	snprintf(ends, sizeof(ends), "%s %d %s %d", our_ip, our_port, their_ip,
		 their_port);
	pem = lane_certificate(l);
	if (pem) {
		if (peer_learn(l, ends, pem) < 0)
			return CURL_PREREQFUNC_ABORT;
	} else {
		known = known_find(l->known, ends);
		if (!known || known->peer.not_after < (uint64_t)time(NULL) ||
		    lane_peer_check(l, &known->peer, &l->why) < 0) {
			l->is_unknown = true;
			return CURL_PREREQFUNC_ABORT;
		}
		l->peer = known->peer;
	}
	l->has_peer = true;
	return CURL_PREREQFUNC_OK;
}

/* Where tls is off, a header says who answers. */
static size_t on_header(char *p, size_t size, size_t n, void *cls)
{
	static const char key[] = NET_SITE_HEADER ":";
	struct lane *l = cls;
	char name[sizeof(l->name)];
	size_t len = size * n, from = sizeof(key) - 1;

	if (l->in->is_tls || len < from || strncasecmp(p, key, from) != 0)
		return len;
	while (from < len && p[from] == ' ')
		from++;
	while (len > from && (p[len - 1] == '\r' || p[len - 1] == '\n'))
		len--;
	if (len - from >= sizeof(name))
		return size * n;
	memcpy(name, p + from, len - from);
	name[len - from] = '\0';
	l->has_peer = inner_identity_of_name(name, &l->peer, &l->why) == 0 &&
		      lane_peer_check(l, &l->peer, &l->why) == 0;
	return size * n;
}

static size_t on_answer(char *p, size_t size, size_t n, void *cls)
{
	struct lane *l = cls;

	if (size * n > MSG_LEN_MAX - l->answer.len) {
		l->is_too_long = true;
		return 0;
	}
	strbuf_add(&l->answer, p, size * n);
	return strbuf_error(&l->answer) < 0 ? 0 : size * n;
}

/* The handle. */

static struct curl_slist *slist_add(struct curl_slist **list, const char *s)
{
	struct curl_slist *more = curl_slist_append(*list, s);

	if (more)
		*list = more;
	return more;
}

static CURLcode set_tls(CURL *e, const struct tls *t)
{
	struct curl_blob ca = {t->ca.buf, t->ca.len, CURL_BLOB_NOCOPY};
	struct curl_blob cert = {t->cert.buf, t->cert.len, CURL_BLOB_NOCOPY};
	struct curl_blob key = {t->key.buf, t->key.len, CURL_BLOB_NOCOPY};
	CURLcode r = CURLE_OK;

#define SET(option, value) \
	(r = r == CURLE_OK ? curl_easy_setopt(e, option, value) : r)
	SET(CURLOPT_SSLVERSION,
	    (long)CURL_SSLVERSION_TLSv1_3 | (long)CURL_SSLVERSION_MAX_TLSv1_3);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_CAPATH, NULL);
	SET(CURLOPT_CAINFO, NULL);
	SET(CURLOPT_CAINFO_BLOB, &ca);
	SET(CURLOPT_SSLCERTTYPE, "PEM");
	SET(CURLOPT_SSLCERT_BLOB, &cert);
	SET(CURLOPT_SSLKEYTYPE, "PEM");
	SET(CURLOPT_SSLKEY_BLOB, &key);
	/* A resumed session would not be verified again. */
	SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
	SET(CURLOPT_CERTINFO, 1L);
	return r;
}

static CURLcode set_transfer(CURL *e, struct lane *l, const char *url)
{
	CURLcode r = CURLE_OK;

	SET(CURLOPT_URL, url);
	SET(CURLOPT_PROTOCOLS_STR, l->in->is_tls ? "https" : "http");
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_CONNECT_TO, l->connect_to);
	SET(CURLOPT_HTTPHEADER, l->headers);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NOPROXY, "*");
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_TCP_NODELAY, 1L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_MAXAGE_CONN, CONNECTION_IDLE_SECONDS);
	SET(CURLOPT_MAXLIFETIME_CONN, CONNECTION_LIFE_SECONDS);
	SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)MSG_LEN_MAX);
	SET(CURLOPT_POST, 1L);
	SET(CURLOPT_PREREQFUNCTION, on_connected);
	SET(CURLOPT_PREREQDATA, l);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, l);
	SET(CURLOPT_WRITEFUNCTION, on_answer);
	SET(CURLOPT_WRITEDATA, l);
	SET(CURLOPT_ERRORBUFFER, l->curl_why);
	SET(CURLOPT_PRIVATE, l);
	return r;
}
#undef SET

static void lane_close(struct lane *l)
{
	if (l->easy)
		curl_easy_cleanup(l->easy);
	curl_slist_free_all(l->headers);
	curl_slist_free_all(l->connect_to);
	l->easy = NULL;
	l->headers = NULL;
	l->connect_to = NULL;
}

/* Make the easy handle, once. */
static int lane_open(struct lane *l)
{
	const struct net_inner *in = l->in;
	char url[128], to[sizeof(l->address) + 8], site[128];

	if (l->easy)
		return 0;
	/* The dot keeps "42" from being read as the address 0.0.0.42; it is
	 * no part of the name in SNI and in the certificate. */
	snprintf(url, sizeof(url), "http%s://%s." NET_PATH,
		 in->is_tls ? "s" : "", l->name);
	snprintf(to, sizeof(to), "::%s", l->address);
	snprintf(site, sizeof(site), NET_SITE_HEADER ": %s", in->self.name);
	l->easy = curl_easy_init();
	/* "Expect:" takes that header out, with its second of waiting. */
	if (!l->easy || !slist_add(&l->connect_to, to) ||
	    !slist_add(&l->headers, "Expect:") ||
	    !slist_add(&l->headers, "Content-Type: " NET_MEDIA_TYPE) ||
	    (!in->is_tls && !slist_add(&l->headers, site)) ||
	    set_transfer(l->easy, l, url) != CURLE_OK ||
	    (in->is_tls && set_tls(l->easy, &in->tls) != CURLE_OK)) {
		lane_close(l);
		return -ENOMEM;
	}
	return 0;
}

struct lane *lane_new(const struct net_inner *in, struct known_ring *known,
		      const struct net_target *to)
{
	struct lane *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->in = in;
	l->known = known;
	snprintf(l->name, sizeof(l->name), "%s", to->name);
	snprintf(l->address, sizeof(l->address), "%s", to->address);
	l->channel = to->channel;
	list_init(&l->link);
	list_init(&l->turn);
	list_init(&l->waiting);
	strbuf_init(&l->answer);
	l->idle_since_ms = inner_now_ms();
	return l;
}

void lane_free(struct lane *l)
{
	lane_close(l);
	strbuf_release(&l->answer);
	free(l);
}

int lane_start(struct lane *l, CURLM *multi, bool is_fresh)
{
	uint64_t now_ms = inner_now_ms(), left_ms = 1;
	CURL *e;

	if (lane_open(l) < 0)
		return -ENOMEM;
	e = l->easy;
	if (l->now->end_ms > now_ms)
		left_ms = l->now->end_ms - now_ms;
	l->is_fresh = is_fresh;
	l->is_unknown = false;
	l->has_peer = false;
	l->is_too_long = false;
	l->why.text[0] = '\0';
	l->curl_why[0] = '\0';
	strbuf_reset(&l->answer);
	curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, is_fresh ? 1L : 0L);
	curl_easy_setopt(e, CURLOPT_POSTFIELDS, l->now->body);
	curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE,
			 (curl_off_t)l->now->len);
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)left_ms);
	curl_easy_setopt(
		e, CURLOPT_CONNECTTIMEOUT_MS,
		(long)(left_ms < CONNECT_MS_MAX ? left_ms : CONNECT_MS_MAX));
	return curl_multi_add_handle(multi, e) == CURLM_OK ? 0 : -ENOMEM;
}
