/*
 * options.h -- the command line and the mount options.
 */
#ifndef CHEOPS_FS_OPTIONS_H
#define CHEOPS_FS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/err.h"
#include "core/strbuf.h"

struct options {
	char *config, *mountpoint; /* Absolute. */
	bool foreground;           /* -f */
	bool helper;               /* Called as mount.cheops: status 32. */
	bool fake;                 /* mount -f: do all but the mount. */
	/* -o */
	bool allow_other, default_permissions, read_only;
	bool set_uid, set_gid, set_umask;
	uid_t uid;
	gid_t gid;
	mode_t umask;
	uint32_t spec_max;        /* Bytes; CH_SPEC_MAX. */
	uint32_t sync_timeout_ms; /* 60 s */
	double attr_timeout, entry_timeout; /* Seconds; 3600. */
	/* What goes to libfuse, comma separated: fsname, subtype, nosuid,
	 * nodev, noexec, and of the above allow_other, default_permissions,
	 * ro. The rest is for fs/ itself. */
	struct strbuf fuse;
};

/* Was the program called as a helper of mount(8), by the name @argv0? Then
 * its failures end with status 32. */
bool options_is_helper(const char *argv0);

/*
 * Read the command line, with argv[0]. Symbolic links in the folder of the
 * mount point are resolved; the mount point itself is not looked at. 0;
 * -EINVAL: wrong usage, and the sentence says what and what is known;
 * -EOPNOTSUPP: remount; -ENOENT ...: that folder; -ENOMEM. Free with
 * options_free(), which takes NULL.
 */
int options_new(int argc, char *const argv[], struct options **ret_options,
		struct err *reterr);
void options_free(struct options *opts);

/* Append a line for each mount option: name and meaning. */
void options_help(struct strbuf *out);

#endif
