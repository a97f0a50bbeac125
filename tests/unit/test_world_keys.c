/* test_world_keys.c -- drivers/net/keys.h: authorities and certificates. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "core/mem.h"
#include "drivers/net/keys.h"
#include "drivers/net/tls.h"

#define DAY 86400u
/* Of RFC 4122's version 5 in our namespace; computed by Python's uuid. */
#define NANTES_UUID "b41f6582-99cc-527b-8e96-e1234c753422"

static char dir[64];

static const char *path(const char *name)
{
	static char p[128];

	snprintf(p, sizeof(p), "%s/%s", dir, name);
	return p;
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/cheops-keys-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	static const char *const names[] = {
		"ca.pem",    "ca.key",    "nantes.pem", "nantes.key",
		"paris.pem", "paris.key", "new/ca.pem", "new/ca.key",
		"new/x.pem", "new/x.key", "new",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		remove(path(names[i]));
	return rmdir(dir); /* Fails when a temporary file was left. */
}

static void read_identity(const char *name, struct net_identity *ret_id)
{
	struct strbuf pem = STRBUF_INIT;
	struct err err = ERR_INIT;

	assert_int_equal(tls_file_read(path(name), &pem, &err), 0);
	assert_int_equal(keys_identity(strbuf_bytes(&pem), ret_id, &err), 0);
	strbuf_release(&pem);
}

static void assert_says(const struct err *err, const char *what)
{
	if (!strstr(err->text, what))
		fail_msg("'%s' lacks '%s'", err->text, what);
}

static void a_site_gets_its_names(void **state)
{
	struct net_identity a, b;
	struct err err = ERR_INIT;
	uint64_t now = (uint64_t)time(NULL);
	struct tls t;

	(void)state;
	assert_int_equal(keys_init(dir, &err), 0);
	assert_int_equal(keys_site(dir, "nantes", &err), 0);
	assert_int_equal(keys_site(dir, "paris", &err), 0);
	read_identity("nantes.pem", &a);
	read_identity("paris.pem", &b);
	assert_string_equal(a.name, "nantes");
	assert_string_equal(b.name, "paris");
	assert_int_equal(id_cmp(&a.federation, &b.federation), 0);
	assert_int_not_equal(id_cmp(&a.uuid, &b.uuid), 0);
	assert_false(id_is_zero(&a.uuid));
	assert_in_range(a.not_after, now + 824 * DAY, now + 826 * DAY);

	char ca[128], cert[128], key[128];
	snprintf(ca, sizeof(ca), "%s", path("ca.pem"));
	snprintf(cert, sizeof(cert), "%s", path("nantes.pem"));
	snprintf(key, sizeof(key), "%s", path("nantes.key"));
	assert_int_equal(tls_init(&t, ca, cert, key, &err), 0);
	tls_release(&t);
	assert_int_equal(tls_init(&t, ca, cert, path("paris.key"), &err),
			 -EINVAL);
	assert_says(&err, "is not the key of");
	assert_int_equal(tls_init(&t, ca, key, key, &err), -EINVAL);
	assert_says(&err, "not a certificate");
	assert_int_equal(tls_init(&t, path("none.pem"), cert, key, &err),
			 -ENOENT);
	assert_says(&err, "none.pem");
	assert_int_equal(mem_outstanding(), 0);
}

static void keys_are_for_their_owner(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(keys_init(dir, NULL), 0);
	assert_int_equal(keys_site(dir, "nantes", NULL), 0);
	assert_int_equal(stat(path("ca.key"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(path("nantes.key"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(path("nantes.pem"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
}

static void the_folder_is_made(void **state)
{
	char sub[96], deep[112];
	struct err err = ERR_INIT;
	struct stat st;

	(void)state;
	snprintf(sub, sizeof(sub), "%s/new", dir);
	snprintf(deep, sizeof(deep), "%s/no/such", dir);
	assert_int_equal(keys_init(sub, &err), 0);
	assert_int_equal(stat(sub, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(keys_site(sub, "x", &err), 0);
	assert_int_equal(keys_init(deep, &err), -ENOENT);
	assert_says(&err, "no/such");
}

static void nothing_is_overwritten(void **state)
{
	struct strbuf before = STRBUF_INIT, after = STRBUF_INIT;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(keys_init(dir, NULL), 0);
	assert_int_equal(keys_site(dir, "nantes", NULL), 0);
	tls_file_read(path("nantes.key"), &before, NULL);
	assert_int_equal(keys_init(dir, &err), -EEXIST);
	assert_says(&err, "ca.key exists");
	assert_int_equal(keys_site(dir, "nantes", &err), -EEXIST);
	assert_says(&err, "nantes.key exists");
	remove(path("nantes.pem"));
	assert_int_equal(keys_site(dir, "nantes", &err), -EEXIST);
	tls_file_read(path("nantes.key"), &after, NULL);
	assert_true(
		ch_bytes_equal(strbuf_bytes(&before), strbuf_bytes(&after)));
	strbuf_release(&before);
	strbuf_release(&after);
}

static void what_is_missing_is_said(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(keys_site(dir, "nantes", &err), -ENOENT);
	assert_says(&err, "ca.pem: not there");
	assert_int_equal(keys_init(dir, NULL), 0);
	remove(path("ca.key"));
	assert_int_equal(keys_site(dir, "nantes", &err), -ENOENT);
	assert_says(&err, "ca.key: not there");
}

static void a_key_of_another_authority_is_refused(void **state)
{
	char sub[96], mine[128];
	struct err err = ERR_INIT;

	(void)state;
	snprintf(sub, sizeof(sub), "%s/new", dir);
	assert_int_equal(keys_init(dir, NULL), 0);
	assert_int_equal(keys_init(sub, NULL), 0);
	snprintf(mine, sizeof(mine), "%s", path("ca.key"));
	assert_int_equal(rename(path("new/ca.key"), mine), 0);
	assert_int_equal(keys_site(dir, "nantes", &err), -EINVAL);
	assert_says(&err, "is not the key of");
}

static void names_are_checked(void **state)
{
	static const char *const bad[] = {
		"",
		"Nantes",
		"-a",
		"a-",
		"a.b",
		"../x",
		"spec",
		"self",
		"any",
		"near",
		"state",
		"ca",
		"a b",
		"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgg"
		"gg",
	};
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(keys_init(dir, NULL), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err.text[0] = '\0';
		assert_int_equal(keys_site(dir, bad[i], &err), -EINVAL);
		assert_int_not_equal(err.text[0], '\0');
	}
}

static void uuids_of_names_stay(void **state)
{
	struct strbuf text = STRBUF_INIT;
	struct ch_id a, b;

	(void)state;
	keys_uuid_of_name("nantes", &a);
	keys_uuid_of_name("paris", &b);
	assert_int_not_equal(id_cmp(&a, &b), 0);
	id_to_text(&a, &text);
	assert_string_equal(text.buf, NANTES_UUID);
	strbuf_release(&text);
}

static void an_authority_is_no_site(void **state)
{
	struct strbuf pem = STRBUF_INIT;
	struct net_identity id;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(keys_init(dir, NULL), 0);
	tls_file_read(path("ca.pem"), &pem, NULL);
	assert_int_equal(keys_identity(strbuf_bytes(&pem), &id, &err), -EINVAL);
	assert_says(&err, "cheops://FEDERATION/NAME/UUID");
	assert_int_equal(keys_identity(ch_str("hello"), &id, &err), -EINVAL);
	assert_int_equal(keys_identity((struct ch_bytes){"", 0}, &id, &err),
			 -EINVAL);
	strbuf_release(&pem);
}

/* A self-signed certificate with these names; PEM appended to @out. */
static void make(const char *const *uris, const char *const *names,
		 struct strbuf *out)
{
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
	gnutls_datum_t pem;

	gnutls_x509_privkey_init(&key);
	gnutls_x509_privkey_generate(
		key, GNUTLS_PK_ECDSA,
		GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	gnutls_x509_crt_init(&crt);
	gnutls_x509_crt_set_version(crt, 3);
	gnutls_x509_crt_set_serial(crt, "\1", 1);
	gnutls_x509_crt_set_key(crt, key);
	gnutls_x509_crt_set_activation_time(crt, time(NULL));
	gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 60);
	for (; *uris; uris++)
		gnutls_x509_crt_set_subject_alt_name(
			crt, GNUTLS_SAN_URI, *uris, (unsigned int)strlen(*uris),
			GNUTLS_FSAN_APPEND);
	for (; *names; names++)
		gnutls_x509_crt_set_subject_alt_name(
			crt, GNUTLS_SAN_DNSNAME, *names,
			(unsigned int)strlen(*names), GNUTLS_FSAN_APPEND);
	assert_true(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256,
					  0) >= 0);
	assert_true(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem) >=
		    0);
	strbuf_reset(out);
	strbuf_add(out, pem.data, pem.size);
	gnutls_free(pem.data);
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
}

#define FED "cheops://11111111-2222-3333-4444-555555555555"
#define ID "/66666666-7777-8888-9999-aaaaaaaaaaaa"

static void malformed_identities_are_none(void **state)
{
	static const struct {
		const char *uris[3], *names[3];
		int r;
	} cases[] = {
		{{FED "/nantes" ID}, {"nantes"}, 0},
		{{"http://x/", FED "/nantes" ID}, {"other", "nantes"}, 0},
		{{FED "/nantes" ID}, {"paris"}, -EINVAL},
		{{FED "/nantes" ID}, {NULL}, -EINVAL},
		{{FED "/nantes" ID, FED "/nantes" ID}, {"nantes"}, -EINVAL},
		{{NULL}, {"nantes"}, -EINVAL},
		{{FED}, {"nantes"}, -EINVAL},
		{{FED "/nantes"}, {"nantes"}, -EINVAL},
		{{FED "/nantes" ID "/x"}, {"nantes"}, -EINVAL},
		{{FED "/nantes/x" ID}, {"nantes"}, -EINVAL},
		{{FED "/Nantes" ID}, {"Nantes"}, -EINVAL},
		{{FED "/spec" ID}, {"spec"}, -EINVAL},
		{{FED "/" ID}, {"nantes"}, -EINVAL},
		{{"cheops://1234/nantes" ID}, {"nantes"}, -EINVAL},
		{{"CHEOPS://11111111-2222-3333-4444-555555555555/nantes" ID},
		 {"nantes"},
		 -EINVAL},
	};
	struct strbuf pem = STRBUF_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct net_identity id;

		make(cases[i].uris, cases[i].names, &pem);
		if (keys_identity(strbuf_bytes(&pem), &id, NULL) != cases[i].r)
			fail_msg("case %zu", i);
	}
	strbuf_release(&pem);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_site_gets_its_names),
		TEST(keys_are_for_their_owner),
		TEST(the_folder_is_made),
		TEST(nothing_is_overwritten),
		TEST(what_is_missing_is_said),
		TEST(a_key_of_another_authority_is_refused),
		TEST(names_are_checked),
		TEST(uuids_of_names_stay),
		TEST(an_authority_is_no_site),
		TEST(malformed_identities_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
