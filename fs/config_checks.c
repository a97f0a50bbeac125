/* config_checks.c -- see config_private.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drivers/net/keys.h"
#include "fs/config_private.h"
#include "fs/path.h"

#define PEM_LEN_MAX (1024u * 1024u)

static int check_needed(struct config_load *l)
{
	const struct config *cfg = l->cfg;

	if (!cfg->site)
		return config_fail(l, 1, -EINVAL,
				   "site is missing; write this site's name, "
				   "as in site: nantes");
	if (!cfg->store)
		return config_fail(l, 1, -EINVAL,
				   "store is missing; write the folder where "
				   "this site keeps its state, as in store: "
				   "/var/lib/cheops");
	if (l->line_tls == 0)
		return config_fail(l, 1, -EINVAL,
				   "tls is missing; write tls: {ca: ca.pem, "
				   "cert: %s.pem, key: %s.key}, or tls: off "
				   "where all addresses are on loopback",
				   cfg->site, cfg->site);
	return 0;
}

static int check_peers(struct config_load *l)
{
	for (size_t i = 0; i < l->cfg->n_peers; i++)
		if (strcmp(l->cfg->peers[i].key, l->cfg->site) == 0)
			return config_fail(l, l->line_peers[i], -EINVAL,
					   "peers has this site itself, %s; "
					   "write the other sites only",
					   l->cfg->site);
	return 0;
}

static int check_tls_off(struct config_load *l)
{
	static const char want[] = "tls: off is for loopback alone; write "
				   "tls: {ca: ..., cert: ..., key: ...}, or "
				   "127.0.0.1";

	if (l->line_listen > 0 && !l->listen_loopback)
		return config_fail(l, l->line_listen, -EINVAL,
				   "listen: other machines reach %s, and %s",
				   l->cfg->listen, want);
	if (l->line_far_peer > 0)
		return config_fail(l, l->line_far_peer, -EINVAL,
				   "this peer is on another machine, and %s",
				   want);
	return 0;
}

static int unreadable(struct config_load *l, unsigned long line,
		      const char *what, const char *path, int r)
{
	bool ca = strcmp(what, "tls.ca") == 0;

	return config_fail(
		l, line, r, "%s: %s: %s; `cheops keys %s` makes it", what, path,
		r == -EFBIG ? "too big for a PEM file" : strerror(-r),
		ca ? "init" : "site");
}

static int check_readable(struct config_load *l, unsigned long line,
			  const char *what, const char *path)
{
	struct strbuf sb = STRBUF_INIT;
	int r = config_read_file(path, PEM_LEN_MAX, &sb);

	strbuf_release(&sb);
	return r < 0 ? unreadable(l, line, what, path, r) : 0;
}

static int check_key(struct config_load *l)
{
	struct stat st;
	int r = check_readable(l, l->line_key, "tls.key", l->cfg->key);

	if (r < 0)
		return r;
	if (stat(l->cfg->key, &st) < 0)
		return unreadable(l, l->line_key, "tls.key", l->cfg->key,
				  -errno);
	if (st.st_mode & 077)
		return config_fail(l, l->line_key, -EACCES,
				   "tls.key: others than its owner can use %s "
				   "(mode %04o); chmod 600 it",
				   l->cfg->key,
				   (unsigned int)(st.st_mode & 07777));
	return 0;
}

static int check_cert(struct config_load *l)
{
	struct net_identity id = {.name = ""};
	struct strbuf pem = STRBUF_INIT;
	struct err why = ERR_INIT;
	int r;

	r = config_read_file(l->cfg->cert, PEM_LEN_MAX, &pem);
	if (r < 0) {
		unreadable(l, l->line_cert, "tls.cert", l->cfg->cert, r);
		goto out;
	}
	r = keys_identity(strbuf_bytes(&pem), &id, &why);
	if (r < 0) {
		config_fail(l, l->line_cert, r, "tls.cert: %s: %s",
			    l->cfg->cert, why.text);
		goto out;
	}
	l->cfg->cert_not_after = id.not_after;
	if (strcmp(id.name, l->cfg->site) != 0)
		r = config_fail(l, l->line_site, -EINVAL,
				"site is '%s', but the certificate that line "
				"%lu names, %s, is that of '%s'; write site: "
				"%s, or make one with `cheops keys site DIR "
				"%s`",
				l->cfg->site, l->line_cert, l->cfg->cert,
				id.name, id.name, l->cfg->site);
out:
	strbuf_release(&pem);
	return r;
}

static int check_tls(struct config_load *l)
{
	const struct config *cfg = l->cfg;
	int r;

	if (!cfg->tls)
		return check_tls_off(l);
	if (!cfg->ca || !cfg->cert || !cfg->key)
		return config_fail(l, l->line_tls, -EINVAL,
				   "tls has no %s; write the file's path",
				   !cfg->ca     ? "ca"
				   : !cfg->cert ? "cert"
						: "key");
	r = check_readable(l, l->line_ca, "tls.ca", cfg->ca);
	if (r == 0)
		r = check_key(l);
	if (r == 0)
		r = check_cert(l);
	return r;
}

static int check_drivers(struct config_load *l)
{
	struct config *cfg = l->cfg;

	if (!cfg->driver_default) {
		cfg->driver_default =
			strdup(cfg->directory_root ? "directory" : "none");
		if (!cfg->driver_default)
			return err_set(l->err, -ENOMEM, "no memory");
	}
	if (strcmp(cfg->driver_default, "directory") == 0 &&
	    !cfg->directory_root)
		return config_fail(l, l->line_default, -EINVAL,
				   "drivers.default is directory, but drivers "
				   "has no directory; write directory: {root: "
				   "/srv/cheops} beside it, or default: none");
	return 0;
}

/* A resource must not be able to write into the store by its name. */
static int check_apart(struct config_load *l)
{
	char *store, *root;
	int r = 0;

	if (!l->cfg->directory_root)
		return 0;
	store = path_real(l->cfg->store);
	root = path_real(l->cfg->directory_root);
	if (!store || !root)
		r = err_set(l->err, -ENOMEM, "no memory");
	else if (path_is_within(store, root) || path_is_within(root, store))
		r = config_fail(l, l->line_root, -EINVAL,
				"drivers.directory.root %s and store %s lie "
				"in each other; write folders that are apart",
				l->cfg->directory_root, l->cfg->store);
	free(store);
	free(root);
	return r;
}

int config_check_all(struct config_load *l)
{
	int r = check_needed(l);

	if (r == 0)
		r = check_peers(l);
	if (r == 0)
		r = check_drivers(l);
	if (r == 0)
		r = check_apart(l);
	if (r == 0)
		r = check_tls(l);
	return r;
}
