/* notify.c -- see notify.h. */
#include "fs/notify.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "fs/handle.h"
#include "fs/render.h"
#include "fs/scratch.h"
#include "fs/tree.h"

#define ITEMS_MAX 4096
#define BUCKETS 1024
#define GLANCE_MAX 64 /* Nodes that who says what is stale looks at. */
#define WAKE_MS 20    /* Between signals to the FUSE thread that must end. */

struct item {
	struct list link;
	struct item *next; /* In its bucket. */
	size_t bucket;
	enum ch_stale_what what;
	const char *name, *site;
	void (*then)(void *arg); /* Of notify_then(). */
	void *arg;
	char text[];
};

struct notify {
	struct mnt *m;
	pthread_t thread, main;
	int event_fd, signal_fd;
	pthread_mutex_t lock;
	struct list items;
	size_t n;
	struct item *buckets[BUCKETS];
	bool everything, events, stopping;
	bool ending;     /* A signal has come. */
	bool loop_ended; /* The FUSE thread is out of its loop. */
};

static void wake(struct notify *nt)
{
	uint64_t one = 1;
	ssize_t n;

	n = write(nt->event_fd, &one, sizeof(one));
	(void)n; /* It can only fail because it is awake already. */
}

static struct item *item_new(const char *name, const char *site)
{
	size_t name_len = strlen(name) + 1, site_len = strlen(site) + 1;
	struct item *it;

	it = calloc(1, sizeof(*it) + name_len + site_len);
	if (!it)
		return NULL;
	memcpy(it->text, name, name_len);
	memcpy(it->text + name_len, site, site_len);
	it->name = it->text;
	it->site = it->text + name_len;
	list_init(&it->link);
	return it;
}

static bool is_queued(const struct notify *nt, size_t bucket,
		      const struct ch_stale *s)
{
	const struct item *it = nt->buckets[bucket];

	while (it && !(it->what == s->what && strcmp(it->name, s->name) == 0 &&
		       strcmp(it->site, s->site) == 0))
		it = it->next;
	return it != NULL;
}

/* May a content that changes bring such a name, or take it away? */
static bool comes_with_content(enum node_kind k)
{
	return k == NODE_SPEC_JSON || k == NODE_CONFLICT;
}

/* What @site reports is not in the files of other sites; "": in all. */
static bool is_beside(const struct node *n, const char *site)
{
	return site[0] && n->id->site[0] && strcmp(n->id->site, site) != 0;
}

/* Has the kernel something of @n or what is below it that a content makes
 * old? Also true after @left nodes: that takes too long for who asks. */
static bool is_known(const struct node *n, const char *site, size_t *left)
{
	if (is_beside(n, site))
		return false;
	if (n->cached || comes_with_content(n->id->kind) || *left == 0)
		return true;
	--*left;
	for (struct list *l = n->children.next; l != &n->children; l = l->next)
		if (is_known(LIST_ENTRY(l, struct node, sibling), site, left))
			return true;
	return false;
}

/* Most contents that change are cached by no kernel, and polled by nobody:
 * the notifier sleeps through them. */
static bool is_awaited(struct mnt *m, const struct ch_stale *s)
{
	size_t left = GLANCE_MAX;
	const struct node *n;
	bool awaited;

	if (s->what != CH_STALE_CONTENT)
		return true;
	mnt_lock(m);
	awaited = !list_is_empty(&m->polled);
	n = awaited ? NULL : inode_find(&m->inodes, NODE_RESOURCE, s->name, "");
	if (n)
		awaited = is_known(n, s->site, &left);
	mnt_unlock(m);
	return awaited;
}

void notify_stale(struct notify *nt, const struct ch_stale *s)
{
	uint64_t h = inode_hash((uint64_t)s->what, s->name, strlen(s->name));
	size_t bucket = inode_hash(h, s->site, strlen(s->site)) % BUCKETS;
	struct item *it = NULL;
	bool idle;

	if (!is_awaited(nt->m, s))
		return;
	pthread_mutex_lock(&nt->lock);
	idle = nt->n == 0 && !nt->everything && !nt->events;
	if (!nt->everything && !is_queued(nt, bucket, s)) {
		if (nt->n < ITEMS_MAX)
			it = item_new(s->name, s->site);
		if (it) {
			it->what = s->what;
			it->bucket = bucket;
			it->next = nt->buckets[bucket];
			nt->buckets[bucket] = it;
			list_add_tail(&nt->items, &it->link);
			nt->n++;
		} else {
			nt->everything = true;
		}
	}
	pthread_mutex_unlock(&nt->lock);
	if (idle)
		wake(nt);
}

void notify_events(struct notify *nt)
{
	struct mnt *m = nt->m;
	bool idle, polled;

	mnt_lock(m);
	polled = !list_is_empty(&m->polled);
	mnt_unlock(m);
	if (!polled)
		return;
	pthread_mutex_lock(&nt->lock);
	idle = nt->n == 0 && !nt->everything && !nt->events;
	nt->events = true;
	pthread_mutex_unlock(&nt->lock);
	if (idle)
		wake(nt);
}

void notify_makers(struct notify *nt)
{
	wake(nt);
}

void notify_then(struct notify *nt, const char *name, void (*fn)(void *arg),
		 void *arg)
{
	struct item *it = item_new(name, "");

	if (!it) {
		fn(arg);
		return;
	}
	it->what = CH_STALE_RESOURCE;
	it->bucket = BUCKETS;
	it->then = fn;
	it->arg = arg;
	pthread_mutex_lock(&nt->lock);
	list_add_tail(&nt->items, &it->link);
	nt->n++;
	pthread_mutex_unlock(&nt->lock);
	wake(nt);
}

/* Borrowed nodes, each held until the set is released. */
struct nodes {
	struct node **v;
	size_t n, alloc;
	bool bad;
	const char *site; /* Collect no other site's; "": all. */
};

static void collect(void *arg, struct node *n)
{
	struct nodes *set = arg;

	if (!n->hashed || is_beside(n, set->site))
		return;
	if (set->n == set->alloc) {
		size_t alloc = set->alloc ? set->alloc * 2 : 32;
		struct node **v = realloc(set->v, alloc * sizeof(*v));

		if (!v) {
			set->bad = true;
			return;
		}
		set->v = v;
		set->alloc = alloc;
	}
	set->v[set->n++] = inode_ref(n);
}

static void nodes_release(struct mnt *m, struct nodes *set)
{
	mnt_lock(m);
	while (set->n > 0)
		inode_unref(&m->inodes, set->v[--set->n]);
	mnt_unlock(m);
	free(set->v);
	set->v = NULL;
}

/* It is gone from the tree: out of the table, and out of the kernel's. */
static void tell_gone(struct mnt *m, struct node *n)
{
	const struct node_id *id;
	char name[256];
	uint64_t parent;

	mnt_lock(m);
	id = n->id;
	strncpy(name, tree_name_of(id), sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	parent = n->parent->no;
	if (kind_of(id->kind)->dir)
		scratch_clear(&m->inodes, n);
	inode_unhash(&m->inodes, n);
	mnt_unlock(m);
	fuse_lowlevel_notify_inval_entry(m->se, parent, name, strlen(name));
}

/* The store, read only once it is asked for. */
struct sight {
	struct mnt *m;
	struct agent_view av;
	bool asked, open;
};

/* NULL: there is no memory for it. */
static const struct view *sight_view(struct sight *s)
{
	if (!s->asked)
		s->open = agent_view_get(s->m->agent, &s->av) == 0;
	s->asked = true;
	return s->open ? &s->av.v : NULL;
}

static void sight_release(struct sight *s)
{
	if (s->open)
		agent_view_put(s->m->agent, &s->av);
}

static bool is_gone(struct sight *s, struct node *n)
{
	const struct view *v = sight_view(s);

	return v && tree_still_there(s->m, v, n) == -ENOENT;
}

/* @content: no more has changed than that. */
static void tell_node(struct sight *s, struct node *n, bool content)
{
	struct mnt *m = s->m;
	bool hashed;

	mnt_lock(m);
	hashed = n->hashed; /* Else it went with its directory. */
	mnt_unlock(m);
	if (!hashed)
		return;
	if ((!content || comes_with_content(mnt_id(m, n)->kind)) &&
	    is_gone(s, n))
		tell_gone(m, n);
	else
		mnt_stale(m, n);
}

/* Look at all that is known below the node of that identity. */
static void tell_subtree(struct sight *s, enum node_kind kind, const char *name,
			 const char *site)
{
	struct nodes set = {.site = ""};
	struct mnt *m = s->m;
	struct node *n;

	mnt_lock(m);
	n = inode_find(&m->inodes, kind, name, site);
	if (n && !n->moving)
		inode_walk(n, collect, &set);
	mnt_unlock(m);
	for (size_t i = 0; i < set.n; i++)
		tell_node(s, set.v[i], false);
	nodes_release(m, &set);
}

/* The same, of a resource in which only contents have changed; @site: what
 * that site reports, unless "". */
static void tell_content(struct sight *s, const char *name, const char *site)
{
	struct nodes set = {.site = site};
	struct mnt *m = s->m;
	struct node *n;

	mnt_lock(m);
	n = inode_find(&m->inodes, NODE_RESOURCE, name, "");
	if (n)
		inode_walk(n, collect, &set);
	mnt_unlock(m);
	for (size_t i = 0; i < set.n; i++)
		tell_node(s, set.v[i], true);
	nodes_release(m, &set);
}

static void tell_dir(struct mnt *m, enum node_kind kind)
{
	struct node *n;

	mnt_lock(m);
	n = inode_find(&m->inodes, kind, "", "");
	if (n)
		inode_ref(n);
	mnt_unlock(m);
	if (!n)
		return;
	mnt_stale(m, n);
	mnt_lock(m);
	inode_unref(&m->inodes, n);
	mnt_unlock(m);
}

/* Does @s say something about the node @id? */
static bool concerns(const struct item *it, const struct node_id *id)
{
	/* A site's heartbeat stands in every resource's status. */
	if (it->what == CH_STALE_MEMBER)
		return true;
	return strcmp(it->name, id->name) == 0;
}

/* Take the handles out of the list that wait for another content of @n than
 * that of @now; at most @max. With the lock held. */
static size_t take_waiters(struct mnt *m, const struct node *n, uint64_t now,
			   struct fuse_pollhandle **v, size_t max)
{
	struct list *l = m->polled.next;
	size_t taken = 0;

	while (l != &m->polled && taken < max) {
		struct handle *h = LIST_ENTRY(l, struct handle, poll_link);

		l = l->next;
		if (h->node != n || h->meaning == now)
			continue;
		v[taken++] = h->ph;
		h->ph = NULL;
		list_del(&h->poll_link);
	}
	return taken;
}

/* The polled handles of one node whose content is another now. Each is woken
 * once: who polls again without a look at it would keep us here. */
static void wake_node(struct mnt *m, const struct view *v, struct node *n)
{
	struct fuse_pollhandle **waiters;
	size_t max = 0, taken;
	uint64_t now;

	if (render_meaning(m, v, mnt_id(m, n), &now) < 0)
		return;
	mnt_lock(m);
	for (struct list *l = m->polled.next; l != &m->polled; l = l->next)
		max++;
	mnt_unlock(m);
	waiters = calloc(max + 1, sizeof(struct fuse_pollhandle *));
	if (!waiters)
		return;
	mnt_lock(m);
	taken = take_waiters(m, n, now, waiters, max);
	mnt_unlock(m);
	while (taken > 0) {
		fuse_lowlevel_notify_poll(waiters[--taken]);
		fuse_pollhandle_destroy(waiters[taken]);
	}
	free(waiters);
}

/* @it: NULL: all of them; @events: only .events. */
static void wake_polls(struct sight *s, const struct item *it, bool events)
{
	struct nodes set = {.site = ""};
	const struct view *v;
	struct mnt *m = s->m;

	mnt_lock(m);
	for (struct list *l = m->polled.next; l != &m->polled; l = l->next) {
		struct node *n = LIST_ENTRY(l, struct handle, poll_link)->node;
		bool seen = false;

		if (events != (n->id->kind == NODE_EVENTS) ||
		    (it && !concerns(it, n->id)))
			continue;
		for (size_t i = 0; i < set.n; i++)
			seen = seen || set.v[i] == n;
		if (!seen) {
			bool hashed = n->hashed;

			n->hashed = true; /* One that is gone, too. */
			collect(&set, n);
			n->hashed = hashed;
		}
	}
	mnt_unlock(m);
	v = set.n > 0 ? sight_view(s) : NULL;
	for (size_t i = 0; v && i < set.n; i++)
		wake_node(m, v, set.v[i]);
	nodes_release(m, &set);
}

static void tell_item(struct sight *s, const struct item *it)
{
	struct mnt *m = s->m;

	switch (it->what) {
	case CH_STALE_CONTENT:
		tell_content(s, it->name, it->site);
		break;
	case CH_STALE_RESOURCE:
	case CH_STALE_SITE:
		atomic_fetch_add(&m->n_changes, 1);
		tell_subtree(s, NODE_RESOURCE, it->name, "");
		tell_dir(m, NODE_ROOT);
		break;
	case CH_STALE_TRASH:
		atomic_fetch_add(&m->n_changes, 1);
		tell_subtree(s, NODE_TRASH, it->name, "");
		tell_dir(m, NODE_TRASHES);
		break;
	case CH_STALE_HELD:
		atomic_fetch_add(&m->n_changes, 1);
		tell_subtree(s, NODE_HELD, it->name, "");
		tell_dir(m, NODE_HELDS);
		break;
	case CH_STALE_MEMBER:
		tell_subtree(s, NODE_MEMBER, "", it->site);
		tell_dir(m, NODE_MEMBERS);
		break;
	}
	wake_polls(s, it, false);
}

/* What is to be done, taken out of the queue. */
struct work {
	struct list items;
	bool everything, events;
};

static void take_work(struct notify *nt, struct work *w)
{
	list_init(&w->items);
	pthread_mutex_lock(&nt->lock);
	w->everything = nt->everything;
	w->events = nt->events;
	if (!list_is_empty(&nt->items)) {
		w->items = nt->items;
		w->items.next->prev = &w->items;
		w->items.prev->next = &w->items;
	}
	list_init(&nt->items);
	memset(nt->buckets, 0, sizeof(nt->buckets));
	nt->n = 0;
	nt->everything = false;
	nt->events = false;
	pthread_mutex_unlock(&nt->lock);
}

/*
 * Once the end has come the kernel is told nothing more: such a call could
 * wait for a request that nobody serves. Who waits for it is still answered.
 */
static void do_work(struct notify *nt, struct work *w, bool tell)
{
	struct sight s = {.m = nt->m};

	if (tell && w->everything) {
		tell_subtree(&s, NODE_ROOT, "", "");
		wake_polls(&s, NULL, false);
	}
	if (tell && w->events)
		wake_polls(&s, NULL, true);
	while (!list_is_empty(&w->items)) {
		struct item *it = LIST_ENTRY(w->items.next, struct item, link);

		list_del(&it->link);
		if (tell && (it->then || !w->everything))
			tell_item(&s, it);
		if (it->then)
			it->then(it->arg);
		free(it);
	}
	sight_release(&s);
}

static void maker_ended(struct notify *nt, int fd)
{
	struct mnt *m = nt->m;
	char *name;

	mnt_lock(m);
	makers_ended(&m->makers, fd, &name);
	mnt_unlock(m);
	if (name)
		agent_quiet(m->agent, ch_str(name));
	free(name);
}

static bool signal_has_come(struct notify *nt)
{
	struct signalfd_siginfo info;

	return read(nt->signal_fd, &info, sizeof(info)) == sizeof(info);
}

static void *notify_main(void *arg)
{
	struct notify *nt = arg;
	struct mnt *m = nt->m;
	bool stopping = false, kick;

	while (!stopping) {
		struct pollfd fds[2 + MAKERS_MAX] = {
			{.fd = nt->event_fd, .events = POLLIN},
			{.fd = nt->signal_fd, .events = POLLIN},
		};
		struct work w;
		uint64_t count;
		nfds_t n = 2;
		ssize_t got;

		mnt_lock(m);
		for (size_t i = 0; i < m->makers.n; i++)
			fds[n++] = (struct pollfd){.fd = m->makers.v[i].fd,
						   .events = POLLIN};
		mnt_unlock(m);
		pthread_mutex_lock(&nt->lock);
		kick = nt->ending && !nt->loop_ended;
		pthread_mutex_unlock(&nt->lock);
		poll(fds, n, kick ? WAKE_MS : -1);
		got = read(nt->event_fd, &count, sizeof(count));
		(void)got; /* Nothing to read: another of them woke us. */
		take_work(nt, &w);
		do_work(nt, &w, !nt->ending);
		for (nfds_t i = 2; i < n; i++)
			if (fds[i].revents)
				maker_ended(nt, fds[i].fd);
		if (signal_has_come(nt)) {
			nt->ending = true;
			fuse_session_exit(m->se);
		}
		/* libfuse looks at its flag only when its read comes back; one
		 * signal could come just before it reads. */
		pthread_mutex_lock(&nt->lock);
		if (nt->ending && !nt->loop_ended)
			pthread_kill(nt->main, SIGUSR2);
		stopping = nt->stopping;
		pthread_mutex_unlock(&nt->lock);
	}
	return NULL;
}

int notify_new(struct mnt *m, pthread_t main, struct notify **ret_notify,
	       struct err *reterr)
{
	struct notify *nt;
	sigset_t set;
	int r;

	nt = calloc(1, sizeof(*nt));
	if (!nt)
		return err_set(reterr, -ENOMEM, "out of memory");
	nt->m = m;
	nt->main = main;
	list_init(&nt->items);
	pthread_mutex_init(&nt->lock, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	nt->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	nt->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (nt->event_fd < 0 || nt->signal_fd < 0)
		r = -errno;
	else
		r = -pthread_create(&nt->thread, NULL, notify_main, nt);
	if (r < 0) {
		if (nt->event_fd >= 0)
			close(nt->event_fd);
		if (nt->signal_fd >= 0)
			close(nt->signal_fd);
		pthread_mutex_destroy(&nt->lock);
		free(nt);
		return err_set(reterr, r, "cannot start the notifier: %s",
			       strerror(-r));
	}
	*ret_notify = nt;
	return 0;
}

void notify_loop_ended(struct notify *nt)
{
	pthread_mutex_lock(&nt->lock);
	nt->loop_ended = true;
	pthread_mutex_unlock(&nt->lock);
	wake(nt);
}

void notify_free(struct notify *nt)
{
	struct work w;

	if (!nt)
		return;
	pthread_mutex_lock(&nt->lock);
	nt->stopping = true;
	pthread_mutex_unlock(&nt->lock);
	wake(nt);
	pthread_join(nt->thread, NULL);
	take_work(nt, &w);
	do_work(nt, &w, false);
	close(nt->event_fd);
	close(nt->signal_fd);
	pthread_mutex_destroy(&nt->lock);
	free(nt);
}
