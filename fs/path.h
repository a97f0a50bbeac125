/*
 * path.h -- paths before they are used: absolute, and apart from each other.
 *
 * Nothing here asks the last component of a path anything: it may be a dead
 * mount, or one of ours.
 */
#ifndef CHEOPS_FS_PATH_H
#define CHEOPS_FS_PATH_H

#include <stdbool.h>

#include "core/err.h"

/* @path, which need not exist, seen from the folder @base (NULL: the working
 * directory): absolute, without `.` and empty components. Free with free();
 * NULL with errno set. */
char *path_absolute(const char *base, const char *path);

/* The same, all symbolic links resolved. All but the last component must
 * exist; that one may be a dead mount. Free with free(); NULL with errno set.
 */
char *path_in_real_folder(const char *path);

/* @path with the links of as much of it resolved as exists. Free with free();
 * NULL with errno set. */
char *path_real(const char *path);

/* Is @path @folder or below it. Both absolute and without `.` */
bool path_is_within(const char *path, const char *folder);

#endif
