/*
 * main.c -- in which order the agent starts and ends.
 *
 * Options, config and the mount point are looked at while whoever called can
 * still be told. Then the fork, and only after it the store (RocksDB survives
 * no fork), the threads, the mount. What ends, ends the other way round.
 */
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>

#include "core/err.h"
#include "fs/agent.h"
#include "fs/cmd.h"
#include "fs/config.h"
#include "fs/daemon.h"
#include "fs/log.h"
#include "fs/mount.h"
#include "fs/mountpoint.h"
#include "fs/options.h"

enum { STATUS_FAILED = 1, STATUS_USAGE = 2, STATUS_MOUNT = 32 };

struct service {
	struct daemon daemon;
	const char *mountpoint;
};

static void ready(void *arg)
{
	struct service *s = arg;

	daemon_ready(&s->daemon, s->mountpoint);
}

/* All that can be known to be wrong before the fork. */
static int prepare(const struct options *opts, struct config **ret_config,
		   struct err *reterr)
{
	struct config *cfg = NULL;
	int r;

	r = config_load(opts->config, &cfg, reterr);
	if (r < 0)
		return r;
	r = mountpoint_prepare(opts->mountpoint, reterr);
	if (r == 0)
		r = mountpoint_check_apart(opts->mountpoint, cfg, reterr);
	if (r < 0) {
		config_free(cfg);
		return r;
	}
	*ret_config = cfg;
	return 0;
}

/* Be the agent until the end. */
static int serve(const struct options *opts, const struct config *cfg,
		 struct err *reterr)
{
	struct service s = {.mountpoint = opts->mountpoint};
	struct agent *agent = NULL;
	int r;

	r = daemon_start(!opts->foreground, &s.daemon, reterr);
	if (r < 0)
		return r;
	/* A heap for each thread would cost more than it gains, and large
	 * bodies go back to the system when they are done with. */
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	mallopt(M_TRIM_THRESHOLD, 1 << 20);
	r = agent_open(cfg, opts->mountpoint, &agent, reterr);
	if (r < 0)
		return r;
	r = mount_run(agent, opts, ready, &s, reterr);
	daemon_stopping(&s.daemon);
	agent_close(agent);
	return r;
}

int main(int argc, char *argv[])
{
	bool helper = options_is_helper(argc > 0 ? argv[0] : NULL);
	struct options *opts = NULL;
	struct config *cfg = NULL;
	struct err err = ERR_INIT;
	int r;

	log_open(LOG_INFO);
	r = helper ? -1 : cmd_run(argc, argv);
	if (r >= 0)
		return r;

	r = options_new(argc, argv, &opts, &err);
	if (r < 0) {
		log_print(LOG_ERR, "%s", err.text);
		return helper         ? STATUS_MOUNT
		       : r == -EINVAL ? STATUS_USAGE
				      : STATUS_FAILED;
	}
	daemon_close_inherited(!opts->foreground);
	r = prepare(opts, &cfg, &err);
	if (r == 0 && !opts->fake)
		r = serve(opts, cfg, &err);
	if (r < 0)
		log_print(LOG_ERR, "%s", err.text);
	config_free(cfg);
	options_free(opts);
	return r == 0 ? 0 : helper ? STATUS_MOUNT : STATUS_FAILED;
}
