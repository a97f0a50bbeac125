/*
 * test_world_store_dir.c -- the directory of a site: lock, ballast, room.
 *
 * What depends on the size of a disk runs on a tmpfs of that size, in a
 * mount namespace of a child: it is gone with the child.
 */
#include "drivers/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "tests/unit/store_help.h"

#define MIB (1u << 20)

struct fixture {
	char scratch[PATH_LEN];
	char path[PATH_LEN + 16];
};

static int fixture_open(void **state)
{
	static struct fixture f;

	scratch_make(f.scratch);
	snprintf(f.path, sizeof(f.path), "%s/store", f.scratch);
	*state = &f;
	return 0;
}

static int fixture_close(void **state)
{
	struct fixture *f = *state;

	scratch_remove(f->scratch);
	return 0;
}

static struct store_dir *open_ok(const char *path)
{
	struct store_dir *d = NULL;
	struct err err = ERR_INIT;
	int r = store_dir_open(path, "/cheops", &d, &err);

	if (r < 0)
		fail_msg("open: %d: %s", r, err.text);
	return d;
}

/* The file @name in @dir; zeros where there is none. */
static struct stat stat_of(const char *dir, const char *name)
{
	char path[2 * PATH_LEN];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (stat(path, &st) < 0)
		memset(&st, 0, sizeof(st));
	return st;
}

static void is_made_for_its_owner_alone(void **state)
{
	struct fixture *f = *state;
	struct store_dir *d;
	char want[2 * PATH_LEN];

	d = open_ok(f->path);
	snprintf(want, sizeof(want), "%s/db", f->path);
	assert_string_equal(store_dir_db(d), want);
	assert_int_equal(stat_of(f->path, "").st_mode & 07777, 0700);
	assert_int_equal(stat_of(f->path, "lock").st_mode & 07777, 0600);
	assert_int_equal(stat_of(f->path, "db").st_ino, 0);
	store_dir_close(d);

	assert_int_equal(chmod(f->path, 0755), 0);
	store_dir_close(open_ok(f->path));
	assert_int_equal(stat_of(f->path, "").st_mode & 07777, 0700);
	store_dir_close(NULL);
}

static void anothers_is_refused(void **state)
{
	struct fixture *f = *state;
	struct store_dir *d = NULL;
	struct err err = ERR_INIT;

	if (geteuid() != 0) {
		print_message("skipped: only root can give files away\n");
		skip();
	}
	store_dir_close(open_ok(f->path));
	assert_int_equal(chown(f->path, 12345, 12345), 0);
	assert_int_equal(store_dir_open(f->path, "/cheops", &d, &err), -EPERM);
	assert_non_null(strstr(err.text, "belongs to user 12345"));
	assert_null(d);
}

static void what_cannot_be_made_is_named(void **state)
{
	struct fixture *f = *state;
	struct store_dir *d = NULL;
	struct err err = ERR_INIT;
	char path[2 * PATH_LEN];

	snprintf(path, sizeof(path), "%s/no/where", f->scratch);
	assert_int_equal(store_dir_open(path, "/cheops", &d, &err), -ENOENT);
	assert_non_null(strstr(err.text, path));
}

static void the_lock_names_its_holder(void **state)
{
	struct fixture *f = *state;
	struct store_dir *d = NULL, *first;
	struct err err = ERR_INIT;
	char want[64], path[2 * PATH_LEN], text[64] = "";
	FILE *file;

	first = open_ok(f->path);
	snprintf(path, sizeof(path), "%s/lock", f->path);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_non_null(fgets(text, sizeof(text), file));
	fclose(file);
	snprintf(want, sizeof(want), "%ld /cheops\n", (long)getpid());
	assert_string_equal(text, want);

	assert_int_equal(store_dir_open(f->path, "/other", &d, &err), -EBUSY);
	snprintf(want, sizeof(want), "process %ld, mounted at /cheops",
		 (long)getpid());
	assert_non_null(strstr(err.text, want));
	assert_null(d);

	/* The refused one has taken nothing. */
	assert_int_equal(store_dir_open(f->path, "/other", &d, &err), -EBUSY);
	store_dir_close(first);
	store_dir_close(open_ok(f->path));
}

static void a_holder_without_a_line_is_refused_too(void **state)
{
	struct fixture *f = *state;
	struct store_dir *d = NULL, *first;
	struct err err = ERR_INIT;
	char path[2 * PATH_LEN];

	first = open_ok(f->path);
	snprintf(path, sizeof(path), "%s/lock", f->path);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(store_dir_open(f->path, "/other", &d, &err), -EBUSY);
	assert_non_null(strstr(err.text, "another process"));
	store_dir_close(first);
}

/* A child that holds the store until it is killed. */
static pid_t hold(const char *path)
{
	int ready[2];
	char c = 0;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct store_dir *d;

		close(ready[0]);
		if (store_dir_open(path, "/child", &d, NULL) < 0)
			_exit(1);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

static void the_lock_ends_with_its_holder(void **state)
{
	struct fixture *f = *state;
	struct store_dir *d = NULL;
	struct err err = ERR_INIT;
	char want[64];
	pid_t pid;

	pid = hold(f->path);
	assert_int_equal(store_dir_open(f->path, "/here", &d, &err), -EBUSY);
	snprintf(want, sizeof(want), "process %ld, mounted at /child",
		 (long)pid);
	assert_non_null(strstr(err.text, want));
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	/* A longer line than the new one stood there. */
	store_dir_close(open_ok(f->path));
}

static void ballast_gives_and_takes(void **state)
{
	struct fixture *f = *state;
	struct store_dir *d;
	uint64_t free_bytes, total_bytes, want;
	struct stat st;

	d = open_ok(f->path);
	store_dir_bytes(d, &free_bytes, &total_bytes);
	assert_true(total_bytes > 0);
	assert_true(free_bytes <= total_bytes);
	want = total_bytes / 20 < 64 * MIB ? total_bytes / 20 : 64 * MIB;
	assert_int_equal(store_dir_ballast_make(d), 0);
	st = stat_of(f->path, "ballast");
	assert_int_equal(st.st_size, want);
	assert_true((uint64_t)st.st_blocks * 512 >= want);

	store_dir_ballast_drop(d);
	store_dir_ballast_drop(d);
	assert_int_equal(stat_of(f->path, "ballast").st_ino, 0);
	assert_int_equal(store_dir_ballast_make(d), 0);
	assert_int_equal(store_dir_ballast_make(d), 0);
	assert_int_equal(stat_of(f->path, "ballast").st_size, want);
	assert_int_equal(store_dir_probe(d), 0);
	assert_int_equal(store_dir_probe(d), 0);
	assert_int_equal(stat_of(f->path, ".probe").st_ino, 0);
	store_dir_close(d);
}

/* Take all that is free of the disk that @path is on. */
static void fill(const char *path)
{
	static const char zeros[4096];
	char name[2 * PATH_LEN];
	int fd;

	snprintf(name, sizeof(name), "%s/filler", path);
	fd = open(name, O_WRONLY | O_CREAT | O_APPEND, 0600);
	assert_true(fd >= 0);
	while (write(fd, zeros, sizeof(zeros)) == (ssize_t)sizeof(zeros))
		;
	assert_int_equal(errno, ENOSPC);
	close(fd);
}

static void on_a_disk_of_40_MiB(const char *disk)
{
	char path[PATH_LEN + 16], filler[PATH_LEN + 16];
	struct store_dir *d;

	snprintf(path, sizeof(path), "%s/store", disk);
	snprintf(filler, sizeof(filler), "%s/filler", disk);
	d = open_ok(path);
	assert_int_equal(stat_of(path, "ballast").st_size, 2 * MIB);
	assert_int_equal(store_dir_space(d), STORE_SPACE_OK);
	assert_int_equal(store_dir_probe(d), 0);

	fill(disk);
	assert_int_equal(store_dir_space(d), STORE_SPACE_LOW);
	assert_int_equal(store_dir_probe(d), -ENOSPC);
	assert_int_equal(store_dir_ballast_make(d), 0);

	/* What the ballast gave is not for users. */
	store_dir_ballast_drop(d);
	assert_int_equal(store_dir_probe(d), 0);
	assert_int_equal(store_dir_space(d), STORE_SPACE_LOW);

	/* Taken: there is no other, nor a part of one; yet it opens. */
	fill(disk);
	assert_int_equal(store_dir_ballast_make(d), -ENOSPC);
	assert_int_equal(stat_of(path, "ballast").st_ino, 0);
	store_dir_close(d);
	d = open_ok(path);
	assert_int_equal(stat_of(path, "ballast").st_ino, 0);

	assert_int_equal(unlink(filler), 0);
	assert_int_equal(store_dir_ballast_make(d), 0);
	assert_int_equal(store_dir_space(d), STORE_SPACE_OK);
	store_dir_close(d);
}

/* The child's assertions are its own; its exit status says how they went. */
static void small_disk_child(void **state)
{
	struct fixture *f = *state;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", f->scratch, "tmpfs", 0, "size=40m,mode=0700") < 0)
		fail_msg("mount a tmpfs: %s", strerror(errno));
	on_a_disk_of_40_MiB(f->scratch);
}

static void room_is_known(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		const struct CMUnitTest tests[] = {
			cmocka_unit_test_prestate(small_disk_child, f),
		};

		if (unshare(CLONE_NEWNS) < 0)
			_exit(77);
		_exit(cmocka_run_group_tests_name("a small disk", tests, NULL,
						  NULL) != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("skipped: only root can mount a small disk\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define WITH_DIR(fn) \
	cmocka_unit_test_setup_teardown(fn, fixture_open, fixture_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(is_made_for_its_owner_alone),
		WITH_DIR(anothers_is_refused),
		WITH_DIR(what_cannot_be_made_is_named),
		WITH_DIR(the_lock_names_its_holder),
		WITH_DIR(a_holder_without_a_line_is_refused_too),
		WITH_DIR(the_lock_ends_with_its_holder),
		WITH_DIR(ballast_gives_and_takes),
		WITH_DIR(room_is_known),
	};

	return cmocka_run_group_tests_name("store directory", tests, NULL,
					   NULL);
}
