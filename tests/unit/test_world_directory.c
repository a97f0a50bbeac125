/*
 * test_world_directory.c -- the directory driver on a real folder.
 *
 * Callbacks gather under a lock; tests wait for them with a deadline. Each
 * test has a folder of its own, and the root is a folder in it.
 */
#include "drivers/platform/platform.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#define DEADLINE_S 20
#define NAMES_MAX 64

struct fixture {
	char top[128], root[160];
	struct platform *p;

	pthread_mutex_t lock;
	pthread_cond_t moved;
	uint64_t last_id;
	/* Of the job that ended last. */
	struct platform_result res;
	char message[512], observed[1024];
	size_t n_done;
	/* What changed() told, in order; "" for all. */
	char names[NAMES_MAX][256];
	size_t n_names;
};

static void on_done(void *arg, uint64_t id, const struct platform_result *r)
{
	struct fixture *f = arg;

	pthread_mutex_lock(&f->lock);
	f->last_id = id;
	f->res = *r;
	snprintf(f->message, sizeof(f->message), "%s", r->message);
	snprintf(f->observed, sizeof(f->observed), "%s",
		 r->observed ? r->observed : "");
	f->n_done++;
	pthread_cond_broadcast(&f->moved);
	pthread_mutex_unlock(&f->lock);
}

static void on_changed(void *arg, const char *name)
{
	struct fixture *f = arg;

	pthread_mutex_lock(&f->lock);
	if (f->n_names < NAMES_MAX)
		snprintf(f->names[f->n_names++], sizeof(f->names[0]), "%s",
			 name ? name : "");
	pthread_cond_broadcast(&f->moved);
	pthread_mutex_unlock(&f->lock);
}

static int start(struct fixture *f, struct err *reterr)
{
	const struct platform_callbacks cb = {
		.done = on_done, .changed = on_changed, .arg = f};

	return platform_directory_open(f->root, &cb, &f->p, reterr);
}

static int fixture_open(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const char *tmp = getenv("TMPDIR");
	struct err err = ERR_INIT;

	snprintf(f->top, sizeof(f->top), "%s/cheops-directory-XXXXXX",
		 tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->top));
	snprintf(f->root, sizeof(f->root), "%s/root", f->top);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->moved, NULL);
	assert_int_equal(start(f, &err), 0);
	*state = f;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int fixture_close(void **state)
{
	struct fixture *f = *state;

	if (f->p)
		f->p->ops->close(f->p);
	nftw(f->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	pthread_cond_destroy(&f->moved);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return 0;
}

static struct timespec deadline(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += DEADLINE_S;
	return t;
}

/* Submit and wait for the end; its error is returned. */
static int run(struct fixture *f, struct platform_job job)
{
	static uint64_t next_id = 100;
	struct timespec until = deadline();
	size_t before;
	int r;

	job.id = next_id++;
	pthread_mutex_lock(&f->lock);
	before = f->n_done;
	pthread_mutex_unlock(&f->lock);
	f->p->ops->submit(f->p, &job);
	pthread_mutex_lock(&f->lock);
	while (f->n_done == before)
		if (pthread_cond_timedwait(&f->moved, &f->lock, &until) != 0)
			break;
	assert_int_equal(f->n_done, before + 1);
	assert_true(f->last_id == job.id);
	r = f->res.err;
	pthread_mutex_unlock(&f->lock);
	/* What went wrong is always said, and nothing else. */
	if (r < 0)
		assert_true(*f->message);
	return r;
}

static struct ch_hash hash_of(const char *bytes)
{
	struct ch_bytes b = ch_str(bytes);
	struct ch_hash h;

	hash_sum(&b, 1, &h);
	return h;
}

static int apply(struct fixture *f, const char *name, const char *bytes,
		 bool owned)
{
	return run(f, (struct platform_job){.verb = PLATFORM_APPLY,
					    .name = name,
					    .owned = owned,
					    .spec = ch_str(bytes),
					    .effective = hash_of(bytes)});
}

static int observe(struct fixture *f, const char *name, const char *bytes)
{
	return run(f, (struct platform_job){.verb = PLATFORM_OBSERVE,
					    .name = name,
					    .owned = true,
					    .effective = hash_of(bytes)});
}

static int withdraw(struct fixture *f, const char *name, bool owned)
{
	return run(f, (struct platform_job){.verb = PLATFORM_WITHDRAW,
					    .name = name,
					    .owned = owned});
}

/* Wait until changed(@name) was told, then forget it and what was told before.
 * Returns how many that were. */
static size_t wait_changed(struct fixture *f, const char *name)
{
	struct timespec until = deadline();
	size_t i = 0, others = 0;

	pthread_mutex_lock(&f->lock);
	for (;;) {
		for (; i < f->n_names; i++) {
			if (strcmp(f->names[i], name) == 0)
				goto out;
			others++;
		}
		if (pthread_cond_timedwait(&f->moved, &f->lock, &until) != 0)
			break;
	}
	fail_msg("nobody told that '%s' changed", name);
out:
	f->n_names -= i + 1;
	memmove(f->names, f->names + i + 1, f->n_names * sizeof(f->names[0]));
	pthread_mutex_unlock(&f->lock);
	return others;
}

/* The path, until the next call. */
static const char *at(struct fixture *f, const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", f->root, name);
	return path;
}

static void put(struct fixture *f, const char *name, const char *bytes)
{
	FILE *file = fopen(at(f, name), "w");

	assert_non_null(file);
	assert_true(fputs(bytes, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* The file has these bytes and that mode. */
static void expect(struct fixture *f, const char *name, const char *bytes,
		   unsigned int mode)
{
	char buf[4096] = "";
	struct stat st;
	FILE *file;

	assert_int_equal(lstat(at(f, name), &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(st.st_mode & 07777, mode);
	file = fopen(at(f, name), "r");
	assert_non_null(file);
	buf[fread(buf, 1, sizeof(buf) - 1, file)] = '\0';
	fclose(file);
	assert_string_equal(buf, bytes);
}

static bool is_there(struct fixture *f, const char *name)
{
	struct stat st;

	return lstat(at(f, name), &st) == 0;
}

static void applies_and_replaces(void **state)
{
	struct fixture *f = *state;
	struct platform_figures fig;
	mode_t mask = umask(077);

	assert_int_equal(apply(f, "web", "one\n", false), 0);
	umask(mask);
	expect(f, "web", "one\n", 0644);
	assert_true(f->res.healthy);
	assert_false(f->res.drift);
	assert_false(f->res.retry);
	assert_string_equal(f->message, "");
	assert_int_equal(apply(f, "web", "two\n", true), 0);
	expect(f, "web", "two\n", 0644);
	assert_int_equal(apply(f, "Größe an+b", "", false), 0);
	expect(f, "Größe an+b", "", 0644);

	f->p->ops->figures(f->p, &fig);
	assert_int_equal(fig.applied, 3);
	assert_int_equal(fig.failed, 0);
	assert_true(fig.reachable);
	assert_string_equal(fig.version, "");
}

static void a_secret_is_private(void **state)
{
	struct fixture *f = *state;
	struct platform_job job = {.verb = PLATFORM_APPLY,
				   .name = "key",
				   .secret = true,
				   .spec = ch_str("hush"),
				   .effective = hash_of("hush")};

	assert_int_equal(run(f, job), 0);
	expect(f, "key", "hush", 0600);
	assert_null(strstr(f->observed, "sha256"));
	assert_null(strstr(f->observed, "size"));
	assert_non_null(strstr(f->observed, "0600"));

	/* Of equal bytes, but open to all: narrowed when taken over. */
	put(f, "old", "hush");
	assert_int_equal(chmod(at(f, "old"), 0644), 0);
	job.name = "old";
	assert_int_equal(run(f, job), 0);
	expect(f, "old", "hush", 0600);

	assert_int_equal(chmod(at(f, "key"), 0604), 0);
	job.name = "key";
	job.verb = PLATFORM_OBSERVE;
	job.owned = true;
	assert_int_equal(run(f, job), 0);
	assert_true(f->res.drift);
	assert_non_null(strstr(f->message, "may be read by others"));

	/* It is no secret any more. */
	job.secret = false;
	assert_int_equal(chmod(at(f, "key"), 0600), 0);
	assert_int_equal(run(f, job), 0);
	assert_true(f->res.drift);
	assert_non_null(strstr(f->message, "has not the mode"));
	job.verb = PLATFORM_APPLY;
	assert_int_equal(run(f, job), 0);
	expect(f, "key", "hush", 0644);
	assert_true(f->res.healthy);
}

static void what_is_not_ours_stays(void **state)
{
	struct fixture *f = *state;
	struct platform_figures fig;

	put(f, "web", "theirs");
	assert_int_equal(apply(f, "web", "ours", false), -EEXIST);
	expect(f, "web", "theirs", 0644);
	assert_true(f->res.retry);
	assert_int_equal(f->res.retry_ms, 0);
	assert_non_null(strstr(f->message, at(f, "web")));
	assert_non_null(strstr(f->message, "is not ours"));
	f->p->ops->figures(f->p, &fig);
	assert_int_equal(fig.failed, 1);
	assert_non_null(strstr(fig.last_error, "is not ours"));
	/* Perhaps ours: neither removed, nor said to be gone. */
	assert_int_equal(withdraw(f, "web", false), -EEXIST);
	expect(f, "web", "theirs", 0644);
	assert_non_null(strstr(f->message, "is not known"));

	/* Equal bytes are taken over, and their mode is ours from then on. */
	assert_int_equal(chmod(at(f, "web"), 0640), 0);
	assert_int_equal(apply(f, "web", "theirs", false), 0);
	expect(f, "web", "theirs", 0644);
}

static void what_was_broken_off_is_ours(void **state)
{
	struct fixture *f = *state;
	struct ch_hash before[] = {hash_of("one"), hash_of("two"), {{0}}};
	struct platform_job job = {.name = "web", .before = before};

	/* Each of them, and nothing else. */
	for (int i = 0; i < 3; i++) {
		job.verb = PLATFORM_APPLY;
		job.n_before = 2;
		job.spec = ch_str("three");
		job.effective = hash_of("three");
		put(f, "web", i == 0 ? "one" : i == 1 ? "two" : "theirs");
		assert_int_equal(run(f, job), i < 2 ? 0 : -EEXIST);
		expect(f, "web", i < 2 ? "three" : "theirs", 0644);
	}
	job.verb = PLATFORM_WITHDRAW;
	job.spec = ch_str("");
	assert_int_equal(run(f, job), 0); /* Nothing of ours is there. */
	expect(f, "web", "theirs", 0644);
	job.n_before = 3; /* Or perhaps it is. */
	assert_int_equal(run(f, job), -EEXIST);
	expect(f, "web", "theirs", 0644);
	put(f, "web", "two");
	assert_int_equal(run(f, job), 0);
	assert_false(is_there(f, "web"));
}

static void only_regular_files(void **state)
{
	struct fixture *f = *state;
	char target[200];

	snprintf(target, sizeof(target), "%s/target", f->top);
	put(f, "../target", "precious");
	assert_int_equal(symlink(target, at(f, "link")), 0);
	assert_int_equal(mkdir(at(f, "dir"), 0755), 0);
	assert_int_equal(mkfifo(at(f, "fifo"), 0666), 0);
	for (int owned = 0; owned < 2; owned++) {
		assert_int_equal(apply(f, "link", "x", owned), -EEXIST);
		assert_non_null(strstr(f->message, "a symbolic link"));
		assert_int_equal(apply(f, "dir", "x", owned), -EEXIST);
		assert_non_null(strstr(f->message, "a directory"));
		assert_int_equal(apply(f, "fifo", "x", owned), -EEXIST);
		assert_int_equal(withdraw(f, "link", owned), 0);
		assert_int_equal(withdraw(f, "dir", owned), 0);
		assert_int_equal(withdraw(f, "fifo", owned), 0);
	}
	assert_true(is_there(f, "link"));
	assert_true(is_there(f, "dir"));
	assert_true(is_there(f, "fifo"));
	expect(f, "../target", "precious", 0644);
	assert_int_equal(observe(f, "link", "precious"), 0);
	assert_true(f->res.drift);
}

static void observes(void **state)
{
	struct fixture *f = *state;
	json_t *o;

	assert_int_equal(apply(f, "web", "one", false), 0);
	assert_int_equal(observe(f, "web", "one"), 0);
	assert_true(f->res.healthy);
	assert_false(f->res.drift);
	o = json_loads(f->observed, 0, NULL);
	assert_non_null(o);
	assert_string_equal(json_string_value(json_object_get(o, "path")),
			    at(f, "web"));
	assert_int_equal(json_integer_value(json_object_get(o, "size")), 3);
	assert_string_equal(json_string_value(json_object_get(o, "sha256")),
			    "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143"
			    "c0add73ff431ed");
	assert_string_equal(json_string_value(json_object_get(o, "mode")),
			    "0644");
	assert_int_equal(strlen(json_string_value(json_object_get(o, "mtime"))),
			 20);
	json_decref(o);

	put(f, "web", "two");
	assert_int_equal(observe(f, "web", "one"), 0);
	assert_true(f->res.drift);
	assert_false(f->res.healthy);
	assert_non_null(strstr(f->message, "was changed by someone else"));
	assert_int_equal(unlink(at(f, "web")), 0);
	assert_int_equal(observe(f, "web", "one"), 0);
	assert_true(f->res.drift);
	assert_non_null(strstr(f->message, "is gone"));
	assert_non_null(strstr(f->observed, "\"missing\":true"));
}

static void withdraws_what_is_ours(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(apply(f, "web", "one", false), 0);
	assert_int_equal(withdraw(f, "web", true), 0);
	assert_false(is_there(f, "web"));
	assert_int_equal(withdraw(f, "web", true), 0);
	assert_int_equal(apply(f, "web", "one", false), 0);
	put(f, "web", "changed");
	assert_int_equal(withdraw(f, "web", true), 0);
	assert_false(is_there(f, "web"));
}

static void bad_names_lead_nowhere(void **state)
{
	static const char *const names[] = {
		"", ".", "..", "../x", "a/b", "/x", ".cheops-00000000"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_true(apply(f, names[i], "x", true) < 0);
		assert_false(f->res.retry);
		assert_true(withdraw(f, names[i], true) < 0);
	}
	assert_false(is_there(f, "../x"));
}

static void tells_what_others_change(void **state)
{
	struct fixture *f = *state;
	char other[200];

	put(f, "web", "x");
	wait_changed(f, "web");
	assert_int_equal(chmod(at(f, "web"), 0600), 0);
	wait_changed(f, "web");
	snprintf(other, sizeof(other), "%s/other", f->root);
	assert_int_equal(rename(at(f, "web"), other), 0);
	wait_changed(f, "web");
	wait_changed(f, "other");
	assert_int_equal(unlink(at(f, "other")), 0);
	wait_changed(f, "other");
}

/* Its own doings come before the mark, so they would have been told of. */
static void keeps_its_own_doings_to_itself(void **state)
{
	struct fixture *f = *state;
	char outside[200];

	assert_int_equal(apply(f, "web", "one", false), 0);
	assert_int_equal(apply(f, "web", "two", true), 0);
	assert_int_equal(apply(f, "web", "two", true), 0);
	assert_int_equal(apply(f, "db", "one", true), 0);
	assert_int_equal(withdraw(f, "web", true), 0);
	assert_int_equal(observe(f, "db", "one"), 0);
	put(f, "mark", "x");
	assert_int_equal(wait_changed(f, "mark"), 0);

	/* One removal of ours hides one event, no more. A file that is moved
	 * in is told of once. */
	put(f, "../outside", "x");
	snprintf(outside, sizeof(outside), "%s/outside", f->top);
	assert_int_equal(rename(outside, at(f, "web")), 0);
	wait_changed(f, "web");
	assert_int_equal(unlink(at(f, "web")), 0);
	wait_changed(f, "web");
}

static void a_root_that_vanishes(void **state)
{
	struct fixture *f = *state;
	struct platform_figures fig;
	char away[200];

	assert_int_equal(apply(f, "web", "one", false), 0);
	snprintf(away, sizeof(away), "%s/away", f->top);
	assert_int_equal(rename(f->root, away), 0);
	wait_changed(f, "");
	assert_int_equal(apply(f, "web", "two", true), -ENOENT);
	assert_true(f->res.retry);
	assert_non_null(strstr(f->message, "cannot be opened"));
	f->p->ops->figures(f->p, &fig);
	assert_false(fig.reachable);
	/* Not: it is gone, so all is well. */
	assert_int_equal(withdraw(f, "web", true), -ENOENT);

	assert_int_equal(mkdir(f->root, 0755), 0);
	wait_changed(f, "");
	assert_int_equal(apply(f, "web", "two", true), 0);
	expect(f, "web", "two", 0644);
	f->p->ops->figures(f->p, &fig);
	assert_true(fig.reachable);
	put(f, "new", "x");
	wait_changed(f, "new");
}

/* A root that was replaced while nobody looked is noticed by the next job. */
static void a_root_that_is_replaced(void **state)
{
	struct fixture *f = *state;
	char away[200];

	snprintf(away, sizeof(away), "%s/away", f->top);
	assert_int_equal(rename(f->root, away), 0);
	assert_int_equal(mkdir(f->root, 0755), 0);
	assert_int_equal(apply(f, "web", "one", true), 0);
	expect(f, "web", "one", 0644);
	put(f, "new", "x");
	wait_changed(f, "new");
}

static void start_cleans_and_locks(void **state)
{
	struct fixture *f = *state;
	struct platform *old = f->p;
	struct err err = ERR_INIT;

	assert_int_equal(start(f, &err), -EBUSY);
	assert_non_null(strstr(err.text, "in use by another agent"));
	assert_ptr_equal(f->p, old);
	f->p->ops->close(f->p);
	f->p = NULL;

	put(f, ".cheops-0123abcd", "half");
	put(f, ".cheops-notes", "someone's");
	assert_int_equal(mkdir(at(f, ".cheops-00000000"), 0755), 0);
	assert_int_equal(start(f, &err), 0);
	assert_false(is_there(f, ".cheops-0123abcd"));
	assert_true(is_there(f, ".cheops-notes"));
	assert_true(is_there(f, ".cheops-00000000"));
}

static void a_root_that_cannot_be(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;

	f->p->ops->close(f->p);
	f->p = NULL;
	strcat(f->root, "/no/such");
	assert_int_equal(start(f, &err), -ENOENT);
	assert_non_null(strstr(err.text, "cannot be made"));
	snprintf(f->root, sizeof(f->root), "%s/file", f->top);
	assert_int_equal(close(creat(f->root, 0600)), 0);
	assert_int_equal(start(f, &err), -ENOTDIR);
	assert_null(f->p);
}

static void close_drops_what_waits(void **state)
{
	struct fixture *f = *state;
	size_t len = 1u << 20;
	char *bytes = malloc(len);

	assert_non_null(bytes);
	memset(bytes, 'x', len);
	for (uint64_t i = 0; i < 50; i++)
		f->p->ops->submit(f->p,
				  &(struct platform_job){.id = i,
							 .verb = PLATFORM_APPLY,
							 .name = "web",
							 .owned = true,
							 .spec = {bytes, len}});
	f->p->ops->close(f->p);
	f->p = NULL;
	free(bytes);
	assert_true(f->n_done <= 50);
}

static size_t files_in(const char *path)
{
	DIR *dir = opendir(path);
	size_t n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2; /* . and .. */
}

/* On a filesystem of 64 KiB, in a mount namespace of this process alone. */
static void a_full_disk_and_a_read_only_one(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	char *big;

	f->p->ops->close(f->p);
	f->p = NULL;
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", f->root, "tmpfs", 0, "size=64k") < 0) {
		print_message("not allowed to mount here\n");
		skip();
	}
	assert_int_equal(start(f, &err), 0);
	big = calloc(1, 100001);
	assert_non_null(big);
	memset(big, 'x', 100000);
	assert_int_equal(apply(f, "web", "small", false), 0);
	assert_int_equal(apply(f, "web", big, true), -ENOSPC);
	free(big);
	assert_true(f->res.retry);
	assert_non_null(strstr(f->message, "web: write: No space left"));
	expect(f, "web", "small", 0644);
	assert_int_equal(files_in(f->root), 1);

	assert_int_equal(
		mount(NULL, f->root, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	assert_int_equal(apply(f, "web", "other", true), -EROFS);
	assert_true(f->res.retry);
	assert_int_equal(withdraw(f, "web", true), -EROFS);
	assert_int_equal(observe(f, "web", "small"), 0);
	assert_true(f->res.healthy);
	expect(f, "web", "small", 0644);
	f->p->ops->close(f->p);
	f->p = NULL;
	assert_int_equal(umount(f->root), 0);
}

static int check(const char *name, const char *spec, struct err *reterr)
{
	return platform_directory_ops.check(ch_str(name), ch_str(spec), reterr);
}

static void checks(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(check("web", "{\"a\": ", &err), 0);
	assert_int_equal(check("web", "a: [", &err), 0);
	assert_int_equal(check("web", "apiVersion: v1\nkind: [", &err),
			 -EINVAL);
	assert_non_null(strstr(err.text, "line"));
	assert_int_equal(check("web", "apiVersion: v1\nkind: A\n", &err), 0);
	assert_int_equal(check("a.yaml", "a: [", &err), -EINVAL);
	assert_int_equal(check("a.yml", "a: [", &err), -EINVAL);
	assert_int_equal(check("a.yml", "a: [1]", &err), 0);
	assert_int_equal(check("a.json", "{\"a\": [1]}", &err), 0);
	assert_int_equal(check("a.json", "{\"a\": 1,}", &err), -EINVAL);
	assert_non_null(strstr(err.text, "line 1, column "));
	assert_int_equal(check("a.json", "{\"a\":\n [}", &err), -EINVAL);
	assert_non_null(strstr(err.text, "line 2, column "));
	assert_int_equal(check("a.json", "a: 1\n", &err), -EINVAL);
	assert_non_null(strstr(err.text, "write JSON"));
	assert_int_equal(check(".json", "x", &err), 0);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(applies_and_replaces),
		TEST(a_secret_is_private),
		TEST(what_is_not_ours_stays),
		TEST(what_was_broken_off_is_ours),
		TEST(only_regular_files),
		TEST(observes),
		TEST(withdraws_what_is_ours),
		TEST(bad_names_lead_nowhere),
		TEST(tells_what_others_change),
		TEST(keeps_its_own_doings_to_itself),
		TEST(a_root_that_vanishes),
		TEST(a_root_that_is_replaced),
		TEST(start_cleans_and_locks),
		TEST(a_root_that_cannot_be),
		TEST(close_drops_what_waits),
		TEST(a_full_disk_and_a_read_only_one),
		cmocka_unit_test(checks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
