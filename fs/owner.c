/* owner.c -- see owner.h. */
#include "fs/owner.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CACHE_N 32
#define CACHE_S 60

struct entry {
	char name[64];
	uint32_t number;
	bool known;   /* Else: the name is known to be unknown. */
	time_t until; /* Monotonic seconds; 0: empty. */
};

struct cache {
	struct entry v[CACHE_N];
	size_t next;
};

static struct {
	pthread_mutex_t lock;
	struct cache uid_of, gid_of;    /* By name. */
	struct cache user_of, group_of; /* By number. */
} owners = {.lock = PTHREAD_MUTEX_INITIALIZER};

static time_t now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + 1;
}

static void cache_put(struct cache *c, const char *name, uint32_t number,
		      bool known)
{
	struct entry *e = &c->v[c->next++ % CACHE_N];

	snprintf(e->name, sizeof(e->name), "%s", name);
	e->number = number;
	e->known = known;
	e->until = now_s() + CACHE_S;
}

static bool digits(const char *name, uint32_t *ret_number)
{
	unsigned long n;
	char *end;

	if (name[0] < '0' || name[0] > '9')
		return false;
	errno = 0;
	n = strtoul(name, &end, 10);
	if (*end || errno || n >= UINT32_MAX)
		return false;
	*ret_number = (uint32_t)n;
	return true;
}

static bool ask_uid(const char *name, uint32_t *ret_number)
{
	struct passwd pw, *found = NULL;
	char buf[4096];

	if (getpwnam_r(name, &pw, buf, sizeof(buf), &found) != 0 || !found)
		return digits(name, ret_number);
	*ret_number = found->pw_uid;
	return true;
}

static bool ask_gid(const char *name, uint32_t *ret_number)
{
	struct group gr, *found = NULL;
	char buf[16384];

	if (getgrnam_r(name, &gr, buf, sizeof(buf), &found) != 0 || !found)
		return digits(name, ret_number);
	*ret_number = found->gr_gid;
	return true;
}

static uint32_t number_of(struct cache *c, const char *name, uint32_t other,
			  bool (*ask)(const char *name, uint32_t *ret_number))
{
	uint32_t number = 0;
	time_t now = now_s();
	bool known;

	if (!name[0])
		return other;
	pthread_mutex_lock(&owners.lock);
	for (size_t i = 0; i < CACHE_N; i++) {
		struct entry *e = &c->v[i];

		if (e->until >= now && strcmp(e->name, name) == 0) {
			number = e->known ? e->number : other;
			pthread_mutex_unlock(&owners.lock);
			return number;
		}
	}
	pthread_mutex_unlock(&owners.lock);
	known = ask(name, &number);
	pthread_mutex_lock(&owners.lock);
	cache_put(c, name, number, known);
	pthread_mutex_unlock(&owners.lock);
	return known ? number : other;
}

uid_t owner_uid(const char *name, uid_t other)
{
	return number_of(&owners.uid_of, name, other, ask_uid);
}

gid_t owner_gid(const char *name, gid_t other)
{
	return number_of(&owners.gid_of, name, other, ask_gid);
}

static void ask_user(uint32_t number, char *name, size_t len)
{
	struct passwd pw, *found = NULL;
	char buf[4096];

	if (getpwuid_r(number, &pw, buf, sizeof(buf), &found) == 0 && found &&
	    strlen(found->pw_name) < len)
		snprintf(name, len, "%s", found->pw_name);
	else
		snprintf(name, len, "%u", number);
}

static void ask_group(uint32_t number, char *name, size_t len)
{
	struct group gr, *found = NULL;
	char buf[16384];

	if (getgrgid_r(number, &gr, buf, sizeof(buf), &found) == 0 && found &&
	    strlen(found->gr_name) < len)
		snprintf(name, len, "%s", found->gr_name);
	else
		snprintf(name, len, "%u", number);
}

static void name_of(struct cache *c, uint32_t number, char *buf, size_t len,
		    void (*ask)(uint32_t number, char *name, size_t len))
{
	char name[sizeof(c->v[0].name)];
	time_t now = now_s();

	pthread_mutex_lock(&owners.lock);
	for (size_t i = 0; i < CACHE_N; i++) {
		struct entry *e = &c->v[i];

		if (e->until >= now && e->number == number) {
			snprintf(buf, len, "%s", e->name);
			pthread_mutex_unlock(&owners.lock);
			return;
		}
	}
	pthread_mutex_unlock(&owners.lock);
	ask(number, name, sizeof(name));
	pthread_mutex_lock(&owners.lock);
	cache_put(c, name, number, true);
	pthread_mutex_unlock(&owners.lock);
	snprintf(buf, len, "%s", name);
}

void owner_user(uid_t uid, char *buf, size_t len)
{
	name_of(&owners.user_of, uid, buf, len, ask_user);
}

void owner_group(gid_t gid, char *buf, size_t len)
{
	name_of(&owners.group_of, gid, buf, len, ask_group);
}
