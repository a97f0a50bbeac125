/* cmd.c -- see cmd.h. */
#include "fs/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "core/err.h"
#include "core/strbuf.h"
#include "drivers/net/keys.h"
#include "fs/config.h"
#include "fs/log.h"
#include "fs/options.h"

static int failed(const struct err *err)
{
	log_print(LOG_ERR, "%s", err->text);
	return 1;
}

static int wrong_usage(const char *want)
{
	log_print(LOG_ERR, "wrong usage; write %s", want);
	return 2;
}

/* What was printed is worth nothing unless it arrived. */
static int printed(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	log_print(LOG_ERR, "standard output: %s", strerror(errno));
	return 1;
}

static int keys_init_run(int argc, char *const argv[])
{
	struct err err = ERR_INIT;

	if (argc != 4)
		return wrong_usage("cheops keys init DIR");
	if (keys_init(argv[3], &err) < 0)
		return failed(&err);
	printf("%s/ca.pem: the authority; every site needs a copy\n"
	       "%s/ca.key: who has it can make sites; keep it off line\n",
	       argv[3], argv[3]);
	return printed();
}

static int keys_site_run(int argc, char *const argv[])
{
	struct err err = ERR_INIT;

	if (argc != 5)
		return wrong_usage("cheops keys site DIR NAME");
	if (keys_site(argv[3], argv[4], &err) < 0)
		return failed(&err);
	printf("%s/%s.pem: the certificate of site %s\n"
	       "%s/%s.key: its key; for that site's eyes only\n",
	       argv[3], argv[4], argv[4], argv[3], argv[4]);
	return printed();
}

static int keys_run(int argc, char *const argv[])
{
	if (argc > 2 && strcmp(argv[2], "init") == 0)
		return keys_init_run(argc, argv);
	if (argc > 2 && strcmp(argv[2], "site") == 0)
		return keys_site_run(argc, argv);
	return wrong_usage("cheops keys init DIR, or cheops keys site DIR "
			   "NAME");
}

/* The folder that a folder stands in must be there: nobody makes it later. */
static int check_parent(const char *what, const char *path, struct err *reterr)
{
	char *parent = strdup(path);
	struct stat st;
	int r = 0;

	if (!parent)
		return err_set(reterr, -ENOMEM, "no memory");
	*strrchr(parent, '/') = '\0';
	if (stat(*parent ? parent : "/", &st) < 0)
		r = err_set(reterr, -errno, "%s %s: its folder: %s; make it",
			    what, path, strerror(errno));
	free(parent);
	return r;
}

static int check_ends(const struct config *cfg, struct err *reterr)
{
	time_t end = (time_t)cfg->cert_not_after;
	struct tm tm;
	char text[32];

	if (!gmtime_r(&end, &tm))
		return err_set(reterr, -EINVAL, "%s: no sound date of its end",
			       cfg->cert);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (end < time(NULL))
		return err_set(reterr, -EINVAL,
			       "%s ended at %s; make one anew with `cheops "
			       "keys site`",
			       cfg->cert, text);
	printf("  certificate: until %s\n", text);
	return 0;
}

static int check_run(int argc, char *const argv[])
{
	struct config *cfg = NULL;
	struct err err = ERR_INIT;
	int r;

	if (argc != 3)
		return wrong_usage("cheops check CONFIG");
	if (config_load(argv[2], &cfg, &err) < 0)
		return failed(&err);
	r = check_parent("store", cfg->store, &err);
	if (r == 0 && cfg->directory_root)
		r = check_parent("drivers.directory.root", cfg->directory_root,
				 &err);
	if (r == 0) {
		printf("%s: good\n", cfg->path);
		printf("  site: %s, %s, %zu peer%s\n", cfg->site,
		       cfg->listen ? cfg->listen : "only dials out",
		       cfg->n_peers, cfg->n_peers == 1 ? "" : "s");
		printf("  default driver: %s\n", cfg->driver_default);
		if (cfg->tls)
			r = check_ends(cfg, &err);
	}
	config_free(cfg);
	if (r < 0) {
		fflush(stdout);
		return failed(&err);
	}
	return printed();
}

static int version_run(void)
{
	printf("cheops %s\n", CHEOPS_VERSION);
	return printed();
}

static int help_run(void)
{
	struct strbuf options = STRBUF_INIT;

	options_help(&options);
	printf("usage: cheops CONFIG MOUNTPOINT [-f] [-o OPTION,...]\n"
	       "       cheops check CONFIG\n"
	       "       cheops keys init DIR\n"
	       "       cheops keys site DIR NAME\n"
	       "       cheops --version | --help\n"
	       "\n"
	       "The first mounts the tree of the site that CONFIG describes "
	       "(cheops.yaml(5)) and\n"
	       "goes to the background once it answers. -f stays in the "
	       "foreground. End it with\n"
	       "umount, fusermount3 -u or SIGTERM.\n"
	       "\n"
	       "Options for -o:\n"
	       "%s"
	       "\n"
	       "See cheops(7) and mount.cheops(8).\n",
	       options.buf);
	strbuf_release(&options);
	return printed();
}

int cmd_run(int argc, char *const argv[])
{
	if (argc < 2)
		return -1;
	if (strcmp(argv[1], "keys") == 0)
		return keys_run(argc, argv);
	if (strcmp(argv[1], "check") == 0)
		return check_run(argc, argv);
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
		return version_run();
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return help_run();
	return -1;
}
