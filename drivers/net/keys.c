/* keys.c -- see keys.h. */
#include "drivers/net/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uuid.h>

#include "core/name.h"
#include "drivers/net/tls.h"

#define URI_SCHEME "cheops://"
#define SITE_SECONDS (825L * 24 * 3600)
#define CA_SECONDS (10L * 365 * 24 * 3600)
#define BACKDATE_SECONDS 3600L /* For clocks that are behind ours. */
#define SERIAL_LEN 16
#define PATH_LEN 4096

/* A certificate in the making, and what signs it. */
struct pair {
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
};

static int tls_error(struct err *reterr, int r, const char *what)
{
	int code = -EINVAL;

	if (r == GNUTLS_E_MEMORY_ERROR)
		code = -ENOMEM;
	else if (r == GNUTLS_E_RANDOM_FAILED)
		code = -EIO;
	return err_set(reterr, code, "%s: %s", what, gnutls_strerror(r));
}

static void pair_release(struct pair *p)
{
	if (p->key)
		gnutls_x509_privkey_deinit(p->key);
	if (p->crt)
		gnutls_x509_crt_deinit(p->crt);
	*p = (struct pair){.key = NULL};
}

static int pair_init(struct pair *p)
{
	int r = gnutls_x509_privkey_init(&p->key);

	return r < 0 ? r : gnutls_x509_crt_init(&p->crt);
}

/* Files. */

static int path_of(char *path, const char *dir, const char *name,
		   const char *suffix, struct err *reterr)
{
	int n = snprintf(path, PATH_LEN, "%s/%s%s", dir, name, suffix);

	if (n < 0 || n >= PATH_LEN)
		return err_set(reterr, -ENAMETOOLONG,
			       "%.100s...: a path of over %d bytes", dir,
			       PATH_LEN);
	return 0;
}

static int must_not_exist(const char *path, struct err *reterr)
{
	if (access(path, F_OK) == 0)
		return err_set(reterr, -EEXIST,
			       "%s exists and is not overwritten; move it away "
			       "first",
			       path);
	return 0;
}

static int dir_sync(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int write_all(int fd, const unsigned char *p, size_t len)
{
	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Give @temp the name @path, unless that is taken. */
static int publish(const char *temp, const char *path)
{
	if (renameat2(AT_FDCWD, temp, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (link(temp, path) < 0)
		return -errno;
	unlink(temp);
	return 0;
}

/* Write @path whole and durably; -EEXIST when it is there. */
static int file_new(const char *dir, const char *path, mode_t mode,
		    const gnutls_datum_t *data, struct err *reterr)
{
	char temp[PATH_LEN];
	int fd, r;

	r = path_of(temp, dir, ".cheops-XXXXXX", "", reterr);
	if (r < 0)
		return r;
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0) {
		r = -errno;
		return err_set(reterr, r, "%s: cannot make a file there: %s",
			       dir, strerror(-r));
	}
	r = write_all(fd, data->data, data->size);
	if (r == 0 && fchmod(fd, mode) < 0)
		r = -errno;
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0)
		r = publish(temp, path);
	if (r < 0)
		unlink(temp);
	else
		r = dir_sync(dir);
	if (r < 0)
		return err_set(reterr, r, "%s: %s", path, strerror(-r));
	return 0;
}

/* DIR/NAME.key, then DIR/NAME.pem: a certificate never stands without. */
static int pair_write(const struct pair *p, const char *dir, const char *name,
		      struct err *reterr)
{
	char key_path[PATH_LEN], crt_path[PATH_LEN];
	gnutls_datum_t key = {NULL, 0}, crt = {NULL, 0};
	int r;

	r = path_of(key_path, dir, name, ".key", reterr);
	if (r == 0)
		r = path_of(crt_path, dir, name, ".pem", reterr);
	if (r == 0)
		r = must_not_exist(crt_path, reterr);
	if (r < 0)
		return r;
	r = gnutls_x509_privkey_export2_pkcs8(p->key, GNUTLS_X509_FMT_PEM, NULL,
					      GNUTLS_PKCS_PLAIN, &key);
	if (r >= 0)
		r = gnutls_x509_crt_export2(p->crt, GNUTLS_X509_FMT_PEM, &crt);
	if (r < 0) {
		r = tls_error(reterr, r, "cannot export the key");
		goto out;
	}
	r = file_new(dir, key_path, 0600, &key, reterr);
	if (r < 0)
		goto out;
	r = file_new(dir, crt_path, 0644, &crt, reterr);
	if (r < 0)
		unlink(key_path);
out:
	if (key.data)
		gnutls_memset(key.data, 0, key.size);
	gnutls_free(key.data);
	gnutls_free(crt.data);
	return r;
}

/* Certificates. */

/* A fresh key, and what all certificates have in common. */
static int crt_begin(struct pair *p, const char *common_name, long seconds)
{
	unsigned char serial[SERIAL_LEN], id[64];
	unsigned int bits = GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1);
	size_t id_len = sizeof(id);
	time_t now = time(NULL);
	int r;

	r = gnutls_x509_privkey_generate(p->key, GNUTLS_PK_ECDSA, bits, 0);
	if (r >= 0)
		r = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial));
	if (r < 0)
		return r;
	serial[0] = (unsigned char)((serial[0] & 0x7f) | 0x40);
	r = gnutls_x509_crt_set_version(p->crt, 3);
	if (r >= 0)
		r = gnutls_x509_crt_set_serial(p->crt, serial, sizeof(serial));
	if (r >= 0)
		r = gnutls_x509_crt_set_key(p->crt, p->key);
	if (r >= 0)
		r = gnutls_x509_crt_set_dn_by_oid(
			p->crt, GNUTLS_OID_X520_COMMON_NAME, 0, common_name,
			(unsigned int)strlen(common_name));
	if (r >= 0)
		r = gnutls_x509_crt_set_activation_time(p->crt,
							now - BACKDATE_SECONDS);
	if (r >= 0)
		r = gnutls_x509_crt_set_expiration_time(p->crt, now + seconds);
	if (r >= 0)
		r = gnutls_x509_crt_get_key_id(p->crt, GNUTLS_KEYID_USE_SHA1,
					       id, &id_len);
	if (r >= 0)
		r = gnutls_x509_crt_set_subject_key_id(p->crt, id, id_len);
	return r;
}

static int crt_add_uri(gnutls_x509_crt_t crt, const char *uri)
{
	return gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_URI, uri,
						    (unsigned int)strlen(uri),
						    GNUTLS_FSAN_APPEND);
}

static int crt_sign(gnutls_x509_crt_t crt, const struct pair *by)
{
	unsigned char id[64];
	size_t id_len = sizeof(id);
	int r;

	r = gnutls_x509_crt_get_subject_key_id(by->crt, id, &id_len, NULL);
	if (r >= 0)
		r = gnutls_x509_crt_set_authority_key_id(crt, id, id_len);
	if (r >= 0)
		r = gnutls_x509_crt_sign2(crt, by->crt, by->key,
					  GNUTLS_DIG_SHA256, 0);
	return r;
}

static int authority_new(struct pair *ca)
{
	char text[UUID_STR_LEN], uri[sizeof(URI_SCHEME) + UUID_STR_LEN];
	uuid_t federation;
	int r;

	uuid_generate_random(federation);
	uuid_unparse_lower(federation, text);
	snprintf(uri, sizeof(uri), URI_SCHEME "%s", text);
	r = pair_init(ca);
	if (r >= 0)
		r = crt_begin(ca, "cheops authority", CA_SECONDS);
	if (r >= 0)
		r = crt_add_uri(ca->crt, uri);
	if (r >= 0)
		r = gnutls_x509_crt_set_basic_constraints(ca->crt, 1, 0);
	if (r >= 0)
		r = gnutls_x509_crt_set_key_usage(ca->crt,
						  GNUTLS_KEY_KEY_CERT_SIGN |
							  GNUTLS_KEY_CRL_SIGN);
	if (r >= 0)
		r = crt_sign(ca->crt, ca);
	return r;
}

static int site_new(struct pair *site, const struct pair *ca,
		    const char *federation_uri, const char *name)
{
	char text[UUID_STR_LEN], uri[256];
	uuid_t uuid;
	int r;

	uuid_generate_random(uuid);
	uuid_unparse_lower(uuid, text);
	snprintf(uri, sizeof(uri), "%s/%s/%s", federation_uri, name, text);
	r = pair_init(site);
	if (r >= 0)
		r = crt_begin(site, name, SITE_SECONDS);
	if (r >= 0)
		r = crt_add_uri(site->crt, uri);
	if (r >= 0)
		r = gnutls_x509_crt_set_subject_alt_name(
			site->crt, GNUTLS_SAN_DNSNAME, name,
			(unsigned int)strlen(name), GNUTLS_FSAN_APPEND);
	if (r >= 0)
		r = gnutls_x509_crt_set_basic_constraints(site->crt, 0, -1);
	if (r >= 0)
		r = gnutls_x509_crt_set_key_usage(site->crt,
						  GNUTLS_KEY_DIGITAL_SIGNATURE);
	if (r >= 0)
		r = gnutls_x509_crt_set_key_purpose_oid(
			site->crt, GNUTLS_KP_TLS_WWW_SERVER, 0);
	if (r >= 0)
		r = gnutls_x509_crt_set_key_purpose_oid(
			site->crt, GNUTLS_KP_TLS_WWW_CLIENT, 0);
	if (r >= 0)
		r = crt_sign(site->crt, ca);
	return r;
}

int keys_init(const char *dir, struct err *reterr)
{
	char key[PATH_LEN], crt[PATH_LEN];
	struct pair ca = {.key = NULL};
	int r;

	r = path_of(key, dir, "ca", ".key", reterr);
	if (r == 0)
		r = path_of(crt, dir, "ca", ".pem", reterr);
	if (r == 0)
		r = must_not_exist(key, reterr);
	if (r == 0)
		r = must_not_exist(crt, reterr);
	if (r < 0)
		return r;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
		r = -errno;
		return err_set(reterr, r, "%s: cannot make that folder: %s",
			       dir, strerror(-r));
	}
	r = authority_new(&ca);
	if (r < 0)
		r = tls_error(reterr, r, "cannot make an authority");
	else
		r = pair_write(&ca, dir, "ca", reterr);
	pair_release(&ca);
	return r;
}

/* The cheops:// name in @crt; "" when there is none or more than one. */
static void crt_uri(gnutls_x509_crt_t crt, char *uri, size_t uri_size)
{
	unsigned int n = 0;
	char s[512];

	uri[0] = '\0';
	for (unsigned int i = 0;; i++) {
		size_t len = sizeof(s);
		int r = gnutls_x509_crt_get_subject_alt_name(crt, i, s, &len,
							     NULL);

		if (r == GNUTLS_E_SHORT_MEMORY_BUFFER)
			continue;
		if (r < 0)
			break;
		if (r != GNUTLS_SAN_URI || len >= sizeof(s) ||
		    strncmp(s, URI_SCHEME, strlen(URI_SCHEME)) != 0)
			continue;
		s[len] = '\0';
		n++;
		if (strlen(s) == len && len < uri_size)
			memcpy(uri, s, len + 1);
		else
			n++; /* A NUL within, or too long: not ours. */
	}
	if (n != 1)
		uri[0] = '\0';
}

static bool crt_has_dns(gnutls_x509_crt_t crt, const char *name)
{
	for (unsigned int i = 0;; i++) {
		char s[256];
		size_t len = sizeof(s);
		int r = gnutls_x509_crt_get_subject_alt_name(crt, i, s, &len,
							     NULL);

		if (r == GNUTLS_E_SHORT_MEMORY_BUFFER)
			continue;
		if (r < 0)
			return false;
		if (r == GNUTLS_SAN_DNSNAME && len == strlen(name) &&
		    memcmp(s, name, len) == 0)
			return true;
	}
}

static int file_load(const char *dir, const char *name, struct strbuf *out,
		     struct err *reterr)
{
	char path[PATH_LEN];
	int r = path_of(path, dir, name, "", reterr);

	if (r < 0)
		return r;
	r = tls_file_read(path, out, reterr);
	if (r == -ENOENT)
		err_set(reterr, r,
			"%s: not there; sites' keys are made where `cheops "
			"keys init %s` was run",
			path, dir);
	return r;
}

/* DIR/ca.pem and DIR/ca.key, and the name of their federation. */
static int authority_load(const char *dir, struct pair *ca, char *uri,
			  size_t uri_size, struct err *reterr)
{
	struct strbuf crt = STRBUF_INIT, key = STRBUF_INIT;
	struct ch_id federation;
	gnutls_datum_t d;
	int r;

	r = file_load(dir, "ca.pem", &crt, reterr);
	if (r == 0)
		r = file_load(dir, "ca.key", &key, reterr);
	if (r < 0)
		goto out;
	r = pair_init(ca);
	if (r >= 0) {
		d = (gnutls_datum_t){(unsigned char *)crt.buf,
				     (unsigned int)crt.len};
		r = gnutls_x509_crt_import(ca->crt, &d, GNUTLS_X509_FMT_PEM);
	}
	if (r < 0) {
		r = tls_error(reterr, r, "ca.pem is no certificate");
		goto out;
	}
	d = (gnutls_datum_t){(unsigned char *)key.buf, (unsigned int)key.len};
	r = gnutls_x509_privkey_import2(ca->key, &d, GNUTLS_X509_FMT_PEM, NULL,
					0);
	if (r < 0) {
		r = tls_error(reterr, r, "ca.key is no private key");
		goto out;
	}
	r = tls_key_fits(ca->crt, ca->key);
	if (r < 0) {
		r = err_set(reterr, r, "%s/ca.key is not the key of %s/ca.pem",
			    dir, dir);
		goto out;
	}
	crt_uri(ca->crt, uri, uri_size);
	if (strlen(uri) != strlen(URI_SCHEME) + ID_TEXT_LEN ||
	    id_from_text(ch_str(uri + strlen(URI_SCHEME)), &federation) < 0)
		r = err_set(reterr, -EINVAL,
			    "%s/ca.pem names no federation (URI:cheops://UUID);"
			    " `cheops keys init` makes one that does",
			    dir);
out:
	if (key.alloc)
		gnutls_memset(key.buf, 0, key.len);
	strbuf_release(&key);
	strbuf_release(&crt);
	return r;
}

int keys_site(const char *dir, const char *name, struct err *reterr)
{
	struct pair ca = {.key = NULL}, site = {.key = NULL};
	char path[PATH_LEN], uri[64];
	int r;

	r = name_check_site(ch_str(name), reterr);
	if (r == 0 && strcmp(name, "ca") == 0)
		r = err_set(reterr, -EINVAL,
			    "'ca' is the authority's; choose another name for "
			    "the site");
	if (r == 0)
		r = path_of(path, dir, name, ".key", reterr);
	if (r == 0)
		r = must_not_exist(path, reterr);
	if (r == 0)
		r = path_of(path, dir, name, ".pem", reterr);
	if (r == 0)
		r = must_not_exist(path, reterr);
	if (r == 0)
		r = authority_load(dir, &ca, uri, sizeof(uri), reterr);
	if (r < 0)
		goto out;
	r = site_new(&site, &ca, uri, name);
	if (r < 0)
		r = tls_error(reterr, r, "cannot make a certificate");
	else
		r = pair_write(&site, dir, name, reterr);
out:
	pair_release(&site);
	pair_release(&ca);
	return r;
}

void keys_uuid_of_name(const char *name, struct ch_id *ret_uuid)
{
	/* Of no other use, and never to be changed. */
	static const uuid_t space = {0x5c, 0x1d, 0x0f, 0x6e, 0x93, 0x4b,
				     0x4d, 0x1a, 0xa7, 0x6e, 0x0b, 0x52,
				     0xc8, 0xe4, 0x37, 0x90};
	uuid_t uuid;

	uuid_generate_sha1(uuid, space, name, strlen(name));
	memcpy(ret_uuid->b, uuid, sizeof(ret_uuid->b));
}

/* FEDERATION/NAME/UUID behind the scheme. */
static int uri_parse(const char *uri, struct net_identity *ret_identity,
		     struct err *reterr)
{
	const char *federation = uri + strlen(URI_SCHEME);
	const char *name = strchr(federation, '/');
	const char *uuid = name ? strchr(name + 1, '/') : NULL;
	size_t name_len;

	if (!uuid)
		return err_set(reterr, -EINVAL,
			       "'%.150s' is not "
			       "cheops://FEDERATION/NAME/UUID",
			       uri);
	name++;
	name_len = (size_t)(uuid - name);
	uuid++;
	if (id_from_text((struct ch_bytes){federation,
					   (size_t)(name - 1 - federation)},
			 &ret_identity->federation) < 0 ||
	    id_from_text(ch_str(uuid), &ret_identity->uuid) < 0)
		return err_set(reterr, -EINVAL,
			       "'%.150s' is not "
			       "cheops://FEDERATION/NAME/UUID",
			       uri);
	if (name_check_site((struct ch_bytes){name, name_len}, reterr) < 0)
		return err_wrap(reterr, -EINVAL, "the name in its certificate");
	memcpy(ret_identity->name, name, name_len);
	ret_identity->name[name_len] = '\0';
	return 0;
}

static int crt_identity(gnutls_x509_crt_t crt,
			struct net_identity *ret_identity, struct err *reterr)
{
	struct net_identity id = {.name = ""};
	time_t end = gnutls_x509_crt_get_expiration_time(crt);
	char uri[512];
	int r;

	crt_uri(crt, uri, sizeof(uri));
	if (!uri[0])
		return err_set(reterr, -EINVAL,
			       "it is no site's certificate: there is not one "
			       "URI:cheops://FEDERATION/NAME/UUID in it");
	r = uri_parse(uri, &id, reterr);
	if (r < 0)
		return r;
	if (!crt_has_dns(crt, id.name))
		return err_set(reterr, -EINVAL,
			       "its certificate lacks DNS:%s, the name of its "
			       "URI",
			       id.name);
	if (end == (time_t)-1)
		return err_set(reterr, -EINVAL, "its certificate has no end");
	id.not_after = (uint64_t)end;
	*ret_identity = id;
	return 0;
}

int keys_identity(struct ch_bytes cert, struct net_identity *ret_identity,
		  struct err *reterr)
{
	gnutls_datum_t d = {(unsigned char *)(uintptr_t)cert.p,
			    (unsigned int)cert.len};
	gnutls_x509_crt_t crt;
	int r;

	r = gnutls_x509_crt_init(&crt);
	if (r < 0)
		return tls_error(reterr, r, "cannot read a certificate");
	r = gnutls_x509_crt_import(crt, &d,
				   cert.len && *(const char *)cert.p == 0x30
					   ? GNUTLS_X509_FMT_DER
					   : GNUTLS_X509_FMT_PEM);
	if (r < 0)
		r = tls_error(reterr, r, "not a certificate");
	else
		r = crt_identity(crt, ret_identity, reterr);
	gnutls_x509_crt_deinit(crt);
	return r;
}
