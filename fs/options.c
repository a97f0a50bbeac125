/*
 * options.c -- see options.h.
 *
 * One table holds every mount option: the parser, the list of what is known
 * and --help are made from it.
 */
#include "fs/options.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cheops.h"
#include "fs/parse.h"
#include "fs/path.h"

#define SPEC_MAX_MIN 1024u
#define TIMEOUT_S_DEFAULT 3600.0
#define SYNC_TIMEOUT_MS_DEFAULT 60000u

struct option {
	const char *name;
	/* NULL: known, and of no effect here. */
	int (*read)(struct options *opts, const char *value,
		    struct err *reterr);
	const char *value; /* How --help names the value; NULL: takes none. */
	const char *help;  /* NULL: not worth a line. */
};

static int read_allow_other(struct options *opts, const char *value,
			    struct err *reterr)
{
	(void)value;
	(void)reterr;
	opts->allow_other = true;
	/* Without it each file would be open to whoever reaches the mount. */
	opts->default_permissions = true;
	return 0;
}

static int read_default_permissions(struct options *opts, const char *value,
				    struct err *reterr)
{
	(void)value;
	(void)reterr;
	opts->default_permissions = true;
	return 0;
}

static int read_ro(struct options *opts, const char *value, struct err *reterr)
{
	(void)value;
	(void)reterr;
	opts->read_only = true;
	return 0;
}

static int read_rw(struct options *opts, const char *value, struct err *reterr)
{
	(void)value;
	(void)reterr;
	opts->read_only = false;
	return 0;
}

static int read_uid(struct options *opts, const char *value, struct err *reterr)
{
	uint64_t n = 0;
	int r = parse_number(value, 10, UINT32_MAX - 1, &n, reterr);

	if (r < 0)
		return r;
	opts->uid = (uid_t)n;
	opts->set_uid = true;
	return 0;
}

static int read_gid(struct options *opts, const char *value, struct err *reterr)
{
	uint64_t n = 0;
	int r = parse_number(value, 10, UINT32_MAX - 1, &n, reterr);

	if (r < 0)
		return r;
	opts->gid = (gid_t)n;
	opts->set_gid = true;
	return 0;
}

static int read_umask(struct options *opts, const char *value,
		      struct err *reterr)
{
	uint64_t n = 0;
	int r = parse_number(value, 8, 0777, &n, reterr);

	if (r < 0)
		return r;
	opts->umask = (mode_t)n;
	opts->set_umask = true;
	return 0;
}

static int read_spec_max(struct options *opts, const char *value,
			 struct err *reterr)
{
	uint64_t n = 0;
	int r = parse_size(value, &n, reterr);

	if (r < 0)
		return r;
	if (n < SPEC_MAX_MIN || n > CH_SPEC_MAX)
		return err_set(reterr, -ERANGE,
			       "'%s' is out of range; write 1K to %uM", value,
			       CH_SPEC_MAX >> 20);
	opts->spec_max = (uint32_t)n;
	return 0;
}

static int read_sync_timeout(struct options *opts, const char *value,
			     struct err *reterr)
{
	return parse_duration(value, &opts->sync_timeout_ms, reterr);
}

static int read_attr_timeout(struct options *opts, const char *value,
			     struct err *reterr)
{
	return parse_seconds(value, &opts->attr_timeout, reterr);
}

static int read_entry_timeout(struct options *opts, const char *value,
			      struct err *reterr)
{
	return parse_seconds(value, &opts->entry_timeout, reterr);
}

static const struct option table[] = {
	{"allow_other", read_allow_other, NULL,
	 "all users may use the tree, as its modes allow"},
	{"default_permissions", read_default_permissions, NULL,
	 "the kernel checks modes; allow_other brings it along"},
	{"uid", read_uid, "N", "owner of all files"},
	{"gid", read_gid, "N", "group of all files"},
	{"umask", read_umask, "OCTAL", "permission bits that no file has"},
	{"spec_max", read_spec_max, "SIZE", "largest spec, 1K to 8M; 8M"},
	{"sync_timeout", read_sync_timeout, "DURATION",
	 "how long sync of .wait waits; 60s"},
	{"attr_timeout", read_attr_timeout, "SECONDS",
	 "how long the kernel keeps attributes; 3600"},
	{"entry_timeout", read_entry_timeout, "SECONDS",
	 "how long the kernel keeps names; 3600"},
	{"ro", read_ro, NULL, "no one may write"},
	{"rw", read_rw, NULL, "the default"},
	/* Always so. */
	{"nosuid", NULL, NULL, NULL},
	{"nodev", NULL, NULL, NULL},
	{"noexec", NULL, NULL, NULL},
	/* What mount(8) and mount.fuse(8) add on their own, or what says
	 * nothing of a tree in which times are those of versions. */
	{"suid", NULL, NULL, NULL},
	{"dev", NULL, NULL, NULL},
	{"exec", NULL, NULL, NULL},
	{"async", NULL, NULL, NULL},
	{"atime", NULL, NULL, NULL},
	{"noatime", NULL, NULL, NULL},
	{"diratime", NULL, NULL, NULL},
	{"nodiratime", NULL, NULL, NULL},
	{"relatime", NULL, NULL, NULL},
	{"norelatime", NULL, NULL, NULL},
	/* For those who read fstab, not for us. */
	{"_netdev", NULL, NULL, NULL},
	{"nofail", NULL, NULL, NULL},
	{"auto", NULL, NULL, NULL},
	{"noauto", NULL, NULL, NULL},
	{"user", NULL, NULL, NULL},
	{"nouser", NULL, NULL, NULL},
	{"users", NULL, NULL, NULL},
	{"owner", NULL, NULL, NULL},
	{"group", NULL, NULL, NULL},
	{"defaults", NULL, NULL, NULL},
};

#define TABLE_N (sizeof(table) / sizeof(table[0]))

void options_help(struct strbuf *out)
{
	for (size_t i = 0; i < TABLE_N; i++) {
		const struct option *o = &table[i];
		char name[64] = "";

		if (!o->help)
			continue;
		snprintf(name, sizeof(name), "%s%s%s", o->name,
			 o->value ? "=" : "", o->value ? o->value : "");
		strbuf_addf(out, "  %-22s %s\n", name, o->help);
	}
}

static int unknown(const char *name, struct err *reterr)
{
	struct strbuf known = STRBUF_INIT;
	int r;

	for (size_t i = 0; i < TABLE_N; i++) {
		if (!table[i].help)
			continue;
		strbuf_addf(&known, "%s%s%s", known.len > 0 ? ", " : "",
			    table[i].name, table[i].value ? "=" : "");
	}
	r = err_set(reterr, -EINVAL, "no mount option '%s'; there are %s", name,
		    known.buf);
	strbuf_release(&known);
	return r;
}

/* One option, NAME or NAME=VALUE; @text is cut into its parts. */
static int read_option(struct options *opts, char *text, bool sloppy,
		       struct err *reterr)
{
	char *value = strchr(text, '=');
	int r;

	if (value)
		*value++ = '\0';
	if (strcmp(text, "remount") == 0)
		return err_set(reterr, -EOPNOTSUPP,
			       "a mount cannot be changed while it stands; "
			       "unmount it and mount it with the new options");
	if (strncmp(text, "x-", 2) == 0 || strncmp(text, "X-", 2) == 0 ||
	    strcmp(text, "comment") == 0)
		return 0;
	for (size_t i = 0; i < TABLE_N; i++) {
		const struct option *o = &table[i];

		if (strcmp(text, o->name) != 0)
			continue;
		if (o->value && (!value || !*value))
			return err_set(reterr, -EINVAL,
				       "mount option %s needs a value; write "
				       "%s=%s",
				       text, text, o->value);
		if (!o->value && value && o->read)
			return err_set(reterr, -EINVAL,
				       "mount option %s takes no value", text);
		if (!o->read)
			return 0;
		r = o->read(opts, value, reterr);
		if (r < 0)
			return err_wrap(reterr, -EINVAL, "mount option %s",
					text);
		return 0;
	}
	return sloppy ? 0 : unknown(text, reterr);
}

static int read_list(struct options *opts, const char *list, bool sloppy,
		     struct err *reterr)
{
	char *copy = strdup(list), *rest = copy, *one;
	int r = 0;

	if (!copy)
		return err_set(reterr, -ENOMEM, "no memory");
	while (r == 0 && (one = strsep(&rest, ",")))
		if (*one)
			r = read_option(opts, one, sloppy, reterr);
	free(copy);
	return r;
}

bool options_is_helper(const char *argv0)
{
	const char *slash, *name;

	if (!argv0)
		return false;
	slash = strrchr(argv0, '/');
	name = slash ? slash + 1 : argv0;
	return strcmp(name, "mount.cheops") == 0 ||
	       strcmp(name, "mount.fuse.cheops") == 0;
}

/* Words as they stand on the command line; all borrowed from it. */
struct words {
	const char *at[2];
	size_t n;
	const char *lists[64]; /* What followed each -o. */
	size_t n_lists;
	bool sloppy;
};

#define USAGE "write cheops CONFIG MOUNTPOINT [-f] [-o OPTION,...]"

/* A word like -f or -fo; what -o and -t need may be glued to it or follow.
 * Returns how many further words were taken. */
static int read_flags(struct options *opts, struct words *w, const char *word,
		      const char *next, struct err *reterr)
{
	for (const char *p = word + 1; *p; p++) {
		const char *value = p[1] ? p + 1 : next;

		switch (*p) {
		case 'f':
			if (opts->helper)
				opts->fake = true;
			else
				opts->foreground = true;
			continue;
		case 'o':
			if (!value)
				return err_set(
					reterr, -EINVAL,
					"-o needs options behind it; " USAGE);
			if (w->n_lists ==
			    sizeof(w->lists) / sizeof(w->lists[0]))
				return err_set(reterr, -EINVAL,
					       "too many -o; separate options "
					       "with commas");
			w->lists[w->n_lists++] = value;
			return p[1] ? 0 : 1;
		case 's':
			if (!opts->helper)
				break;
			w->sloppy = true;
			continue;
		case 'n':
		case 'v':
			if (!opts->helper)
				break;
			continue;
		case 't':
			if (!opts->helper)
				break;
			return p[1] || !next ? 0 : 1;
		default:
			break;
		}
		return err_set(reterr, -EINVAL, "no flag -%c; " USAGE, *p);
	}
	return 0;
}

static int read_words(struct options *opts, struct words *w, int argc,
		      char *const argv[], struct err *reterr)
{
	bool flags = true;

	for (int i = 1; i < argc; i++) {
		int r;

		if (flags && strcmp(argv[i], "--") == 0) {
			flags = false;
		} else if (flags && strncmp(argv[i], "--", 2) == 0) {
			return err_set(reterr, -EINVAL, "no flag %s; " USAGE,
				       argv[i]);
		} else if (flags && argv[i][0] == '-' && argv[i][1]) {
			r = read_flags(opts, w, argv[i],
				       i + 1 < argc ? argv[i + 1] : NULL,
				       reterr);
			if (r < 0)
				return r;
			i += r;
		} else if (w->n == 2) {
			return err_set(reterr, -EINVAL,
				       "'%s' is one word too many; " USAGE,
				       argv[i]);
		} else {
			w->at[w->n++] = argv[i];
		}
	}
	if (w->n < 2)
		return err_set(reterr, -EINVAL, "%s is missing; " USAGE,
			       w->n == 0 ? "CONFIG" : "MOUNTPOINT");
	for (size_t i = 0; i < w->n; i++)
		if (!*w->at[i])
			return err_set(reterr, -EINVAL,
				       "%s is an empty word; " USAGE,
				       i == 0 ? "CONFIG" : "MOUNTPOINT");
	return 0;
}

/* In libfuse's list a comma or a backslash of a value has one before it. */
static void add_escaped(struct strbuf *sb, const char *s)
{
	for (; *s; s++) {
		if (*s == ',' || *s == '\\')
			strbuf_add_char(sb, '\\');
		strbuf_add_char(sb, *s);
	}
}

static int resolve(struct options *opts, const struct words *w,
		   struct err *reterr)
{
	opts->config = path_absolute(NULL, w->at[0]);
	if (!opts->config)
		return err_set(reterr, -errno, "%s: %s", w->at[0],
			       strerror(errno));
	opts->mountpoint = path_in_real_folder(w->at[1]);
	if (!opts->mountpoint)
		return err_set(reterr, -errno,
			       "%s: its folder cannot be reached: %s; make it, "
			       "or write another mount point",
			       w->at[1], strerror(errno));
	return 0;
}

int options_new(int argc, char *const argv[], struct options **ret_options,
		struct err *reterr)
{
	struct words w = {.n = 0};
	struct options *opts;
	int r;

	opts = calloc(1, sizeof(*opts));
	if (!opts)
		return err_set(reterr, -ENOMEM, "no memory");
	strbuf_init(&opts->fuse);
	opts->helper = options_is_helper(argc > 0 ? argv[0] : NULL);
	opts->spec_max = CH_SPEC_MAX;
	opts->sync_timeout_ms = SYNC_TIMEOUT_MS_DEFAULT;
	opts->attr_timeout = TIMEOUT_S_DEFAULT;
	opts->entry_timeout = TIMEOUT_S_DEFAULT;

	r = read_words(opts, &w, argc, argv, reterr);
	for (size_t i = 0; r == 0 && i < w.n_lists; i++)
		r = read_list(opts, w.lists[i], w.sloppy, reterr);
	if (r == 0)
		r = resolve(opts, &w, reterr);
	if (r < 0)
		goto fail;

	strbuf_add_str(&opts->fuse, "fsname=");
	add_escaped(&opts->fuse, opts->config);
	strbuf_add_str(&opts->fuse, ",subtype=cheops,nosuid,nodev,noexec");
	if (opts->allow_other)
		strbuf_add_str(&opts->fuse, ",allow_other");
	if (opts->default_permissions)
		strbuf_add_str(&opts->fuse, ",default_permissions");
	if (opts->read_only)
		strbuf_add_str(&opts->fuse, ",ro");
	r = strbuf_error(&opts->fuse);
	if (r < 0) {
		err_set(reterr, r, "no memory");
		goto fail;
	}
	*ret_options = opts;
	return 0;

fail:
	options_free(opts);
	return r;
}

void options_free(struct options *opts)
{
	if (!opts)
		return;
	free(opts->config);
	free(opts->mountpoint);
	strbuf_release(&opts->fuse);
	free(opts);
}
