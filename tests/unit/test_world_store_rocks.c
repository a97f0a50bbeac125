/*
 * test_world_store_rocks.c -- what only a store on disk can get wrong: two
 * openers, formats, damage, a full disk, a disk that fails to sync.
 *
 * RocksDB has threads for the whole process, which a fork would lose: what
 * needs a process of its own runs this program again (see roles[]). A full
 * disk is a tmpfs in the mount namespace of such a child, gone with it. The
 * disk that fails is strace, which answers one fdatasync for the kernel.
 */
#include "drivers/store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <rocksdb/c.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/store_help.h"

struct fixture {
	char dir[PATH_LEN];
	char db[PATH_LEN + 16];
};

static int fixture_open(void **state)
{
	static struct fixture f;

	scratch_make(f.dir);
	snprintf(f.db, sizeof(f.db), "%s/db", f.dir);
	*state = &f;
	return 0;
}

static int fixture_close(void **state)
{
	struct fixture *f = *state;

	scratch_remove(f->dir);
	return 0;
}

static struct store *open_ok(const char *db)
{
	struct store *s = NULL;
	struct err err = ERR_INIT;
	int r = store_rocks_open(db, &s, &err);

	if (r < 0)
		fail_msg("open: %d: %s", r, err.text);
	return s;
}

static void open_fails(const char *db, int code, const char *words)
{
	struct store *s = NULL;
	struct err err = ERR_INIT;
	int r = store_rocks_open(db, &s, &err);

	if (r != code || !strstr(err.text, words))
		fail_msg("open: %d: %s; want %d: %s", r, err.text, code, words);
	assert_null(strchr(err.text, '\n'));
	assert_null(s);
}

static void file_write(const char *dir, const char *name, const char *text)
{
	char path[2 * PATH_LEN];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* Names, sizes, times and inodes of all that is in @dir, as one number that
 * does not depend on their order. */
static uint64_t dir_digest(const char *dir)
{
	uint64_t sum = 0;
	struct dirent *e;
	struct stat st;
	DIR *d = opendir(dir);

	assert_non_null(d);
	while ((e = readdir(d))) {
		uint64_t one = 1;

		if (strcmp(e->d_name, "..") == 0)
			continue;
		assert_int_equal(
			fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW),
			0);
		for (const char *c = e->d_name; *c; c++)
			one = one * 31 + (unsigned char)*c;
		one = one * 31 + (uint64_t)st.st_size;
		one = one * 31 + (uint64_t)st.st_ino;
		one = one * 31 + (uint64_t)st.st_mtim.tv_sec;
		one = one * 31 + (uint64_t)st.st_mtim.tv_nsec;
		sum += one * one;
	}
	closedir(d);
	return sum;
}

/* --- Processes of their own --- */

static char self[PATH_LEN]; /* This program. */

/* Run this program in @role; what it prints is put in @out. Its exit status,
 * or 128 and the signal that ended it. @wrap: a command before it. */
static int run_role(const char *const *wrap, const char *role, const char *arg1,
		    const char *arg2, char *out, size_t out_len)
{
	const char *argv[16];
	size_t n = 0, len = 0;
	ssize_t got;
	int pipefd[2], status;
	pid_t pid;

	while (wrap && *wrap)
		argv[n++] = *wrap++;
	argv[n++] = self;
	argv[n++] = role;
	argv[n++] = arg1;
	argv[n++] = arg2;
	argv[n] = NULL;
	fflush(NULL);
	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(pipefd[1], STDOUT_FILENO);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(pipefd[1]);
	while (len + 1 < out_len &&
	       (got = read(pipefd[0], out + len, out_len - 1 - len)) > 0)
		len += (size_t)got;
	out[len] = '\0';
	close(pipefd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#define SKIP 77

/* Open the store @db and say what came of it. */
static int role_open(const char *db, const char *unused)
{
	struct err err = ERR_INIT;
	struct store *s;
	int r = store_rocks_open(db, &s, &err);

	(void)unused;
	printf("%d %s\n", r, err.text);
	if (r == 0)
		store_close(s);
	return 0;
}

/*
 * Write to the store @db until a write fails, 500 at most. Prints how many
 * were acknowledged, and the errors of the next write and of the one after.
 */
static int role_write(const char *db, const char *unused)
{
	struct err err = ERR_INIT;
	struct store *s;
	unsigned n = 0;
	int r;

	(void)unused;
	r = store_rocks_open(db, &s, &err);
	if (r < 0) {
		printf("0 %d 0 %s\n", r, err.text);
		return 0;
	}
	while (n < 500 && (r = write_numbered(s, n, VALUE_LEN, &err)) == 0)
		n++;
	printf("%u %d %d %s\n", n, r,
	       r ? write_numbered(s, n + 1, VALUE_LEN, NULL) : 0, err.text);
	r = has_all(s, n, VALUE_LEN) ? 0 : 3;
	store_close(s);
	return r;
}

#define FILLER_KIB 12288 /* More than write buffers hold, and a log. */
#define CROWDED_KIB 131072
#define CROWDED_BYTES (15u << 20)

/* Fill a disk with acknowledged writes, take the filler away, and find them. */
static void full_disk(const char *dir, size_t value_len)
{
	static const char zeros[1 << 16];
	char db[PATH_LEN + 16], filler[PATH_LEN + 16];
	struct err err = ERR_INIT;
	struct store *s;
	unsigned n = 0;
	int fd, r;

	snprintf(db, sizeof(db), "%s/db", dir);
	snprintf(filler, sizeof(filler), "%s/filler", dir);
	fd = open(filler, O_WRONLY | O_CREAT, 0600);
	for (int i = 0; i < FILLER_KIB / 64; i++)
		assert_int_equal(write(fd, zeros, sizeof(zeros)),
				 sizeof(zeros));
	close(fd);

	s = open_ok(db);
	while ((r = write_numbered(s, n, value_len, &err)) == 0)
		n++;
	if (r != -ENOSPC)
		fail_msg("write %u: %d: %s", n, r, err.text);
	assert_non_null(strstr(err.text, "no space"));
	assert_int_equal(write_numbered(s, n + 1, value_len, NULL), -EIO);
	assert_true(has_all(s, n, value_len));
	store_close(s);

	/* Full, it may open or not; whatever it does, it loses nothing. */
	r = store_rocks_open(db, &s, &err);
	if (r == 0) {
		assert_true(has_all(s, n, value_len));
		store_close(s);
	} else if (r != -ENOSPC) {
		fail_msg("open on a full disk: %d: %s", r, err.text);
	}

	assert_int_equal(unlink(filler), 0);
	s = open_ok(db);
	assert_true(has_all(s, n, value_len));
	assert_int_equal(write_numbered(s, n + 1, value_len, NULL), 0);
	store_close(s);
	s = open_ok(db);
	assert_true(has_all(s, n, value_len));
	assert_true(has_numbered(s, n + 1, value_len));
	store_close(s);
}

/*
 * Somebody else fills the disk. Whatever stands in the log by then, the
 * ballast is room enough to open the store again and to go on.
 */
static void crowded_disk(const char *dir, size_t value_len)
{
	static const char zeros[1 << 12];
	char home[PATH_LEN + 16], filler[PATH_LEN + 16];
	struct store_dir *d = NULL;
	struct err err = ERR_INIT;
	struct store *s;
	unsigned n = 0;
	int fd, r;

	snprintf(home, sizeof(home), "%s/home", dir);
	snprintf(filler, sizeof(filler), "%s/filler", dir);
	assert_int_equal(store_dir_open(home, "/cheops", &d, NULL), 0);
	s = open_ok(store_dir_db(d));
	for (; n * value_len < CROWDED_BYTES; n++)
		assert_int_equal(write_numbered(s, n, value_len, NULL), 0);
	fd = open(filler, O_WRONLY | O_CREAT | O_APPEND, 0600);
	while (write(fd, zeros, sizeof(zeros)) == (ssize_t)sizeof(zeros))
		;
	close(fd);
	while ((r = write_numbered(s, n, value_len, &err)) == 0)
		n++;
	assert_int_equal(r, -ENOSPC);
	assert_true(has_all(s, n, value_len));
	store_close(s);

	store_dir_ballast_drop(d);
	s = open_ok(store_dir_db(d));
	assert_true(has_all(s, n, value_len));
	assert_int_equal(write_numbered(s, n + 1, value_len, NULL), 0);
	store_close(s);
	store_dir_close(d);
}

static const char *full_dir;
static size_t full_value_len;

static void full_disk_test(void **state)
{
	(void)state;
	full_disk(full_dir, full_value_len);
}

static void crowded_disk_test(void **state)
{
	(void)state;
	crowded_disk(full_dir, full_value_len);
}

/* Run @test on a disk of @kib, mounted on @dir for this process alone. */
static int on_small_disk(const char *dir, unsigned long kib,
			 CMUnitTestFunction test)
{
	const struct CMUnitTest tests[] = {
		{"on a small disk", test, NULL, NULL, NULL},
	};
	char options[64];

	full_dir = dir;
	snprintf(options, sizeof(options), "size=%luk", kib);
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", dir, "tmpfs", 0, options) < 0)
		return SKIP;
	return cmocka_run_group_tests_name("a small disk", tests, NULL, NULL);
}

/* @spec is KIB:VALUE: room for a store, beside the filler, and the length of
 * the values it takes. */
static int role_full(const char *dir, const char *spec)
{
	char *colon;
	unsigned long kib = strtoul(spec, &colon, 10);

	full_value_len = strtoul(colon + 1, NULL, 10);
	return on_small_disk(dir, kib + FILLER_KIB, full_disk_test);
}

static int role_crowded(const char *dir, const char *value_len)
{
	full_value_len = strtoul(value_len, NULL, 10);
	return on_small_disk(dir, CROWDED_KIB, crowded_disk_test);
}

/* What the program does when its first argument says so. */
static const struct role {
	const char *name;
	int (*run)(const char *arg1, const char *arg2);
} roles[] = {
	{"--open", role_open},
	{"--write", role_write},
	{"--full", role_full},
	{"--crowded", role_crowded},
};

/* --- Tests --- */

static void one_opener_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct store *s = open_ok(f->db);
	char out[1024], want[32];

	put_one(s, COL_SYS, "a", "1");
	open_fails(f->db, -EBUSY, f->db);
	assert_int_equal(run_role(NULL, "--open", f->db, "", out, sizeof(out)),
			 0);
	snprintf(want, sizeof(want), "%d ", -EBUSY);
	assert_memory_equal(out, want, strlen(want));
	get_is(store_reader(s), COL_SYS, "a", "1");
	put_one(s, COL_SYS, "a", "2");
	store_close(s);
	s = open_ok(f->db);
	get_is(store_reader(s), COL_SYS, "a", "2");
	store_close(s);
}

static void a_newer_store_is_left_alone(void **state)
{
	static const char *const newer[] = {"2", "10", "4294967290"};
	struct fixture *f = *state;
	struct store *s = open_ok(f->db);
	char text[64];

	put_one(s, COL_RECORD, "web", "nginx");
	store_close(s);
	for (size_t i = 0; i < 3; i++) {
		uint64_t was;

		snprintf(text, sizeof(text), "cheops store %s\n", newer[i]);
		file_write(f->db, "FORMAT", text);
		was = dir_digest(f->db);
		snprintf(text, sizeof(text),
			 "of format %s, this program "
			 "knows 1: use a newer cheops",
			 newer[i]);
		open_fails(f->db, -EPROTO, text);
		assert_true(dir_digest(f->db) == was);
	}
	file_write(f->db, "FORMAT", "cheops store 1\n");
	s = open_ok(f->db);
	get_is(store_reader(s), COL_RECORD, "web", "nginx");
	store_close(s);
}

static void what_is_not_ours_is_left_alone(void **state)
{
	static const char *const wrong[] = {
		"",
		"cheops store \n",
		"cheops store 0\n",
		"cheops store 1",
		"cheops store 1\n\n",
		"cheops store 99999999999\n",
		"cheops store -1\n",
	};
	struct fixture *f = *state;
	rocksdb_options_t *o;
	rocksdb_t *db;
	char *msg = NULL;
	uint64_t was;

	assert_int_equal(mkdir(f->db, 0700), 0);
	file_write(f->db, "letter.txt", "dear all");
	was = dir_digest(f->db);
	open_fails(f->db, -EPROTO, "not a store of cheops");
	assert_true(dir_digest(f->db) == was);
	scratch_remove(f->db);

	o = rocksdb_options_create();
	rocksdb_options_set_create_if_missing(o, 1);
	db = rocksdb_open(o, f->db, &msg);
	assert_null(msg);
	rocksdb_close(db);
	rocksdb_options_destroy(o);
	was = dir_digest(f->db);
	open_fails(f->db, -EPROTO, "not a store of cheops");
	assert_true(dir_digest(f->db) == was);
	scratch_remove(f->db);

	store_close(open_ok(f->db));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		file_write(f->db, "FORMAT", wrong[i]);
		open_fails(f->db, -EPROTO, "not hold");
	}
}

static void paths_that_cannot_be_are_named(void **state)
{
	struct fixture *f = *state;
	char path[2 * PATH_LEN];

	snprintf(path, sizeof(path), "%s/no/where", f->dir);
	open_fails(path, -ENOENT, path);
	file_write(f->dir, "db", "a file");
	open_fails(f->db, -ENOTDIR, f->db);
	assert_int_equal(unlink(f->db), 0);
}

static void a_start_cut_short_is_begun_again(void **state)
{
	struct fixture *f = *state;
	struct store *s;

	assert_int_equal(mkdir(f->db, 0700), 0);
	store_close(open_ok(f->db));
	scratch_remove(f->db);

	assert_int_equal(mkdir(f->db, 0700), 0);
	file_write(f->db, "FORMAT.new", "cheops st");
	store_close(open_ok(f->db));
	scratch_remove(f->db);

	assert_int_equal(mkdir(f->db, 0700), 0);
	file_write(f->db, "FORMAT", "cheops store 1\n");
	file_write(f->db, "MANIFEST-000001", "");
	s = open_ok(f->db);
	put_one(s, COL_SYS, "a", "1");
	store_close(s);
	s = open_ok(f->db);
	get_is(store_reader(s), COL_SYS, "a", "1");
	store_close(s);
}

static void a_log_flipped_in_the_middle_is_refused(void **state)
{
	struct fixture *f = *state;
	struct store *s = open_ok(f->db);
	char path[2 * PATH_LEN];
	off_t size;

	for (unsigned i = 0; i < 500; i++)
		assert_int_equal(write_numbered(s, i, VALUE_LEN, NULL), 0);
	store_close(s);
	find_file(f->db, ".log", path, &size);
	flip_bit(path, 500 * (off_t)VALUE_LEN / 2);
	open_fails(f->db, -EUCLEAN, "is damaged");
	open_fails(f->db, -EUCLEAN, "nothing of it was given up");
	/* Mended, all is there: refusing it has cost nothing. */
	flip_bit(path, 500 * (off_t)VALUE_LEN / 2);
	s = open_ok(f->db);
	assert_true(has_all(s, 500, VALUE_LEN));
	store_close(s);
}

static void a_log_torn_at_its_end_opens(void **state)
{
	struct fixture *f = *state;
	struct store *s = open_ok(f->db);
	char path[2 * PATH_LEN];
	off_t size;

	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(write_numbered(s, i, VALUE_LEN, NULL), 0);
	store_close(s);
	find_file(f->db, ".log", path, &size);
	assert_int_equal(truncate(path, size - 10), 0);
	s = open_ok(f->db);
	assert_true(has_all(s, 99, VALUE_LEN));
	assert_false(has_numbered(s, 99, VALUE_LEN));
	store_close(s);
}

/* A scan that meets a bad block must not look like one that is done. */
static void a_scan_over_damage_fails(void **state)
{
	struct fixture *f = *state;
	struct store *s = open_ok(f->db);
	const struct ch_reader *r;
	struct strbuf sb = STRBUF_INIT;
	char path[2 * PATH_LEN], key[16];
	unsigned bad = 0;
	size_t seen = 0;
	off_t size;

	/* More than the write buffers hold, so that there are tables. */
	for (unsigned i = 0; i < 6000; i++)
		assert_int_equal(write_numbered(s, i, VALUE_LEN, NULL), 0);
	store_close(s);
	find_file(f->db, ".sst", path, &size);
	flip_bit(path, size / 2);

	s = open_ok(f->db);
	r = store_reader(s);
	assert_int_equal(r->scan(r, COL_RECORD, bytes(NULL, 0), bytes(NULL, 0),
				 scan_count, &seen),
			 -EIO);
	assert_true(seen < 6000);
	for (unsigned i = 0; i < 6000; i++) {
		int ret;

		snprintf(key, sizeof(key), "%08u", i);
		ret = r->get(r, COL_RECORD, ch_str(key), &sb);
		assert_true(ret == 0 || ret == -EIO);
		bad += ret != 0;
	}
	assert_true(bad > 0);
	assert_true(bad < 100);
	strbuf_release(&sb);
	store_close(s);

	assert_int_equal(truncate(path, size / 2), 0);
	open_fails(f->db, -EUCLEAN, "is damaged");
	assert_int_equal(unlink(path), 0);
	open_fails(f->db, -EUCLEAN, "is damaged");
}

static void a_store_without_a_beginning_is_refused(void **state)
{
	struct fixture *f = *state;
	struct store *s = open_ok(f->db);
	char path[2 * PATH_LEN];
	uint64_t was;

	put_one(s, COL_SYS, "a", "1");
	store_close(s);
	snprintf(path, sizeof(path), "%s/CURRENT", f->db);
	assert_int_equal(unlink(path), 0);
	was = dir_digest(f->db);
	open_fails(f->db, -EUCLEAN, "CURRENT is missing");
	assert_true(dir_digest(f->db) == was);
}

/* Nor does what is made anew at each start pile up. */
static void nothing_is_logged(void **state)
{
	struct fixture *f = *state;
	struct dirent *e;
	unsigned n = 0;
	DIR *d;

	for (int i = 0; i < 5; i++) {
		struct store *s = open_ok(f->db);

		put_one(s, COL_SYS, "a", "1");
		store_close(s);
	}
	d = opendir(f->db);
	assert_non_null(d);
	while ((e = readdir(d))) {
		struct stat st;

		assert_int_equal(fstatat(dirfd(d), e->d_name, &st, 0), 0);
		if (strncmp(e->d_name, "LOG", 3) == 0)
			assert_int_equal(st.st_size, 0);
		assert_null(strstr(e->d_name, "tmp"));
		n++;
	}
	closedir(d);
	assert_true(n < 20);
}

/* Run a role that mounts a small disk, and must end well. */
static void small_disk(const struct fixture *f, const char *role,
		       const char *arg)
{
	char out[4096];
	int r = run_role(NULL, role, f->dir, arg, out, sizeof(out));

	if (r == SKIP) {
		print_message("skipped: only root can mount a small disk\n");
		skip();
	}
	if (r != 0)
		fail_msg("%s %s: status %d:\n%s", role, arg, r, out);
}

static void a_full_disk_says_so_and_loses_nothing(void **state)
{
	struct fixture *f = *state;
	char spec[32];

	for (unsigned kib = 2000; kib <= 12000; kib += 1250) {
		for (unsigned len = VALUE_LEN; len < 100000; len += 60000) {
			snprintf(spec, sizeof(spec), "%u:%u", kib, len);
			small_disk(f, "--full", spec);
		}
	}
}

static void the_ballast_is_room_to_open_again(void **state)
{
	struct fixture *f = *state;

	small_disk(f, "--crowded", "1000");
	small_disk(f, "--crowded", "20000");
	small_disk(f, "--crowded", "262144");
}

static void a_failed_sync_loses_nothing(void **state)
{
	struct fixture *f = *state;
	unsigned failed_writes = 0;
	char inject[64], out[4096];

	/* LeakSanitizer cannot work below strace. */
	setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	for (unsigned when = 1; when < 60; when += when < 12 ? 1 : 13) {
		const char *const wrap[] = {"strace",
					    "-f",
					    "-qq",
					    "-o",
					    "/dev/null",
					    "-e",
					    "trace=fdatasync",
					    "-e",
					    inject,
					    NULL};
		unsigned n = 0;
		int first = 0, second = 0, r;
		struct store *s;

		snprintf(inject, sizeof(inject),
			 "inject=fdatasync:error=EIO:when=%u", when);
		r = run_role(wrap, "--write", f->db, "", out, sizeof(out));
		if (r == 127 || r == 1) {
			print_message("skipped: strace cannot trace here\n");
			skip();
		}
		assert_int_equal(r, 0);
		assert_int_equal(sscanf(out, "%u %d %d", &n, &first, &second),
				 3);
		if (first != 0)
			assert_int_equal(first, -EIO);
		if (n > 0 && first != 0) {
			assert_int_equal(second, -EIO);
			failed_writes++;
		}
		s = open_ok(f->db);
		assert_true(has_all(s, n, VALUE_LEN));
		assert_int_equal(write_numbered(s, 501, VALUE_LEN, NULL), 0);
		store_close(s);
		scratch_remove(f->db);
	}
	unsetenv("ASAN_OPTIONS");
	assert_true(failed_writes > 2);
}

#define ON_DISK(fn) \
	cmocka_unit_test_setup_teardown(fn, fixture_open, fixture_close)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		ON_DISK(one_opener_at_a_time),
		ON_DISK(a_newer_store_is_left_alone),
		ON_DISK(what_is_not_ours_is_left_alone),
		ON_DISK(paths_that_cannot_be_are_named),
		ON_DISK(a_start_cut_short_is_begun_again),
		ON_DISK(a_log_flipped_in_the_middle_is_refused),
		ON_DISK(a_log_torn_at_its_end_opens),
		ON_DISK(a_scan_over_damage_fails),
		ON_DISK(a_store_without_a_beginning_is_refused),
		ON_DISK(nothing_is_logged),
		ON_DISK(a_full_disk_says_so_and_loses_nothing),
		ON_DISK(the_ballast_is_room_to_open_again),
		ON_DISK(a_failed_sync_loses_nothing),
	};

	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	for (size_t i = 0; argc > 3 && i < sizeof(roles) / sizeof(roles[0]);
	     i++)
		if (strcmp(argv[1], roles[i].name) == 0)
			return roles[i].run(argv[2], argv[3]);
	return cmocka_run_group_tests_name("store on disk", tests, NULL, NULL);
}
