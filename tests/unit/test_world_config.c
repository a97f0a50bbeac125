/*
 * test_world_config.c -- what a config says, and each way to get it wrong.
 *
 * Every test has a folder of its own, with an authority and the certificate
 * of site nantes in it, made by the real keys.c.
 */
#include "fs/config.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "drivers/net/keys.h"

#define TLS "tls: {ca: ca.pem, cert: nantes.pem, key: nantes.key}\n"
#define BASE "site: nantes\nstore: store\n"
#define OFF BASE "tls: off\n" /* Three lines: what follows is on the 4th. */

static char folder[256];

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int folder_make(void **state)
{
	const char *tmp = getenv("TMPDIR");
	struct err err = ERR_INIT;

	(void)state;
	snprintf(folder, sizeof(folder), "%s/cheops-config-XXXXXX",
		 tmp ? tmp : "/tmp");
	if (!mkdtemp(folder))
		return -1;
	if (keys_init(folder, &err) < 0 ||
	    keys_site(folder, "nantes", &err) < 0) {
		print_error("%s\n", err.text);
		return -1;
	}
	return 0;
}

static int folder_remove(void **state)
{
	(void)state;
	return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *in_folder(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static int load(const char *text, struct config **ret_config,
		struct err *reterr)
{
	FILE *f = fopen(in_folder("c.yaml"), "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
	return config_load(in_folder("c.yaml"), ret_config, reterr);
}

static struct config *good(const char *text)
{
	struct config *cfg = NULL;
	struct err err = ERR_INIT;
	int r = load(text, &cfg, &err);

	if (r < 0)
		print_error("%s\n", err.text);
	assert_int_equal(r, 0);
	return cfg;
}

/* Refused, on that line, in those words. */
static void bad(const char *text, unsigned int line, const char *says)
{
	struct config *cfg = NULL;
	struct err err = ERR_INIT;
	char want[600];

	assert_true(load(text, &cfg, &err) < 0);
	assert_null(cfg);
	snprintf(want, sizeof(want), "%s:%u: ", in_folder("c.yaml"), line);
	if (strncmp(err.text, want, strlen(want)) != 0 ||
	    !strstr(err.text, says))
		fail_msg("'%s', want line %u and '%s'", err.text, line, says);
}

static void all_of_it(void **state)
{
	struct config *cfg =
		good(BASE TLS "listen: 192.0.2.1:7421\n"
			      "peers: {paris: 192.0.2.2:7421, lyon: "
			      "'[2001:db8::2]:7421'}\n"
			      "labels:\n  region: west\n  a/b.c-d_e: x y\n"
			      "heartbeat: 500ms\n"
			      "grace: 0s\n"
			      "drivers:\n"
			      "  default: none\n"
			      "  directory: {root: ./files/}\n");

	(void)state;
	assert_string_equal(cfg->path, in_folder("c.yaml"));
	assert_string_equal(cfg->site, "nantes");
	assert_string_equal(cfg->listen, "192.0.2.1:7421");
	assert_string_equal(cfg->store, in_folder("store"));
	assert_true(cfg->tls);
	assert_string_equal(cfg->ca, in_folder("ca.pem"));
	assert_string_equal(cfg->cert, in_folder("nantes.pem"));
	assert_string_equal(cfg->key, in_folder("nantes.key"));
	assert_true(cfg->cert_not_after > 0);
	assert_int_equal(cfg->n_peers, 2);
	assert_string_equal(cfg->peers[0].key, "paris");
	assert_string_equal(cfg->peers[1].value, "[2001:db8::2]:7421");
	assert_int_equal(cfg->n_labels, 2);
	assert_string_equal(cfg->labels[0].key, "region");
	assert_string_equal(cfg->labels[0].value, "west");
	assert_string_equal(cfg->labels[1].value, "x y");
	assert_int_equal(cfg->heartbeat_ms, 500);
	assert_int_equal(cfg->grace_ms, 0);
	assert_string_equal(cfg->driver_default, "none");
	assert_string_equal(cfg->directory_root, in_folder("files"));
	config_free(cfg);
	config_free(NULL);
}

static void the_least(void **state)
{
	struct config *cfg = good(OFF);

	(void)state;
	assert_false(cfg->tls);
	assert_null(cfg->listen);
	assert_null(cfg->ca);
	assert_int_equal(cfg->n_peers, 0);
	assert_int_equal(cfg->heartbeat_ms, 1000);
	assert_int_equal(cfg->grace_ms, 5000);
	assert_string_equal(cfg->driver_default, "none");
	assert_null(cfg->directory_root);
	config_free(cfg);

	cfg = good(OFF "drivers: {directory: {root: /srv/x}}\n");
	assert_string_equal(cfg->driver_default, "directory");
	config_free(cfg);
	cfg = good(OFF "listen: 127.0.0.1:1\npeers: {a: localhost:2, b: "
		       "'[::1]:3'}\n");
	assert_int_equal(cfg->n_peers, 2);
	config_free(cfg);
}

static void what_is_missing(void **state)
{
	(void)state;
	bad("", 1, "empty");
	bad("# nothing\n", 1, "empty");
	bad("- a\n", 1, "not a map");
	bad("store: s\ntls: off\n", 1, "site is missing");
	bad("site: nantes\ntls: off\n", 1, "store is missing");
	bad(BASE, 1,
	    "tls is missing; write tls: {ca: ca.pem, cert: "
	    "nantes.pem");
	bad(BASE "tls: {ca: ca.pem}\n", 3, "tls has no cert");
	bad(BASE "tls: {ca: ca.pem, cert: nantes.pem}\n", 3, "tls has no key");
	bad("site:\nstore: s\ntls: off\n", 1, "site has no value");
}

static void unknown_keys(void **state)
{
	(void)state;
	bad(OFF "heartbeet: 1s\n", 4, "did you mean 'heartbeat'?");
	bad(OFF "quux-and-more: 1s\n", 4, "known are site, listen, store");
	bad(BASE "tls: {cert: a, kee: b}\n", 3,
	    "'kee' in tls; did you mean 'key'?");
	bad(OFF "drivers:\n  directori: {root: x}\n", 5,
	    "in drivers; did you mean 'directory'?");
	bad(OFF "drivers:\n  directory:\n    rot: x\n", 6,
	    "in drivers.directory; did you mean 'root'?");
	bad(OFF "site: lyon\n", 4, "'site' stands here and on line 1");
	bad(OFF "peers:\n  a: a:1\n  a: b:1\n", 6, "'a' stands here");
	bad(OFF "? [a]\n: b\n", 4, "a key is a list");
}

static void syntax(void **state)
{
	(void)state;
	bad(OFF "peers: {a: b:1\n", 5, "not YAML");
	bad(OFF "\tx: y\n", 4, "not YAML: column 1");
	bad(OFF "---\nsite: lyon\n", 5, "a second document");
	bad("site: na\xff\n", 1, "not YAML in UTF-8");
	bad("site: \"a\\0b\"\n", 1, "not one line of UTF-8");
}

static void types(void **state)
{
	(void)state;
	bad("site: [nantes]\n", 1, "site is a list; write one value");
	bad(OFF "peers: paris\n", 4, "peers is no map; write it like {paris");
	bad(OFF "labels: []\n", 4, "labels is no map");
	bad(OFF "drivers: x\n", 4, "drivers is no map");
	bad(OFF "drivers: {directory: /srv}\n", 4, "drivers.directory is no");
	bad(OFF "drivers: {directory: {}}\n", 4, "has no root");
	bad(BASE "tls: on\n", 3, "tls is neither a map nor off");
}

static void values(void **state)
{
	(void)state;
	bad("site: Nantes\n", 1, "site 'Nantes': a site's name is a DNS label");
	bad("site: spec\n", 1, "name of a file");
	bad(OFF "listen: 127.0.0.1\n", 4, "has no port");
	bad(OFF "listen: 0.0.0.0:7421\n", 4, "no address that other sites");
	bad(OFF "listen: localhost:7421\n", 4, "as in 192.0.2.1:7421");
	bad(OFF "peers: {self: a:1}\n", 4, "peer 'self'");
	bad(OFF "peers:\n  lyon: a\n", 5, "peer lyon: 'a' has no port");
	bad(OFF "peers:\n  lyon: '[::]:1'\n", 5, "no address to dial");
	bad(OFF "peers:\n  a: 127.0.0.1:1\n  nantes: 127.0.0.1:2\n", 6,
	    "peers has this site itself");
	bad(OFF "labels: {a=b: c}\n", 4, "label 'a=b'");
	bad(OFF "labels: {'!a': c}\n", 4, "label '!a'");
	bad(OFF "labels: {a: b=c}\n", 4, "label a: a value");
	bad(OFF "labels: {a: \"b\\nc\"}\n", 4, "not one line");
	bad(OFF "heartbeat: 1\n", 4, "heartbeat: '1' has no unit");
	bad(OFF "heartbeat: 99ms\n", 4, "write 100ms to 1h");
	bad(OFF "heartbeat: 61m\n", 4, "write 100ms to 1h");
	bad(OFF "grace: 25h\n", 4, "write 0s to 24h");
	bad(OFF "grace: -1s\n", 4, "no duration");
}

static void drivers(void **state)
{
	(void)state;
	bad(OFF "drivers: {default: directory}\n", 4,
	    "drivers has no directory");
	bad(OFF "drivers: {default: nil}\n", 4, "no driver 'nil'");
	bad(OFF "drivers: {default: kubernetes}\n", 4,
	    "'kubernetes' is not built in this version");
	bad(OFF "drivers: {default: 'exec:a'}\n", 4, "'exec:a' is not built");
	bad(OFF "drivers:\n  kubernetes: {kubeconfig: k}\n", 5,
	    "'kubernetes' is not built");
	bad(OFF "drivers:\n  openstack: {cloud: k}\n", 5, "is not built");
	bad(OFF "drivers:\n  exec: {programs: k}\n", 5, "is not built");
	bad(OFF "drivers:\n  directory:\n    root: store\n", 6,
	    "lie in each other");
	bad(OFF "drivers:\n  directory:\n    root: store/files\n", 6,
	    "lie in each other");
	bad(OFF "drivers:\n  directory:\n    root: .\n", 6,
	    "lie in each other");
	config_free(good(OFF "drivers: {directory: {root: store2}}\n"));
}

static void tls_off_is_for_loopback(void **state)
{
	(void)state;
	bad(OFF "listen: 192.0.2.1:1\n", 4, "tls: off is for loopback alone");
	bad(OFF "peers:\n  a: 127.0.0.1:1\n  b: 192.0.2.1:1\n", 6,
	    "tls: off is for loopback alone");
	bad(OFF "peers: {b: paris.example:1}\n", 4, "loopback alone");
}

static void certificates(void **state)
{
	(void)state;
	bad(BASE "tls:\n  ca: no.pem\n  cert: nantes.pem\n  key: nantes.key\n",
	    4, "no.pem: No such file or directory; `cheops keys init` makes");
	bad(BASE "tls:\n  ca: ca.pem\n  cert: .\n  key: nantes.key\n", 5,
	    "Is a directory");
	bad(BASE "tls:\n  ca: ca.pem\n  cert: c.yaml\n  key: nantes.key\n", 5,
	    "tls.cert: ");
	bad("store: s\nsite: paris\n" TLS, 2,
	    "is that of 'nantes'; write site: nantes");
	bad("store: s\nsite: paris\n" TLS, 2,
	    "the certificate that line 3 names, ");

	assert_int_equal(chmod(in_folder("nantes.key"), 0640), 0);
	bad(BASE TLS, 3, "(mode 0640); chmod 600 it");
	assert_int_equal(chmod(in_folder("nantes.key"), 0400), 0);
	config_free(good(BASE TLS));
	assert_int_equal(unlink(in_folder("nantes.key")), 0);
	bad(BASE TLS, 3,
	    "nantes.key: No such file or directory; `cheops keys "
	    "site` makes");
}

static void the_file_itself(void **state)
{
	struct config *cfg = NULL;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(config_load(in_folder("none.yaml"), &cfg, &err),
			 -ENOENT);
	assert_non_null(strstr(err.text, "none.yaml: No such file"));
	assert_int_equal(config_load(folder, &cfg, &err), -EISDIR);
	assert_int_equal(config_load("/no/such/c.yaml", &cfg, &err), -ENOENT);
	assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
	assert_int_equal(config_load(in_folder("fifo"), &cfg, &err), -EINVAL);
	assert_int_equal(config_load("/dev/zero", &cfg, &err), -EINVAL);
	assert_null(cfg);
}

/* As in a mounted ConfigMap, whose files are links: paths are relative to the
 * folder of the link. */
static void a_link_is_not_resolved(void **state)
{
	struct config *cfg = NULL;
	char from[512], to[512];

	(void)state;
	config_free(good(OFF));
	snprintf(from, sizeof(from), "%s/c.yaml", folder);
	snprintf(to, sizeof(to), "%s/data/d.yaml", folder);
	assert_int_equal(mkdir(in_folder("data"), 0700), 0);
	assert_int_equal(rename(from, to), 0);
	assert_int_equal(symlink("data/d.yaml", from), 0);
	assert_int_equal(config_load(from, &cfg, NULL), 0);
	assert_string_equal(cfg->store, in_folder("store"));
	config_free(cfg);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_of_it),
		TEST(the_least),
		TEST(what_is_missing),
		TEST(unknown_keys),
		TEST(syntax),
		TEST(types),
		TEST(values),
		TEST(drivers),
		TEST(tls_off_is_for_loopback),
		TEST(certificates),
		TEST(the_file_itself),
		TEST(a_link_is_not_resolved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
