/*
 * directory_file.h -- one file of the directory driver: put, look, remove.
 *
 * All act on the name in an open folder, follow no symbolic link, and touch
 * nothing but regular files. Errors are below zero, with a sentence that
 * names the path.
 */
#ifndef CHEOPS_DRIVERS_PLATFORM_DIRECTORY_FILE_H
#define CHEOPS_DRIVERS_PLATFORM_DIRECTORY_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "core/err.h"
#include "core/id.h"

/* Temporary files: this and 8 hexadecimal digits. */
#define DIRECTORY_TMP ".cheops-"

struct directory_place {
	int fd;           /* The open folder. */
	const char *root; /* Its path, for sentences. */
	const char *name;
};

enum directory_kind {
	DIRECTORY_ABSENT,
	DIRECTORY_SAME,    /* A regular file of the bytes that were asked. */
	DIRECTORY_DIFFERS, /* A regular file of others. */
	DIRECTORY_OTHER,   /* No regular file. */
};

struct directory_look {
	enum directory_kind kind;
	struct stat st; /* Unless it is absent. */
	/* The bytes' hash, where they were read: not of files that are larger
	 * than any spec. */
	bool hashed;
	struct ch_hash hash;
};

/* What is there, compared with @want. 0 or the errno. */
int directory_look(const struct directory_place *at, const struct ch_hash *want,
		   struct directory_look *ret_look, struct err *reterr);

/* Make it a file of @bytes and @mode, whole or not at all, synced. With
 * @replace false, -EEXIST when something is there by then. */
int directory_put(const struct directory_place *at, struct ch_bytes bytes,
		  mode_t mode, bool replace, struct err *reterr);

/* Sync a file that is there already, with @mode. */
int directory_keep(const struct directory_place *at, mode_t mode,
		   struct err *reterr);

/* Remove it, synced. 1: it was not there; 0: it was. */
int directory_remove(const struct directory_place *at, struct err *reterr);

/* Remove the temporary files that a crash left behind. */
void directory_clean(int fd);

#endif
