/*
 * maker.h -- the processes that made directories.
 *
 * What cp -r, tar and rsync write into the read-only files of a directory they
 * made themselves is dropped with success; and a new resource is put in force
 * when its maker has finished. A maker is known for as long as its process
 * lives; its children act for it (rsync's receiver writes what its generator
 * made). Called with the mount's lock held.
 */
#ifndef CHEOPS_FS_MAKER_H
#define CHEOPS_FS_MAKER_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/flush.h"

#define MAKERS_MAX 64

struct maker {
	struct proc proc;
	int fd;            /* A pidfd: readable once the process has ended. */
	char *name, *site; /* The directory: a resource, or a site of one. */
};

struct makers {
	struct maker v[MAKERS_MAX];
	size_t n;
};

/* From now on. The oldest is forgotten when there are too many. False: without
 * memory, or because it has ended already, nobody is its maker. */
bool makers_add(struct makers *m, const struct proc *p, const char *name,
		const char *site);
/* Has @p made that directory, or the resource it is in? */
bool makers_has(const struct makers *m, const struct proc *p, const char *name,
		const char *site);
/* Has @p made that very directory? */
bool makers_find(const struct makers *m, const struct proc *p, const char *name,
		 const char *site);
/* Has anybody made it: whether the above need be asked at all. */
bool makers_any(const struct makers *m, const char *name);

/* The process behind @fd has ended: forget it. The resource that it made is
 * in @ret_name (free()), or NULL when it made a site. */
void makers_ended(struct makers *m, int fd, char **ret_name);
void makers_release(struct makers *m);

#endif
