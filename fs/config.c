/*
 * config.c -- see config.h.
 *
 * The file is read into libyaml's document, whose nodes know their lines.
 * Then each map is walked with a table of the keys it may have; what a key
 * says is checked as it is read, and what several keys say together at the
 * end, by config_checks.c.
 */
#include "fs/config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "core/message.h"
#include "core/name.h"
#include "core/strbuf.h"
#include "fs/config_private.h"
#include "fs/parse.h"
#include "fs/path.h"

#define FILE_LEN_MAX (1024u * 1024u)
#define PEERS_MAX MSG_MEMBERS_MAX
#define LABELS_MAX 64
#define LABEL_KEY_MAX 63
#define LABEL_VALUE_MAX 253
#define HEARTBEAT_MS_MIN 100u
#define HEARTBEAT_MS_MAX 3600000u
#define GRACE_MS_MAX (24u * 3600000u)

struct key {
	const char *name;
	int (*read)(struct config_load *l, yaml_node_t *value);
};

static unsigned long line_of(const yaml_node_t *at)
{
	return at ? (unsigned long)at->start_mark.line + 1 : 1;
}

int config_fail(struct config_load *l, unsigned long line, int code,
		const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(l->err, code, "%s:%lu: %s", l->cfg->path, line, text);
}

static int no_memory(struct config_load *l)
{
	return err_set(l->err, -ENOMEM, "no memory");
}

/* The text of a scalar, borrowed. */
static int read_text(struct config_load *l, yaml_node_t *node, const char *what,
		     const char **ret_text)
{
	const char *text;

	if (node->type != YAML_SCALAR_NODE)
		return config_fail(l, line_of(node), -EINVAL,
				   "%s is a %s; write one value", what,
				   node->type == YAML_MAPPING_NODE ? "map"
								   : "list");
	text = (const char *)node->data.scalar.value;
	if (node->data.scalar.length == 0)
		return config_fail(l, line_of(node), -EINVAL,
				   "%s has no value; write one, or leave %s "
				   "out",
				   what, what);
	if (!name_is_text((struct ch_bytes){text, node->data.scalar.length}))
		return config_fail(l, line_of(node), -EINVAL,
				   "%s is not one line of UTF-8", what);
	*ret_text = text;
	return 0;
}

static int read_copy(struct config_load *l, yaml_node_t *node, const char *what,
		     char **ret_copy)
{
	const char *text = NULL;
	int r = read_text(l, node, what, &text);

	if (r < 0)
		return r;
	*ret_copy = strdup(text);
	return *ret_copy ? 0 : no_memory(l);
}

/* As read_copy(); a relative path is one of the config's folder. */
static int read_path(struct config_load *l, yaml_node_t *node, const char *what,
		     char **ret_path)
{
	const char *text = NULL;
	int r = read_text(l, node, what, &text);

	if (r < 0)
		return r;
	*ret_path = path_absolute(l->folder, text);
	return *ret_path ? 0 : no_memory(l);
}

/* How many letters have to be changed, added or left out. Short words only:
 * anything longer than 32 letters resembles nothing. */
static size_t distance(const char *a, const char *b)
{
	size_t row[33], n = strlen(b);

	if (strlen(a) >= sizeof(row) / sizeof(row[0]) ||
	    n >= sizeof(row) / sizeof(row[0]))
		return SIZE_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = row[j];
			row[j] = best;
		}
	}
	return row[n];
}

static int unknown_key(struct config_load *l, const yaml_node_t *at,
		       const char *what, const char *name,
		       const struct key *keys, size_t n)
{
	struct strbuf known = STRBUF_INIT;
	const char *near = NULL;
	size_t least = 4;
	int r;

	for (size_t i = 0; i < n; i++) {
		size_t d = distance(name, keys[i].name);

		if (d < least) {
			least = d;
			near = keys[i].name;
		}
		strbuf_addf(&known, "%s%s", i > 0 ? ", " : "", keys[i].name);
	}
	if (near)
		r = config_fail(l, line_of(at), -EINVAL,
				"unknown key '%s'%s%s; did you mean '%s'?",
				name, *what ? " in " : "", what, near);
	else
		r = config_fail(l, line_of(at), -EINVAL,
				"unknown key '%s'%s%s; known are %s", name,
				*what ? " in " : "", what, known.buf);
	strbuf_release(&known);
	return r;
}

static int check_map(struct config_load *l, const yaml_node_t *node,
		     const char *what, const char *like)
{
	if (node->type == YAML_MAPPING_NODE)
		return 0;
	return config_fail(l, line_of(node), -EINVAL,
			   "%s is no map; write it like %s", what, like);
}

/* The key of a pair, borrowed; refused when an earlier pair has it too. */
static int read_key(struct config_load *l, const yaml_node_t *map,
		    const yaml_node_pair_t *pair, const char **ret_name,
		    yaml_node_t **ret_node)
{
	yaml_node_t *node = yaml_document_get_node(&l->doc, pair->key);
	const char *name = NULL;
	int r = read_text(l, node, "a key", &name);

	if (r < 0)
		return r;
	for (const yaml_node_pair_t *p = map->data.mapping.pairs.start;
	     p < pair; p++) {
		const yaml_node_t *k = yaml_document_get_node(&l->doc, p->key);

		if (strcmp((const char *)k->data.scalar.value, name) == 0)
			return config_fail(l, line_of(node), -EINVAL,
					   "'%s' stands here and on line %lu; "
					   "write it once",
					   name, line_of(k));
	}
	*ret_name = name;
	*ret_node = node;
	return 0;
}

/* Walk a map whose keys are known. @what: its name, "" for the whole file. */
static int read_map(struct config_load *l, yaml_node_t *map, const char *what,
		    const struct key *keys, size_t n)
{
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start;
	     p < map->data.mapping.pairs.top; p++) {
		yaml_node_t *at = NULL;
		const char *name = NULL;
		size_t i;
		int r = read_key(l, map, p, &name, &at);

		if (r < 0)
			return r;
		for (i = 0; i < n; i++)
			if (strcmp(keys[i].name, name) == 0)
				break;
		if (i == n)
			return unknown_key(l, at, what, name, keys, n);
		r = keys[i].read(l, yaml_document_get_node(&l->doc, p->value));
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_site(struct config_load *l, yaml_node_t *node)
{
	struct err why = ERR_INIT;
	int r = read_copy(l, node, "site", &l->cfg->site);

	if (r < 0)
		return r;
	l->line_site = line_of(node);
	r = name_check_site(ch_str(l->cfg->site), &why);
	if (r < 0)
		return config_fail(l, l->line_site, r, "site '%s': %s",
				   l->cfg->site, why.text);
	return 0;
}

static int read_listen(struct config_load *l, yaml_node_t *node)
{
	struct parse_address a;
	struct err why = ERR_INIT;
	int r = read_copy(l, node, "listen", &l->cfg->listen);

	if (r < 0)
		return r;
	l->line_listen = line_of(node);
	r = parse_address(l->cfg->listen, &a, &why);
	if (r < 0)
		return config_fail(l, l->line_listen, r, "listen: %s",
				   why.text);
	if (!a.numeric || a.any)
		return config_fail(l, l->line_listen, -EINVAL,
				   "listen: '%s' is no address that other "
				   "sites can dial; write one of this "
				   "machine's, as in 192.0.2.1:%u",
				   a.host, (unsigned int)a.port);
	l->listen_loopback = a.loopback;
	return 0;
}

static int read_store(struct config_load *l, yaml_node_t *node)
{
	l->line_store = line_of(node);
	return read_path(l, node, "store", &l->cfg->store);
}

static int read_ca(struct config_load *l, yaml_node_t *node)
{
	l->line_ca = line_of(node);
	return read_path(l, node, "tls.ca", &l->cfg->ca);
}

static int read_cert(struct config_load *l, yaml_node_t *node)
{
	l->line_cert = line_of(node);
	return read_path(l, node, "tls.cert", &l->cfg->cert);
}

static int read_tls_key(struct config_load *l, yaml_node_t *node)
{
	l->line_key = line_of(node);
	return read_path(l, node, "tls.key", &l->cfg->key);
}

static const struct key tls_keys[] = {
	{"ca", read_ca},
	{"cert", read_cert},
	{"key", read_tls_key},
};

static int read_tls(struct config_load *l, yaml_node_t *node)
{
	static const char like[] = "{ca: ca.pem, cert: NAME.pem, key: "
				   "NAME.key}, or off";

	l->line_tls = line_of(node);
	if (node->type == YAML_SCALAR_NODE &&
	    strcmp((const char *)node->data.scalar.value, "off") == 0)
		return 0;
	if (node->type != YAML_MAPPING_NODE)
		return config_fail(l, l->line_tls, -EINVAL,
				   "tls is neither a map nor off; write it "
				   "like %s",
				   like);
	l->cfg->tls = true;
	return read_map(l, node, "tls", tls_keys,
			sizeof(tls_keys) / sizeof(tls_keys[0]));
}

/* Room for one pair more; NULL after a failure. */
static struct config_pair *add_pair(struct config_load *l,
				    struct config_pair **pairs, size_t *n,
				    const char *key, const char *value)
{
	struct config_pair *bigger, *last;

	bigger = realloc(*pairs, (*n + 1) * sizeof(**pairs));
	if (!bigger) {
		no_memory(l);
		return NULL;
	}
	*pairs = bigger;
	last = &bigger[*n];
	last->key = strdup(key);
	last->value = strdup(value);
	*n += 1; /* So that config_free() finds what there is of it. */
	if (!last->key || !last->value) {
		no_memory(l);
		return NULL;
	}
	return last;
}

static int read_peer(struct config_load *l, const char *name, yaml_node_t *at,
		     yaml_node_t *value)
{
	struct config *cfg = l->cfg;
	struct parse_address a;
	struct err why = ERR_INIT;
	const char *text = NULL;
	int r;

	r = name_check_site(ch_str(name), &why);
	if (r < 0)
		return config_fail(l, line_of(at), r, "peer '%s': %s", name,
				   why.text);
	if (cfg->n_peers == PEERS_MAX)
		return config_fail(l, line_of(at), -EINVAL,
				   "more than %d peers; name some to begin "
				   "with, the others are learned",
				   PEERS_MAX);
	r = read_text(l, value, "a peer's address", &text);
	if (r < 0)
		return r;
	r = parse_address(text, &a, &why);
	if (r == 0 && a.any)
		r = err_set(&why, -EINVAL,
			    "'%s' is no address to dial; write "
			    "the one where that site listens",
			    a.host);
	if (r < 0)
		return config_fail(l, line_of(value), r, "peer %s: %s", name,
				   why.text);
	if (!a.loopback && l->line_far_peer == 0)
		l->line_far_peer = line_of(value);
	l->line_peers[cfg->n_peers] = line_of(at);
	return add_pair(l, &cfg->peers, &cfg->n_peers, name, text) ? 0
								   : -ENOMEM;
}

static int read_peers(struct config_load *l, yaml_node_t *map)
{
	int r = check_map(l, map, "peers", "{paris: 192.0.2.2:7421}");

	if (r < 0)
		return r;
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start;
	     r == 0 && p < map->data.mapping.pairs.top; p++) {
		const char *name = NULL;
		yaml_node_t *at = NULL;

		r = read_key(l, map, p, &name, &at);
		if (r == 0)
			r = read_peer(
				l, name, at,
				yaml_document_get_node(&l->doc, p->value));
	}
	return r;
}

static bool is_label_key(const char *key)
{
	size_t len = strlen(key);

	if (len == 0 || len > LABEL_KEY_MAX)
		return false;
	for (const char *p = key; *p; p++) {
		bool alnum = (*p >= 'a' && *p <= 'z') ||
			     (*p >= 'A' && *p <= 'Z') ||
			     (*p >= '0' && *p <= '9');

		if (!alnum && (p == key || !strchr("._-/", *p)))
			return false;
	}
	return true;
}

static int read_label(struct config_load *l, const char *key, yaml_node_t *at,
		      yaml_node_t *value)
{
	struct config *cfg = l->cfg;
	const char *text = NULL;
	size_t len;
	int r;

	if (!is_label_key(key))
		return config_fail(l, line_of(at), -EINVAL,
				   "label '%s': a label's name is 1 to %d "
				   "letters, digits and . _ - /, and begins "
				   "with a letter or digit",
				   key, LABEL_KEY_MAX);
	if (cfg->n_labels == LABELS_MAX)
		return config_fail(l, line_of(at), -EINVAL,
				   "more than %d labels", LABELS_MAX);
	r = read_text(l, value, "a label's value", &text);
	if (r < 0)
		return r;
	len = strlen(text);
	if (len > LABEL_VALUE_MAX || strchr(text, '=') || text[0] == ' ' ||
	    text[len - 1] == ' ')
		return config_fail(l, line_of(value), -EINVAL,
				   "label %s: a value is 1 to %d bytes "
				   "without '=' and without blanks at its ends",
				   key, LABEL_VALUE_MAX);
	return add_pair(l, &cfg->labels, &cfg->n_labels, key, text) ? 0
								    : -ENOMEM;
}

static int read_labels(struct config_load *l, yaml_node_t *map)
{
	int r = check_map(l, map, "labels", "{region: west}");

	if (r < 0)
		return r;
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start;
	     r == 0 && p < map->data.mapping.pairs.top; p++) {
		const char *key = NULL;
		yaml_node_t *at = NULL;

		r = read_key(l, map, p, &key, &at);
		if (r == 0)
			r = read_label(
				l, key, at,
				yaml_document_get_node(&l->doc, p->value));
	}
	return r;
}

static int read_duration(struct config_load *l, yaml_node_t *node,
			 const char *what, uint32_t *ret_ms)
{
	struct err why = ERR_INIT;
	const char *text = NULL;
	int r = read_text(l, node, what, &text);

	if (r < 0)
		return r;
	r = parse_duration(text, ret_ms, &why);
	if (r < 0)
		return config_fail(l, line_of(node), -EINVAL, "%s: %s", what,
				   why.text);
	return 0;
}

static int read_heartbeat(struct config_load *l, yaml_node_t *node)
{
	uint32_t ms = 0;
	int r = read_duration(l, node, "heartbeat", &ms);

	if (r < 0)
		return r;
	if (ms < HEARTBEAT_MS_MIN || ms > HEARTBEAT_MS_MAX)
		return config_fail(l, line_of(node), -EINVAL,
				   "heartbeat is out of range; write 100ms to "
				   "1h");
	l->cfg->heartbeat_ms = ms;
	return 0;
}

static int read_grace(struct config_load *l, yaml_node_t *node)
{
	uint32_t ms = 0;
	int r = read_duration(l, node, "grace", &ms);

	if (r < 0)
		return r;
	if (ms > GRACE_MS_MAX)
		return config_fail(l, line_of(node), -EINVAL,
				   "grace is out of range; write 0s to 24h");
	l->cfg->grace_ms = ms;
	return 0;
}

static int read_root(struct config_load *l, yaml_node_t *node)
{
	l->line_root = line_of(node);
	return read_path(l, node, "drivers.directory.root",
			 &l->cfg->directory_root);
}

static const struct key directory_keys[] = {{"root", read_root}};

static int read_directory(struct config_load *l, yaml_node_t *node)
{
	int r = check_map(l, node, "drivers.directory", "{root: /srv/cheops}");

	if (r < 0)
		return r;
	r = read_map(l, node, "drivers.directory", directory_keys,
		     sizeof(directory_keys) / sizeof(directory_keys[0]));
	if (r == 0 && !l->cfg->directory_root)
		r = config_fail(l, line_of(node), -EINVAL,
				"drivers.directory has no root; write the "
				"folder that is to hold the files, as in "
				"{root: /srv/cheops}");
	return r;
}

static int not_built(struct config_load *l, unsigned long line,
		     const char *name)
{
	return config_fail(l, line, -EINVAL,
			   "the driver '%s' is not built in this version; the "
			   "driver that is is directory",
			   name);
}

static int read_kubernetes(struct config_load *l, yaml_node_t *node)
{
	return not_built(l, line_of(node), "kubernetes");
}

static int read_openstack(struct config_load *l, yaml_node_t *node)
{
	return not_built(l, line_of(node), "openstack");
}

static int read_exec(struct config_load *l, yaml_node_t *node)
{
	return not_built(l, line_of(node), "exec");
}

static int read_default(struct config_load *l, yaml_node_t *node)
{
	const char *name;
	int r = read_copy(l, node, "drivers.default", &l->cfg->driver_default);

	if (r < 0)
		return r;
	name = l->cfg->driver_default;
	l->line_default = line_of(node);
	if (strcmp(name, "kubernetes") == 0 || strcmp(name, "openstack") == 0 ||
	    strncmp(name, "exec:", strlen("exec:")) == 0)
		return not_built(l, l->line_default, name);
	if (strcmp(name, "directory") != 0 && strcmp(name, "none") != 0)
		return config_fail(l, l->line_default, -EINVAL,
				   "no driver '%s'; write directory or none",
				   name);
	return 0;
}

static const struct key driver_keys[] = {
	{"default", read_default},
	{"directory", read_directory},
	{"kubernetes", read_kubernetes},
	{"openstack", read_openstack},
	{"exec", read_exec},
};

static int read_drivers(struct config_load *l, yaml_node_t *node)
{
	int r = check_map(l, node, "drivers",
			  "{default: directory, directory: {root: "
			  "/srv/cheops}}");

	if (r < 0)
		return r;
	return read_map(l, node, "drivers", driver_keys,
			sizeof(driver_keys) / sizeof(driver_keys[0]));
}

static const struct key keys[] = {
	{"site", read_site},           {"listen", read_listen},
	{"store", read_store},         {"tls", read_tls},
	{"peers", read_peers},         {"labels", read_labels},
	{"heartbeat", read_heartbeat}, {"grace", read_grace},
	{"drivers", read_drivers},
};

static int read_root_node(struct config_load *l)
{
	yaml_node_t *root = yaml_document_get_root_node(&l->doc);

	if (!root)
		return config_fail(l, 1, -EINVAL,
				   "the file is empty; see cheops.yaml(5)");
	if (root->type != YAML_MAPPING_NODE)
		return config_fail(l, line_of(root), -EINVAL,
				   "not a map of keys and values; see "
				   "cheops.yaml(5)");
	return read_map(l, root, "", keys, sizeof(keys) / sizeof(keys[0]));
}

static int syntax(struct config_load *l, const yaml_parser_t *parser)
{
	if (parser->error == YAML_MEMORY_ERROR)
		return no_memory(l);
	if (parser->error == YAML_READER_ERROR)
		return config_fail(l, (unsigned long)parser->mark.line + 1,
				   -EINVAL, "not YAML in UTF-8: %s",
				   parser->problem);
	return config_fail(l, (unsigned long)parser->problem_mark.line + 1,
			   -EINVAL, "not YAML: column %lu: %s%s%s",
			   (unsigned long)parser->problem_mark.column + 1,
			   parser->problem, parser->context ? ", " : "",
			   parser->context ? parser->context : "");
}

/* A second document would be ignored, which nobody means. */
static int check_end(struct config_load *l, yaml_parser_t *parser)
{
	yaml_document_t more;
	yaml_node_t *root;
	int r = 0;

	if (!yaml_parser_load(parser, &more))
		return syntax(l, parser);
	root = yaml_document_get_root_node(&more);
	if (root)
		r = config_fail(l, line_of(root), -EINVAL,
				"a second document begins here; write one");
	yaml_document_delete(&more);
	return r;
}

static int read_bytes(struct config_load *l, struct ch_bytes in)
{
	yaml_parser_t parser;
	int r;

	if (!yaml_parser_initialize(&parser))
		return no_memory(l);
	yaml_parser_set_input_string(&parser, in.p, in.len);
	if (!yaml_parser_load(&parser, &l->doc)) {
		r = syntax(l, &parser);
		yaml_parser_delete(&parser);
		return r;
	}
	r = yaml_document_get_root_node(&l->doc) ? check_end(l, &parser) : 0;
	if (r == 0)
		r = read_root_node(l);
	yaml_document_delete(&l->doc);
	yaml_parser_delete(&parser);
	return r;
}

int config_read_file(const char *path, size_t len_max, struct strbuf *out)
{
	struct stat st;
	ssize_t got;
	int r = 0, fd;

	/* Nonblocking, so that a fifo does not hold us up: it is refused. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		r = -errno;
	} else if (S_ISDIR(st.st_mode)) {
		r = -EISDIR;
	} else if (!S_ISREG(st.st_mode)) {
		r = -EINVAL;
	}
	while (r == 0 && out->len <= len_max) {
		char part[4096];

		got = read(fd, part, sizeof(part));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			r = -errno;
		if (got <= 0)
			break;
		strbuf_add(out, part, (size_t)got);
	}
	close(fd);
	if (r == 0 && out->len > len_max)
		r = -EFBIG;
	return r < 0 ? r : strbuf_error(out);
}

static int load(struct config_load *l, const char *path)
{
	struct strbuf in = STRBUF_INIT;
	char *slash;
	int r;

	/* A link is not resolved: what it names lies beside it, also when it
	 * is made to lead elsewhere. */
	l->cfg->path = path_absolute(NULL, path);
	if (!l->cfg->path)
		return err_set(l->err, -errno, "%s: %s", path, strerror(errno));
	l->folder = strdup(l->cfg->path);
	if (!l->folder)
		return no_memory(l);
	slash = strrchr(l->folder, '/');
	slash[slash == l->folder] = '\0';

	r = config_read_file(l->cfg->path, FILE_LEN_MAX, &in);
	if (r < 0)
		err_set(l->err, r,
			"%s: %s; write the path of a config, see "
			"cheops.yaml(5)",
			l->cfg->path, strerror(-r));
	if (r == 0)
		r = read_bytes(l, strbuf_bytes(&in));
	if (r == 0)
		r = config_check_all(l);
	strbuf_release(&in);
	return r;
}

int config_load(const char *path, struct config **ret_config,
		struct err *reterr)
{
	struct config_load *l;
	struct config *cfg;
	int r = -ENOMEM;

	l = calloc(1, sizeof(*l));
	cfg = calloc(1, sizeof(*cfg));
	if (!l || !cfg) {
		err_set(reterr, -ENOMEM, "no memory");
		goto out;
	}
	cfg->heartbeat_ms = 1000;
	cfg->grace_ms = 5000;
	l->cfg = cfg;
	l->err = reterr;
	r = load(l, path);
	if (r < 0)
		goto out;
	*ret_config = cfg;
	cfg = NULL;
out:
	config_free(cfg);
	if (l)
		free(l->folder);
	free(l);
	return r;
}

static void free_pairs(struct config_pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(pairs[i].key);
		free(pairs[i].value);
	}
	free(pairs);
}

void config_free(struct config *cfg)
{
	if (!cfg)
		return;
	free(cfg->path);
	free(cfg->site);
	free(cfg->listen);
	free(cfg->store);
	free(cfg->ca);
	free(cfg->cert);
	free(cfg->key);
	free_pairs(cfg->peers, cfg->n_peers);
	free_pairs(cfg->labels, cfg->n_labels);
	free(cfg->driver_default);
	free(cfg->directory_root);
	free(cfg);
}
