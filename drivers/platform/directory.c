/*
 * directory.c -- the driver that keeps resources as files: see platform.h.
 *
 * One thread does it all: jobs, one after the other, and what inotify says of
 * the root between them. The root is opened anew for each job, so a root that
 * vanished and came back, or was mounted over, is used as it is now.
 *
 * Ownership is by name: what the store knows as applied here is ours, also
 * when someone else wrote to it since; a WITHDRAW removes it then as well.
 * What is not `owned` is never overwritten and never removed.
 *
 * changed() is not called for what this driver did itself. Its renames come
 * from temporary names and are known by their cookie; its removals are
 * written down and struck off when their event comes.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/check.h"
#include "core/doc.h"
#include "core/list.h"
#include "core/name.h"
#include "drivers/platform/directory_file.h"
#include "drivers/platform/platform.h"

#define LOOK_MS 5000 /* At the root: is it there, the same? */

#define WATCH_MASK                                                            \
	(IN_CLOSE_WRITE | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM | \
	 IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

struct job {
	struct list link;
	uint64_t id;
	enum platform_verb verb;
	bool owned, secret, take;
	struct ch_hash effective;
	const struct ch_hash *before; /* Behind the name, in the same memory. */
	size_t n_before;
	struct ch_bytes spec; /* Behind those. */
	char name[];
};

struct removal { /* Ours, its event still to come. */
	struct list link;
	char name[NAME_RESOURCE_MAX + 1];
};

struct directory {
	struct platform base; /* First, so that a platform is one of these. */
	char *root;
	int held; /* The root as it was at start, locked against others. */
	int wake; /* eventfd */
	pthread_t thread;

	pthread_mutex_t lock; /* Guards what follows, up to the blank line. */
	struct list jobs;
	bool closing;
	struct platform_figures figures;

	/* Of the thread alone. */
	int inotify;         /* -1: this machine has none to spare. */
	int watch;           /* -1: no root to watch. */
	struct stat watched; /* Which folder it is on. */
	uint32_t own_cookie; /* Of our last rename. */
	struct list removals;
};

static struct directory *directory_of(struct platform *p)
{
	return (struct directory *)(void *)p;
}

static struct job *job_of(struct list *l)
{
	return LIST_ENTRY(l, struct job, link);
}

static void forget_removals(struct directory *d)
{
	while (!list_is_empty(&d->removals)) {
		struct list *l = d->removals.next;

		list_del(l);
		free(LIST_ENTRY(l, struct removal, link));
	}
}

static void note_removal(struct directory *d, const char *name)
{
	struct removal *r;

	if (d->watch < 0)
		return;
	/* Without memory one observation too many is made. */
	r = calloc(1, sizeof(*r));
	if (!r)
		return;
	snprintf(r->name, sizeof(r->name), "%s", name);
	list_add_tail(&d->removals, &r->link);
}

static bool was_ours(struct directory *d, const char *name)
{
	for (struct list *l = d->removals.next; l != &d->removals;
	     l = l->next) {
		struct removal *r = LIST_ENTRY(l, struct removal, link);

		if (strcmp(r->name, name) != 0)
			continue;
		list_del(&r->link);
		free(r);
		return true;
	}
	return false;
}

static void set_reachable(struct directory *d, bool reachable)
{
	pthread_mutex_lock(&d->lock);
	d->figures.reachable = reachable;
	pthread_mutex_unlock(&d->lock);
}

static void unwatch(struct directory *d)
{
	if (d->watch >= 0)
		inotify_rm_watch(d->inotify, d->watch);
	d->watch = -1;
	forget_removals(d);
}

static void changed(struct directory *d, const char *name)
{
	d->base.cb.changed(d->base.cb.arg, name);
}

/* Watch the folder that the open @fd is. True unless it was watched. */
static bool watch(struct directory *d, int fd)
{
	char path[64];
	struct stat st;

	if (d->inotify < 0 || fstat(fd, &st) < 0)
		return false;
	if (d->watch >= 0 && st.st_dev == d->watched.st_dev &&
	    st.st_ino == d->watched.st_ino)
		return false;
	unwatch(d);
	/* By the descriptor: the path may lead elsewhere by now. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	d->watch = inotify_add_watch(d->inotify, path, WATCH_MASK);
	if (d->watch < 0)
		return false;
	d->watched = st;
	return true;
}

static int open_root(struct directory *d, struct err *reterr)
{
	int fd = open(d->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -errno : 0;

	set_reachable(d, fd >= 0);
	if (fd < 0) {
		if (d->watch >= 0) {
			unwatch(d);
			changed(d, NULL);
		}
		return err_set(reterr, r,
			       "%s cannot be opened: %s; make it, or mount "
			       "what belongs there",
			       d->root, strerror(-r));
	}
	if (watch(d, fd))
		changed(d, NULL);
	return fd;
}

/* What the file observed says; NULL without memory. Free with free(). */
static char *observed_text(const struct directory_place *at,
			   const struct directory_look *look, bool secret)
{
	json_auto_t *o = json_object();
	char path[PATH_MAX], text[80], *out;
	struct tm tm;

	snprintf(path, sizeof(path), "%s/%s", at->root, at->name);
	json_object_set_new(o, "path", json_string(path));
	if (look->kind == DIRECTORY_ABSENT) {
		json_object_set_new(o, "missing", json_true());
		goto out;
	}
	if (gmtime_r(&look->st.st_mtime, &tm)) {
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
		json_object_set_new(o, "mtime", json_string(text));
	}
	snprintf(text, sizeof(text), "%04o",
		 (unsigned int)(look->st.st_mode & 07777));
	json_object_set_new(o, "mode", json_string(text));
	if (look->kind == DIRECTORY_OTHER || secret)
		goto out;
	json_object_set_new(o, "size", json_integer(look->st.st_size));
	if (look->hashed) {
		for (size_t i = 0; i < sizeof(look->hash.b); i++)
			snprintf(text + 2 * i, 3, "%02x", look->hash.b[i]);
		json_object_set_new(o, "sha256", json_string(text));
	}
out:
	out = json_dumps(o, JSON_PRESERVE_ORDER | JSON_COMPACT);
	return out;
}

/* Tell whoever asked, once, and count it. */
static void answer(struct directory *d, const struct job *job,
		   struct platform_result *res)
{
	struct platform_figures *f = &d->figures;

	pthread_mutex_lock(&d->lock);
	if (res->err < 0) {
		f->failed++;
		snprintf(f->last_error, sizeof(f->last_error), "%s",
			 res->message);
	} else {
		switch (job->verb) {
		case PLATFORM_APPLY:
			f->applied++;
			break;
		case PLATFORM_OBSERVE:
			f->observed++;
			break;
		case PLATFORM_WITHDRAW:
			f->withdrawn++;
			break;
		}
	}
	pthread_mutex_unlock(&d->lock);
	d->base.cb.done(d->base.cb.arg, job->id, res);
}

static int foreign(const struct directory_place *at, struct err *reterr)
{
	return err_set(reterr, -EEXIST,
		       "%s/%s is there already and is not ours; move it away, "
		       "write the same bytes to spec, or write 'adopt take' "
		       "to policy, to take it over",
		       at->root, at->name);
}

/* Who may read it follows from who may read the resource. */
static mode_t mode_of(const struct job *job)
{
	return job->secret ? 0600 : 0644;
}

static const char *kind_text(mode_t mode)
{
	if (S_ISLNK(mode))
		return "a symbolic link";
	if (S_ISDIR(mode))
		return "a directory";
	return "no regular file";
}

/* Is what was seen there what a crash may have left of ours? */
static bool is_left_over(const struct job *job,
			 const struct directory_look *look)
{
	for (size_t i = 0; look->hashed && i < job->n_before; i++)
		if (hash_cmp(&look->hash, &job->before[i]) == 0)
			return true;
	return false;
}

static int apply(const struct job *job, const struct directory_place *at,
		 struct err *reterr)
{
	mode_t mode = mode_of(job);
	struct directory_look look;
	struct ch_hash want;
	int r;

	hash_sum(&job->spec, 1, &want);
	r = directory_look(at, &want, &look, reterr);
	if (r < 0)
		return r;
	switch (look.kind) {
	case DIRECTORY_ABSENT:
		r = directory_put(at, job->spec, mode, job->owned || job->take,
				  reterr);
		return r == -EEXIST ? foreign(at, reterr) : r;
	case DIRECTORY_SAME:
		return directory_keep(at, mode, reterr);
	case DIRECTORY_DIFFERS:
		if (!job->owned && !job->take && !is_left_over(job, &look))
			return foreign(at, reterr);
		return directory_put(at, job->spec, mode, true, reterr);
	case DIRECTORY_OTHER:
		break;
	}
	return err_set(reterr, -EEXIST,
		       "%s/%s is %s, and only regular files are written; move "
		       "it away",
		       at->root, at->name, kind_text(look.st.st_mode));
}

/* Or was an apply broken off, of bytes that nobody remembers? */
static bool left_unknown(const struct job *job)
{
	for (size_t i = 0; i < job->n_before; i++)
		if (hash_is_zero(&job->before[i]))
			return true;
	return !job->n_before;
}

static int withdraw(struct directory *d, const struct job *job,
		    const struct directory_place *at, struct err *reterr)
{
	static const struct ch_hash unknown;
	struct directory_look look;
	struct stat st;
	int r;

	if (!job->owned) {
		/* What a crash may have left of ours, but nothing else. */
		r = directory_look(at, &unknown, &look, reterr);
		if (r < 0)
			return r;
		if (!is_left_over(job, &look)) {
			if (look.kind != DIRECTORY_DIFFERS ||
			    !left_unknown(job))
				return 0;
			return err_set(reterr, -EEXIST,
				       "an apply was broken off, and whether "
				       "%s/%s is ours is not known; remove it "
				       "if it is, or move it away",
				       at->root, at->name);
		}
	}
	/* A folder or link of that name is not what was applied. */
	if ((fstatat(at->fd, at->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	     !S_ISREG(st.st_mode)))
		return 0;
	/* Also where nothing is there: its removal may not be synced yet. */
	r = directory_remove(at, reterr);
	if (r == 0)
		note_removal(d, at->name);
	return r < 0 ? r : 0;
}

/* What is there against what should be; fills in all of @res but err. */
static int observe(const struct job *job, const struct directory_place *at,
		   const struct ch_hash *want, struct platform_result *res,
		   char **ret_observed, struct err *reterr)
{
	struct directory_look look;
	const char *what = NULL;
	mode_t mode;
	int r;

	r = directory_look(at, want, &look, reterr);
	if (r < 0)
		return r;
	switch (look.kind) {
	case DIRECTORY_ABSENT:
		what = "is gone";
		break;
	case DIRECTORY_SAME:
		mode = look.st.st_mode & 07777;
		if (job->secret && (mode & 077))
			what = "may be read by others";
		else if (mode != mode_of(job))
			what = "has not the mode that it should have";
		break;
	case DIRECTORY_DIFFERS:
		what = "was changed by someone else";
		break;
	case DIRECTORY_OTHER:
		what = "is no regular file any more";
		break;
	}
	if (what)
		err_set(reterr, -EEXIST, "%s/%s %s", at->root, at->name, what);
	res->healthy = !what;
	res->drift = what != NULL;
	*ret_observed = observed_text(at, &look, job->secret);
	return 0;
}

/* Names come from other sites: a bad one must not lead out of the root. */
static int check_name(const char *name, struct err *reterr)
{
	return name_check_resource(ch_str(name), reterr);
}

static void run(struct directory *d, const struct job *job)
{
	struct directory_place at = {-1, d->root, job->name};
	struct platform_result res = {.message = ""};
	struct ch_hash want = job->effective;
	struct err err = ERR_INIT;
	char *observed = NULL;
	int r;

	r = check_name(job->name, &err);
	if (r == 0) {
		at.fd = open_root(d, &err);
		r = at.fd < 0 ? at.fd : 0;
		res.retry = true;
	}
	if (r < 0)
		goto out;
	switch (job->verb) {
	case PLATFORM_APPLY:
		hash_sum(&job->spec, 1, &want);
		r = apply(job, &at, &err);
		if (r == 0)
			r = observe(job, &at, &want, &res, &observed, &err);
		/* Changed again already: inotify says so, and the next
		 * observation finds it. */
		res.drift = false;
		break;
	case PLATFORM_OBSERVE:
		r = observe(job, &at, &want, &res, &observed, &err);
		break;
	case PLATFORM_WITHDRAW:
		r = withdraw(d, job, &at, &err);
		break;
	}
out:
	if (r == -EEXIST)
		res.nothing = job->verb == PLATFORM_APPLY;
	if (r == 0)
		res.retry = false;
	res.err = r;
	res.message = err.text;
	res.observed = observed;
	answer(d, job, &res);
	free(observed);
	if (at.fd >= 0)
		close(at.fd);
}

/* One event of the watched folder. @last: the name told last. */
static void take_event(struct directory *d, const struct inotify_event *e,
		       const char **last)
{
	const char *name = e->len > 0 ? e->name : "";

	if (e->mask & IN_Q_OVERFLOW) {
		forget_removals(d);
		*last = NULL;
		changed(d, NULL);
		return;
	}
	if (e->wd != d->watch) /* Of a watch that is gone. */
		return;
	if (e->mask &
	    (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)) {
		if (e->mask & IN_MOVE_SELF)
			inotify_rm_watch(d->inotify, d->watch);
		d->watch = -1;
		forget_removals(d);
		set_reachable(d, false);
		changed(d, NULL);
		return;
	}
	if (strncmp(name, DIRECTORY_TMP, strlen(DIRECTORY_TMP)) == 0) {
		if (e->mask & IN_MOVED_FROM)
			d->own_cookie = e->cookie;
		return;
	}
	if ((e->mask & IN_MOVED_TO) && e->cookie == d->own_cookie)
		return;
	if ((e->mask & IN_DELETE) && was_ours(d, name))
		return;
	if (check_name(name, NULL) < 0) /* No resource can have it. */
		return;
	if (*last && strcmp(*last, name) == 0)
		return;
	*last = name;
	changed(d, name);
}

static void take_events(struct directory *d)
{
	_Alignas(struct inotify_event) char buf[16384];

	while (d->inotify >= 0) {
		ssize_t len = read(d->inotify, buf, sizeof(buf));
		const char *last = NULL;

		if (len <= 0) /* -EAGAIN, in the end. */
			return;
		for (ssize_t i = 0; i < len;) {
			const struct inotify_event *e = (const void *)(buf + i);

			take_event(d, e, &last);
			i += (ssize_t)(sizeof(*e) + e->len);
		}
	}
}

/* The next job, or NULL; or the end. */
static bool next_job(struct directory *d, struct job **ret_job)
{
	bool closing;

	*ret_job = NULL;
	pthread_mutex_lock(&d->lock);
	closing = d->closing;
	if (!closing && !list_is_empty(&d->jobs)) {
		*ret_job = job_of(d->jobs.next);
		list_del(&(*ret_job)->link);
	}
	pthread_mutex_unlock(&d->lock);
	return !closing;
}

static void wait_for_something(struct directory *d)
{
	struct pollfd fds[] = {
		{.fd = d->wake, .events = POLLIN},
		{.fd = d->inotify, .events = POLLIN},
	};
	uint64_t count;
	int n, fd;

	/* Inotify does not tell of a root that is renamed away above, removed
	 * while it is held, or mounted over. */
	n = poll(fds, 2, LOOK_MS);
	if (n > 0 && fds[0].revents) {
		while (read(d->wake, &count, sizeof(count)) < 0 &&
		       errno == EINTR)
			;
	}
	if (n == 0) {
		fd = open_root(d, NULL);
		if (fd >= 0)
			close(fd);
	}
}

static void *work(void *arg)
{
	struct directory *d = arg;
	struct job *job;

	while (next_job(d, &job)) {
		if (job) {
			run(d, job);
			free(job);
		} else {
			wait_for_something(d);
		}
		take_events(d);
	}
	return NULL;
}

static void wake(struct directory *d)
{
	uint64_t one = 1;

	/* Nonblocking; a counter that is full wakes as well. */
	if (write(d->wake, &one, sizeof(one)) < 0)
		CHECK(errno == EAGAIN || errno == EINTR);
}

static void directory_submit(struct platform *p, const struct platform_job *job)
{
	struct directory *d = directory_of(p);
	size_t name_len = strlen(job->name) + 1;
	size_t before_len = job->n_before * sizeof(*job->before);
	struct job *copy;
	char *to;

	copy = malloc(sizeof(*copy) + name_len + before_len + job->spec.len);
	if (!copy) {
		d->base.cb.done(
			d->base.cb.arg, job->id,
			&(struct platform_result){.err = -ENOMEM,
						  .retry = true,
						  .message = "no memory"});
		return;
	}
	*copy = (struct job){
		.id = job->id,
		.verb = job->verb,
		.owned = job->owned,
		.secret = job->secret,
		.take = job->take,
		.effective = job->effective,
	};
	memcpy(copy->name, job->name, name_len);
	to = copy->name + name_len;
	if (before_len > 0)
		memcpy(to, job->before, before_len);
	copy->before = (const struct ch_hash *)to; /* Of bytes alone. */
	copy->n_before = job->n_before;
	to += before_len;
	if (job->spec.len > 0)
		memcpy(to, job->spec.p, job->spec.len);
	copy->spec = (struct ch_bytes){to, job->spec.len};

	pthread_mutex_lock(&d->lock);
	list_add_tail(&d->jobs, &copy->link);
	pthread_mutex_unlock(&d->lock);
	wake(d);
}

static void directory_figures(struct platform *p, struct platform_figures *ret)
{
	struct directory *d = directory_of(p);

	pthread_mutex_lock(&d->lock);
	*ret = d->figures;
	pthread_mutex_unlock(&d->lock);
}

/* Takes what was half opened, too; the thread is joined already. */
static void directory_free(struct directory *d)
{
	while (!list_is_empty(&d->jobs)) {
		struct job *job = job_of(d->jobs.next);

		list_del(&job->link);
		free(job);
	}
	forget_removals(d);
	if (d->inotify >= 0)
		close(d->inotify);
	if (d->wake >= 0)
		close(d->wake);
	if (d->held >= 0)
		close(d->held);
	pthread_mutex_destroy(&d->lock);
	free(d->root);
	free(d);
}

static void directory_close(struct platform *p)
{
	struct directory *d = directory_of(p);

	pthread_mutex_lock(&d->lock);
	d->closing = true;
	pthread_mutex_unlock(&d->lock);
	wake(d);
	pthread_join(d->thread, NULL);
	directory_free(d);
}

static bool ends_in(struct ch_bytes name, const char *suffix)
{
	size_t len = strlen(suffix);

	return name.len > len &&
	       memcmp((const char *)name.p + name.len - len, suffix, len) == 0;
}

/* Where JSON goes wrong, in jansson's words: doc_parse() tells of YAML. */
static int not_json(struct ch_bytes spec, struct err *reterr)
{
	json_error_t e = {.line = 1};
	json_t *j;

	/* Without blanks at its end: where it is cut short, jansson tells of
	 * the line behind them. */
	while (spec.len &&
	       memchr(" \t\r\n", ((const char *)spec.p)[spec.len - 1], 4))
		spec.len--;
	j = json_loadb(spec.p, spec.len, JSON_REJECT_DUPLICATES, &e);

	json_decref(j);
	if (j)
		return err_set(reterr, -EINVAL,
			       "the name ends in .json, but this is not a JSON "
			       "object or list");
	return err_set(reterr, -EINVAL,
		       "line %d, column %d: %s; the name ends in .json, so "
		       "write JSON",
		       e.line, e.column, e.text);
}

static bool directory_must_parse(struct ch_bytes name, struct ch_bytes spec)
{
	return ends_in(name, ".json") || ends_in(name, ".yaml") ||
	       ends_in(name, ".yml") || doc_claims_manifest(spec);
}

static int directory_check(struct ch_bytes name, struct ch_bytes spec,
			   struct err *reterr)
{
	bool json = ends_in(name, ".json");
	struct doc *doc = NULL;
	enum doc_syntax syntax;
	int r;

	if (!directory_must_parse(name, spec))
		return 0;
	r = doc_parse(spec, &doc, reterr);
	if (r == -EINVAL && json)
		return not_json(spec, reterr);
	if (r < 0)
		return r;
	syntax = doc_syntax(doc);
	doc_free(doc);
	return json && syntax != DOC_JSON ? not_json(spec, reterr) : 0;
}

const struct platform_ops platform_directory_ops = {
	.name = "directory",
	.check = directory_check,
	.must_parse = directory_must_parse,
	.submit = directory_submit,
	.figures = directory_figures,
	.close = directory_close,
};

/* Make, open and lock the root. */
static int hold_root(struct directory *d, struct err *reterr)
{
	bool made = mkdir(d->root, 0755) == 0;
	int r;

	if (!made && errno != EEXIST) {
		r = -errno;
		return err_set(reterr, r,
			       "%s is not there and cannot be made: %s; make "
			       "it, or write another drivers.directory.root",
			       d->root, strerror(-r));
	}
	d->held = open(d->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->held < 0) {
		r = -errno;
		return err_set(reterr, r,
			       "%s cannot be opened: %s; drivers.directory."
			       "root is a folder that the agent may use",
			       d->root, strerror(-r));
	}
	/* Files that are meant to be read, whatever our umask is. */
	if (made && fchmod(d->held, 0755) < 0)
		return err_set(reterr, -errno, "%s: chmod 755: %s", d->root,
			       strerror(errno));
	/* Two agents would overwrite each other's files. Filesystems that
	 * cannot lock a folder are used without. */
	if (flock(d->held, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return err_set(reterr, -EBUSY,
			       "%s is in use by another agent; each site needs "
			       "a drivers.directory.root of its own",
			       d->root);
	return 0;
}

int platform_directory_open(const char *root,
			    const struct platform_callbacks *cb,
			    struct platform **ret_platform, struct err *reterr)
{
	struct directory *d;
	int r;

	d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(reterr, -ENOMEM, "no memory");
	d->base.ops = &platform_directory_ops;
	d->base.cb = *cb;
	d->held = d->wake = d->inotify = d->watch = -1;
	list_init(&d->jobs);
	list_init(&d->removals);
	pthread_mutex_init(&d->lock, NULL);
	d->figures.version = "";
	d->root = strdup(root);
	if (!d->root) {
		r = err_set(reterr, -ENOMEM, "no memory");
		goto fail;
	}
	r = hold_root(d, reterr);
	if (r < 0)
		goto fail;
	directory_clean(d->held);
	d->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->wake < 0) {
		r = err_set(reterr, -errno, "eventfd: %s", strerror(errno));
		goto fail;
	}
	/* Without one, changes are found when they are looked for. */
	d->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	d->figures.reachable = true;
	watch(d, d->held);
	r = pthread_create(&d->thread, NULL, work, d);
	if (r > 0) {
		r = err_set(reterr, -r, "start a thread: %s", strerror(r));
		goto fail;
	}
	pthread_setname_np(d->thread, "directory");
	*ret_platform = &d->base;
	return 0;

fail:
	directory_free(d);
	return r;
}
