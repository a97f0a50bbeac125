/* maker.c -- see maker.h. */
#include "fs/maker.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void drop(struct makers *m, size_t i)
{
	struct maker *k = &m->v[i];

	close(k->fd);
	free(k->name);
	free(k->site);
	memmove(k, k + 1, (m->n - i - 1) * sizeof(*k));
	m->n--;
}

bool makers_add(struct makers *m, const struct proc *p, const char *name,
		const char *site)
{
	struct maker k = {.proc = *p, .fd = -1};

	if (p->tgid <= 0)
		return false;
	/* glibc 2.36 has pidfd_open(), older ones have not. */
	k.fd = (int)syscall(SYS_pidfd_open, p->tgid, 0);
	k.name = strdup(name);
	k.site = strdup(site);
	if (k.fd < 0 || !k.name || !k.site) {
		if (k.fd >= 0)
			close(k.fd);
		free(k.name);
		free(k.site);
		return false;
	}
	if (m->n == MAKERS_MAX)
		drop(m, 0);
	m->v[m->n++] = k;
	return true;
}

static bool acts_for(const struct proc *p, const struct proc *maker)
{
	if (p->tgid == maker->tgid)
		return p->start == maker->start;
	return p->parent == maker->tgid;
}

bool makers_has(const struct makers *m, const struct proc *p, const char *name,
		const char *site)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct maker *k = &m->v[i];

		if (strcmp(k->name, name) == 0 &&
		    (k->site[0] == '\0' || strcmp(k->site, site) == 0) &&
		    acts_for(p, &k->proc))
			return true;
	}
	return false;
}

bool makers_find(const struct makers *m, const struct proc *p, const char *name,
		 const char *site)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct maker *k = &m->v[i];

		if (strcmp(k->name, name) == 0 && strcmp(k->site, site) == 0 &&
		    acts_for(p, &k->proc))
			return true;
	}
	return false;
}

bool makers_any(const struct makers *m, const char *name)
{
	for (size_t i = 0; i < m->n; i++)
		if (strcmp(m->v[i].name, name) == 0)
			return true;
	return false;
}

/* A number of a descriptor may have gone to another maker meanwhile. */
static bool has_ended(const struct maker *k)
{
	struct pollfd pfd = {.fd = k->fd, .events = POLLIN};

	return poll(&pfd, 1, 0) == 1;
}

void makers_ended(struct makers *m, int fd, char **ret_name)
{
	*ret_name = NULL;
	for (size_t i = 0; i < m->n; i++) {
		struct maker *k = &m->v[i];

		if (k->fd != fd || !has_ended(k))
			continue;
		if (k->site[0] == '\0') {
			*ret_name = k->name;
			k->name = NULL;
		}
		drop(m, i);
		return;
	}
}

void makers_release(struct makers *m)
{
	while (m->n > 0)
		drop(m, m->n - 1);
}
