/*
 * owner.h -- names of users and groups, and their numbers here.
 *
 * Owners travel as names. What a name is here is asked of the system once a
 * minute. A number that has no name travels as its digits. Thread safe.
 */
#ifndef CHEOPS_FS_OWNER_H
#define CHEOPS_FS_OWNER_H

#include <stddef.h>
#include <sys/types.h>

/* @name here, or @other when it is "" or unknown. */
uid_t owner_uid(const char *name, uid_t other);
gid_t owner_gid(const char *name, gid_t other);

/* The name of a number, into @buf of @len bytes. */
void owner_user(uid_t uid, char *buf, size_t len);
void owner_group(gid_t gid, char *buf, size_t len);

#endif
