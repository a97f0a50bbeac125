/*
 * test_world_net_tls.c -- who is let in, and whom we talk to: drivers/net
 * against parties without a certificate, with a foreign one, another
 * authority's, another site's, one that has ended or names nobody; and against
 * parties that only want to be in the way.
 */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "drivers/net/tls.h"
#include "tests/unit/net_help.h"

#define STRANGERS 80

/* What the authority in @dir would never sign: DIR/NAME.pem with @uri, valid
 * from @from to @to seconds from now, for @purpose. */
static void forge(const char *dir, const char *name, const char *uri,
		  const char *dns, long from, long to, const char *purpose)
{
	struct strbuf ca_pem = STRBUF_INIT, key_pem = STRBUF_INIT;
	gnutls_x509_privkey_t ca_key, key;
	gnutls_x509_crt_t ca, crt;
	gnutls_datum_t d;
	FILE *f;

	tls_file_read(key_path(dir, "ca", ".pem"), &ca_pem, NULL);
	tls_file_read(key_path(dir, "ca", ".key"), &key_pem, NULL);
	gnutls_x509_crt_init(&ca);
	gnutls_x509_crt_init(&crt);
	gnutls_x509_privkey_init(&ca_key);
	gnutls_x509_privkey_init(&key);
	d = (gnutls_datum_t){(void *)ca_pem.buf, (unsigned int)ca_pem.len};
	assert_int_equal(gnutls_x509_crt_import(ca, &d, GNUTLS_X509_FMT_PEM),
			 0);
	d = (gnutls_datum_t){(void *)key_pem.buf, (unsigned int)key_pem.len};
	assert_int_equal(gnutls_x509_privkey_import2(
				 ca_key, &d, GNUTLS_X509_FMT_PEM, NULL, 0),
			 0);
	gnutls_x509_privkey_generate(
		key, GNUTLS_PK_ECDSA,
		GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	gnutls_x509_crt_set_version(crt, 3);
	gnutls_x509_crt_set_serial(crt, "\2", 1);
	gnutls_x509_crt_set_key(crt, key);
	gnutls_x509_crt_set_activation_time(crt, time(NULL) + from);
	gnutls_x509_crt_set_expiration_time(crt, time(NULL) + to);
	if (uri)
		gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_URI, uri,
						     (unsigned int)strlen(uri),
						     GNUTLS_FSAN_APPEND);
	if (dns)
		gnutls_x509_crt_set_subject_alt_name(
			crt, GNUTLS_SAN_DNSNAME, dns, (unsigned int)strlen(dns),
			GNUTLS_FSAN_APPEND);
	gnutls_x509_crt_set_key_purpose_oid(crt, purpose, 0);
	assert_int_equal(
		gnutls_x509_crt_sign2(crt, ca, ca_key, GNUTLS_DIG_SHA256, 0),
		0);
	assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &d),
			 0);
	f = fopen(key_path(dir, name, ".pem"), "w");
	assert_non_null(f);
	assert_int_equal(fwrite(d.data, 1, d.size, f), d.size);
	fclose(f);
	gnutls_free(d.data);
	gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &d);
	f = fopen(key_path(dir, name, ".key"), "w");
	assert_non_null(f);
	assert_int_equal(fwrite(d.data, 1, d.size, f), d.size);
	fclose(f);
	gnutls_free(d.data);
	gnutls_x509_privkey_deinit(key);
	gnutls_x509_privkey_deinit(ca_key);
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_crt_deinit(ca);
	strbuf_release(&key_pem);
	strbuf_release(&ca_pem);
}

/* The URI that a site of the federation of @dir would have. */
static const char *uri_of(const char *dir, const char *name)
{
	static char uri[256];
	struct strbuf pem = STRBUF_INIT, text = STRBUF_INIT;
	struct net_identity id;

	tls_file_read(key_path(dir, "paris", ".pem"), &pem, NULL);
	assert_int_equal(keys_identity(strbuf_bytes(&pem), &id, NULL), 0);
	id_to_text(&id.federation, &text);
	snprintf(uri, sizeof(uri),
		 "cheops://%s/%s/66666666-7777-8888-9999-aaaaaaaaaaaa",
		 text.buf, name);
	strbuf_release(&text);
	strbuf_release(&pem);
	return uri;
}

/* A request as curl(1) would make it, verifying nothing. */
struct raw {
	const char *cert_dir, *cert; /* NULL: none. */
	const char *method, *path;
	size_t len;
	bool breaks_off; /* After the first half of its body. */
	size_t given;
	long tls_max; /* 0: what libcurl likes. */
	long status;  /* Out: 0 when there was no answer. */
	char first[64];
};

static size_t raw_write(char *p, size_t size, size_t n, void *arg)
{
	struct raw *r = arg;

	snprintf(r->first, sizeof(r->first), "%.*s", (int)(size * n), p);
	return size * n;
}

static size_t raw_read(char *p, size_t size, size_t n, void *arg)
{
	struct raw *r = arg;
	size_t len = r->len / 2 - r->given;

	if (len == 0)
		return CURL_READFUNC_ABORT;
	if (len > size * n)
		len = size * n;
	memset(p, 'x', len);
	r->given += len;
	return len;
}

static CURLcode raw_ask(struct site *to, struct raw *r)
{
	CURL *e = curl_easy_init();
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
	char *body = calloc(1, r->len + 1);
	char url[128];
	CURLcode code;

	assert_non_null(e);
	assert_non_null(body);
	memset(body, 'x', r->len);
	snprintf(url, sizeof(url), "https://%s%s", to->address,
		 r->path ? r->path : "/v1/exchange");
	curl_easy_setopt(e, CURLOPT_URL, url);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 0L);
	curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, 20000L);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, raw_write);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, r);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
	if (r->tls_max)
		curl_easy_setopt(e, CURLOPT_SSLVERSION, r->tls_max);
	if (r->cert) {
		curl_easy_setopt(e, CURLOPT_SSLCERT,
				 key_path(r->cert_dir, r->cert, ".pem"));
		curl_easy_setopt(e, CURLOPT_SSLKEY,
				 key_path(r->cert_dir, r->cert, ".key"));
	}
	if (!r->method || strcmp(r->method, "GET") != 0) {
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)r->len);
	}
	if (r->breaks_off) {
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, NULL);
		curl_easy_setopt(e, CURLOPT_READFUNCTION, raw_read);
		curl_easy_setopt(e, CURLOPT_READDATA, r);
	}
	if (r->method)
		curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
	code = curl_easy_perform(e);
	curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &r->status);
	curl_easy_cleanup(e);
	curl_slist_free_all(headers);
	free(body);
	return code;
}

/* Wait until as many were turned away as @least. */
static void wait_refused(struct site *s, uint64_t least)
{
	struct timespec end = deadline(), now;

	do {
		if (figures_of(s).refused_tls >= least)
			return;
		usleep(1000);
		clock_gettime(CLOCK_REALTIME, &now);
	} while (now.tv_sec < end.tv_sec);
	fail_msg("only %llu were refused",
		 (unsigned long long)figures_of(s).refused_tls);
}

/* It was told of just once, and so. */
static void expect_told(struct site *s, size_t n, const char *why)
{
	char text[sizeof(s->refused)];
	size_t told;

	pthread_mutex_lock(&s->lock);
	told = s->refused_n;
	memcpy(text, s->refused, sizeof(text));
	pthread_mutex_unlock(&s->lock);
	assert_int_equal(told, n);
	assert_memory_equal(text, "127.0.0.1: ", 11);
	if (!strstr(text, why))
		fail_msg("'%s' does not say '%s'", text, why);
}

static void who_has_no_good_certificate_gets_nothing(void **state)
{
	static const struct {
		const char *what, *name, *why, *purpose, *uri_name, *dns;
		long from, to;
		bool foreign_authority, foreign_federation, no_uri;
	} cases[] = {
		{"no identity", "f-bare", "", GNUTLS_KP_TLS_WWW_CLIENT, NULL,
		 "nantes", -60, 60, false, false, true},
		{"other names", "f-two", "", GNUTLS_KP_TLS_WWW_CLIENT, "nantes",
		 "paris", -60, 60, false, false, false},
		{"reserved", "f-spec", "", GNUTLS_KP_TLS_WWW_CLIENT, "spec",
		 "spec", -60, 60, false, false, false},
		{"ended", "f-old", "its certificate has ended",
		 GNUTLS_KP_TLS_WWW_CLIENT, "nantes", "nantes", -120, -60, false,
		 false, false},
		{"not begun", "f-new", "has not begun",
		 GNUTLS_KP_TLS_WWW_CLIENT, "nantes", "nantes", 600, 1200, false,
		 false, false},
		{"a server's", "f-server", "not for a client",
		 GNUTLS_KP_TLS_WWW_SERVER, "nantes", "nantes", -60, 60, false,
		 false, false},
		{"our name, another authority", "f-other",
		 "of another authority", GNUTLS_KP_TLS_WWW_CLIENT, "nantes",
		 "nantes", -60, 60, true, false, false},
		{"another federation, our authority", "f-fed",
		 "of another federation", GNUTLS_KP_TLS_WWW_CLIENT, "nantes",
		 "nantes", -60, 60, false, true, false},
	};
	struct site *b = site_open("paris");
	struct raw none = {.len = 100};
	struct raw foreign = {.cert_dir = other_dir, .cert = "paris"};
	struct raw good = {.cert_dir = keys_dir, .cert = "nantes", .len = 5};
	uint64_t refused = 0;

	(void)state;
	assert_int_not_equal(raw_ask(b, &none), CURLE_OK);
	assert_int_equal(none.status, 0);
	wait_refused(b, ++refused);
	expect_told(b, refused, "it has no certificate");
	assert_int_not_equal(raw_ask(b, &foreign), CURLE_OK);
	assert_int_equal(foreign.status, 0);
	wait_refused(b, ++refused);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *dir =
			cases[i].foreign_authority ? other_dir : keys_dir;
		const char *federation =
			cases[i].foreign_federation ? other_dir : keys_dir;
		struct raw r = {.cert_dir = dir, .cert = cases[i].name};

		forge(dir, cases[i].name,
		      cases[i].no_uri ? NULL
				      : uri_of(federation, cases[i].uri_name),
		      cases[i].dns, cases[i].from, cases[i].to,
		      cases[i].purpose);
		if (raw_ask(b, &r) == CURLE_OK || r.status)
			fail_msg("let in: %s", cases[i].what);
		wait_refused(b, ++refused);
		expect_told(b, refused, cases[i].why);
	}
	assert_int_equal(count_of(b, &b->requests_n), 0);
	assert_int_equal(figures_of(b).requests, 0);
	assert_int_equal(raw_ask(b, &good), CURLE_OK);
	assert_int_equal(good.status, 200);
	assert_string_equal(good.first, "answer to xxxxx");
	assert_int_equal(figures_of(b).refused_tls, refused);
	site_close(b);
	assert_int_equal(mem_outstanding(), 0);
}

static void nothing_older_than_tls_1_3(void **state)
{
	struct site *b = site_open("paris");
	struct raw r = {.cert_dir = keys_dir,
			.cert = "nantes",
			.tls_max = CURL_SSLVERSION_MAX_TLSv1_2};

	(void)state;
	assert_int_equal(raw_ask(b, &r), CURLE_SSL_CONNECT_ERROR);
	site_close(b);
}

static void only_the_one_path_and_method(void **state)
{
	struct site *b = site_open("paris");
	struct raw path = {.cert_dir = keys_dir,
			   .cert = "nantes",
			   .path = "/v2/exchange",
			   .len = 70000};
	struct raw get = {
		.cert_dir = keys_dir, .cert = "nantes", .method = "GET"};
	struct raw put = {.cert_dir = keys_dir,
			  .cert = "nantes",
			  .method = "PUT",
			  .len = 10};

	(void)state;
	assert_int_equal(raw_ask(b, &path), CURLE_OK);
	assert_int_equal(path.status, 404);
	assert_int_equal(raw_ask(b, &get), CURLE_OK);
	assert_int_equal(get.status, 405);
	assert_int_equal(raw_ask(b, &put), CURLE_OK);
	assert_int_equal(put.status, 405);
	assert_int_equal(count_of(b, &b->requests_n), 0);
	site_close(b);
}

static void too_long_a_body_is_refused(void **state)
{
	struct site *b = site_open("paris");
	struct raw r = {
		.cert_dir = keys_dir, .cert = "nantes", .len = MSG_LEN_MAX + 1};
	CURLcode code = raw_ask(b, &r);

	(void)state;
	/* The connection ends while it is still sending: it may miss 413. */
	if (code == CURLE_OK)
		assert_int_equal(r.status, 413);
	assert_int_equal(figures_of(b).refused_limit, 1);
	assert_int_equal(count_of(b, &b->requests_n), 0);
	r.len = MSG_LEN_MAX;
	assert_int_equal(raw_ask(b, &r), CURLE_OK);
	assert_int_equal(r.status, 200);
	site_close(b);
	assert_int_equal(mem_outstanding(), 0);
}

static void half_a_body_is_nothing(void **state)
{
	struct site *b = site_open("paris");
	struct raw r = {.cert_dir = keys_dir,
			.cert = "nantes",
			.len = 500000,
			.breaks_off = true};

	(void)state;
	assert_int_equal(raw_ask(b, &r), CURLE_ABORTED_BY_CALLBACK);
	assert_int_equal(r.given, 250000);
	r = (struct raw){.cert_dir = keys_dir, .cert = "nantes", .len = 10};
	assert_int_equal(raw_ask(b, &r), CURLE_OK);
	assert_int_equal(count_of(b, &b->requests_n), 1);
	site_close(b);
	assert_int_equal(mem_outstanding(), 0);
}

static void the_wrong_site_is_told_nothing(void **state)
{
	struct site *a = site_open("nantes"), *b = site_open("lyon");
	struct result r = ask(a, "paris", b->address, 1, "secret");

	(void)state;
	assert_int_equal(r.result, -EACCES);
	assert_has(r.why, "has the certificate of 'lyon', not of 'paris'");
	assert_string_equal(r.peer, "");
	assert_int_equal(count_of(b, &b->requests_n), 0);
	/* Nor on the connection of the right one. */
	assert_int_equal(ask(a, "lyon", b->address, 2, "x").result, 0);
	assert_int_equal(ask(a, "paris", b->address, 3, "x").result, -EACCES);
	assert_int_equal(ask(a, "lyon", b->address, 4, "x").result, 0);
	assert_int_equal(count_of(b, &b->requests_n), 2);
	site_close(a);
	site_close(b);
}

static void another_authority_is_told_nothing(void **state)
{
	struct site *a = site_open("nantes");
	struct site *b = site_open_in(other_dir, "paris", "127.0.0.1:0", true);
	struct result r = ask(a, "paris", b->address, 1, "secret");

	(void)state;
	assert_int_equal(r.result, -EACCES);
	assert_has(r.why, "of another authority");
	assert_int_equal(count_of(b, &b->requests_n), 0);
	site_close(a);
	site_close(b);
}

static void refused_as_server(const char *name, const char *why)
{
	struct site *a = site_open("nantes"), *b;
	struct net_callbacks cb = {site_request, site_response, NULL, NULL};
	struct net_config cfg = {
		.listen = "127.0.0.1:0",
		.tls = true,
		.ca = key_path(keys_dir, "ca", ".pem"),
		.cert = key_path(keys_dir, name, ".pem"),
		.key = key_path(keys_dir, name, ".key"),
	};
	struct err err = ERR_INIT;
	struct result r;

	b = calloc(1, sizeof(*b));
	assert_non_null(b);
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->moved, NULL);
	cb.arg = b;
	if (net_open(&cfg, &cb, &b->net, &err) < 0)
		fail_msg("%s", err.text);
	snprintf(b->address, sizeof(b->address), "127.0.0.1:%u",
		 net_port(b->net));
	r = ask(a, "paris", b->address, 1, "secret");
	assert_int_equal(r.result, -EACCES);
	assert_has(r.why, why);
	assert_int_equal(count_of(b, &b->requests_n), 0);
	site_close(a);
	site_close(b);
}

static void a_server_whose_time_is_not_now(void **state)
{
	(void)state;
	forge(keys_dir, "s-old", uri_of(keys_dir, "paris"), "paris", -120, -60,
	      GNUTLS_KP_TLS_WWW_SERVER);
	refused_as_server("s-old", "has ended");
	forge(keys_dir, "s-new", uri_of(keys_dir, "paris"), "paris", 600, 900,
	      GNUTLS_KP_TLS_WWW_SERVER);
	refused_as_server("s-new", "has not begun");
	/* Signed by ours, but with a name for each reader. */
	forge(keys_dir, "s-fed", uri_of(other_dir, "paris"), "paris", -60, 60,
	      GNUTLS_KP_TLS_WWW_SERVER);
	refused_as_server("s-fed", "another federation");
}

/* Its own certificate is the problem: said in words one can act on. */
static void who_is_refused_is_told_so(void **state)
{
	struct site *b = site_open("paris"), *a;
	struct result r;

	(void)state;
	forge(keys_dir, "lyon", uri_of(keys_dir, "lyon"), "lyon", -120, -60,
	      GNUTLS_KP_TLS_WWW_CLIENT);
	a = site_open("lyon");
	r = ask(a, "paris", b->address, 1, "x");
	assert_int_equal(r.result, -ECONNRESET);
	assert_has(r.why, "our own certificate has ended");
	site_close(a);
	site_close(b);
}

static int dial(const struct site *s)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(net_port(s->net)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* As many as want to say nothing: a site still gets its turn. */
static void strangers_give_way(void **state)
{
	struct site *a = site_open("nantes"), *b = site_open("paris");
	time_t end = time(NULL) + DEADLINE_SECONDS;
	int fds[STRANGERS];
	struct result r = {.result = -1};

	(void)state;
	for (size_t i = 0; i < STRANGERS; i++)
		fds[i] = dial(b);
	for (uint64_t i = 0; r.result && time(NULL) < end; i++)
		r = ask(a, "paris", b->address, i, "x");
	assert_int_equal(r.result, 0);
	assert_true(figures_of(b).refused_limit > 0);
	for (size_t i = 0; i < STRANGERS; i++)
		close(fds[i]);
	site_close(a);
	site_close(b);
}

/* More connections than a site may have: the oldest goes, the rest works. */
static void a_site_has_so_many_connections(void **state)
{
	struct site *b = site_open("paris");
	struct site *a[7];

	(void)state;
	for (size_t i = 0; i < 7; i++) {
		a[i] = site_open_in(keys_dir, "nantes", NULL, true);
		for (uint64_t k = 0; k < NET_CHANNELS; k++)
			send_to(a[i], "paris", b->address, (enum net_channel)k,
				k, "hold", 20000);
		wait_for(b, &b->requests_n, (i + 1) * NET_CHANNELS);
	}
	assert_int_equal(figures_of(b).refused_limit, 7 * NET_CHANNELS - 16);
	for (size_t i = 0; i < 7 * NET_CHANNELS; i++)
		held_reply(b, "x");
	for (size_t i = 2; i < 7; i++)
		for (uint64_t k = 0; k < NET_CHANNELS; k++)
			assert_int_equal(wait_result(a[i], k).result, 0);
	for (size_t i = 0; i < 7; i++)
		site_close(a[i]);
	site_close(b);
	assert_int_equal(mem_outstanding(), 0);
}

static void rubbish_is_survived(void **state)
{
	static const char *const rubbish[] = {
		"",
		"GET / HTTP/1.1\r\n\r\n",
		"\x16\x03\x01\xff\xff\x01",
		"\x16\x03\x03\x00\x05hello",
	};
	struct site *a = site_open("nantes"), *b = site_open("paris");

	(void)state;
	for (size_t i = 0; i < sizeof(rubbish) / sizeof(rubbish[0]); i++) {
		int fd = dial(b);

		if (write(fd, rubbish[i], strlen(rubbish[i])) < 0)
			fail_msg("cannot write");
		close(fd);
	}
	wait_refused(b, sizeof(rubbish) / sizeof(rubbish[0]));
	assert_int_equal(ask(a, "paris", b->address, 1, "x").result, 0);
	assert_int_equal(count_of(b, &b->requests_n), 1);
	site_close(a);
	site_close(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_has_no_good_certificate_gets_nothing),
		cmocka_unit_test(nothing_older_than_tls_1_3),
		cmocka_unit_test(only_the_one_path_and_method),
		cmocka_unit_test(too_long_a_body_is_refused),
		cmocka_unit_test(half_a_body_is_nothing),
		cmocka_unit_test(the_wrong_site_is_told_nothing),
		cmocka_unit_test(another_authority_is_told_nothing),
		cmocka_unit_test(a_server_whose_time_is_not_now),
		cmocka_unit_test(strangers_give_way),
		cmocka_unit_test(a_site_has_so_many_connections),
		cmocka_unit_test(rubbish_is_survived),
		cmocka_unit_test(who_is_refused_is_told_so),
	};

	return cmocka_run_group_tests(tests, keys_setup, keys_teardown);
}
