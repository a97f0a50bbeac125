/*
 * rocksdb_setup.c -- how our databases are laid out, marked and tuned.
 *
 * A column is a column family. Beside RocksDB's files stands FORMAT, a line
 * "cheops store N": it is there before the first of them is, and is read
 * before RocksDB is let near, so a database that is newer, or not ours, is
 * refused as it is, even where this RocksDB could not read it.
 */
#include "drivers/store/rocksdb_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/check.h"

#define FORMAT_FILE "FORMAT"
#define FORMAT_FRESH "FORMAT.new"
#define FORMAT_WORDS "cheops store "

/*
 * Beyond any level that RocksDB has, so that not a byte is logged: on a full
 * disk its logger trips over an assertion that Debian left on, and takes the
 * process with it. RocksDB cannot write such a level into its OPTIONS files,
 * which it can do without, and leaves the attempts: rocks_path_tidy().
 */
#define INFO_LOG_NONE 6

#define BLOCK_CACHE_BYTES (8u << 20)
#define BLOCK_BYTES (4u << 10)
#define BODY_BLOCK_BYTES (64u << 10)
#define FILTER_BITS 10.0

/* These names are on disk. */
const char *const rocks_family_names[FAMILY_N] = {
	[COL_SYS] = "sys",       [COL_RECORD] = "record",
	[COL_REPORT] = "report", [COL_BODY] = "body",
	[COL_REF] = "ref",       [COL_OUT] = "out",
	[COL_PEER] = "peer",     [COL_SITE] = "site",
	[COL_JOB] = "job",       [COL_TRASH] = "trash",
	[COL_CERT] = "cert",     [COL_KEPT_N] = "default",
};

/*
 * Measured for little memory and a quick start: write-ahead logs are short
 * (they are replayed at each start), write buffers small, caches shared.
 * wal_recovery_mode: a log that is damaged before its end is refused; the
 * default would open without a word and without half of what it held.
 * recycle_log_file_num above 0 replays stale records in this version.
 * max_bgerror_resume_count 0: a store that failed is opened anew, by us.
 */
static const char db_options[] =
	"wal_recovery_mode=kTolerateCorruptedTailRecords;"
	"max_total_wal_size=16M;db_write_buffer_size=8M;"
	"max_open_files=128;max_background_jobs=2;"
	"recycle_log_file_num=0;atomic_flush=false;"
	"max_bgerror_resume_count=0;keep_log_file_num=1;"
	"max_manifest_file_size=4M;"
	"stats_dump_period_sec=0;stats_persist_period_sec=0;"
	"skip_stats_update_on_db_open=true";

static const char family_options[] =
	"write_buffer_size=2M;max_write_buffer_number=2;"
	"arena_block_size=64K;"
	"target_file_size_base=8M;max_bytes_for_level_base=32M;"
	"level_compaction_dynamic_level_bytes=true;"
	"compression=kLZ4Compression;"
	"paranoid_file_checks=true;memtable_protection_bytes_per_key=8";

/* A body comes in chunks of 256 KiB, and is read whole or not at all. */
static const char body_options[] =
	"write_buffer_size=4M;arena_block_size=512K;"
	"target_file_size_base=32M;max_bytes_for_level_base=128M;"
	"bottommost_compression=kZSTD;"
	"memtable_prefix_bloom_size_ratio=0.02;memtable_whole_key_filtering=true";

static bool has(const char *msg, const char *words)
{
	return strstr(msg, words) != NULL;
}

static int errno_of(const char *msg)
{
	if (has(msg, "No space left") || has(msg, "Disk quota exceeded"))
		return -ENOSPC;
	if (has(msg, "While lock file") ||
	    has(msg, "lock hold by current process"))
		return -EBUSY;
	return strncmp(msg, "Corruption", strlen("Corruption")) == 0 ? -EUCLEAN
								     : -EIO;
}

int rocks_error(struct err *reterr, char *msg, const char *what,
		const char *path)
{
	int code = errno_of(msg);

	for (char *c = msg; *c; c++)
		if (*c == '\n')
			*c = ' ';
	switch (code) {
	case -ENOSPC:
		err_set(reterr, code,
			"%s: no space on the disk of '%s': free some", what,
			path);
		break;
	case -EBUSY:
		err_set(reterr, code, "%s: another process has '%s' open", what,
			path);
		break;
	case -EUCLEAN:
		err_set(reterr, code,
			"%s: '%s' is damaged, and nothing of it was given up "
			"(RocksDB: %s)",
			what, path, msg);
		break;
	default:
		err_set(reterr, code, "%s '%s': RocksDB: %s", what, path, msg);
	}
	rocksdb_free(msg);
	return code;
}

/* Set what @text says in *@o, which is replaced. */
static int options_parse(rocksdb_options_t **o, const char *text,
			 struct err *reterr)
{
	rocksdb_options_t *fresh = rocksdb_options_create();
	char *msg = NULL;

	rocksdb_get_options_from_string(*o, text, fresh, &msg);
	if (msg) {
		rocksdb_options_destroy(fresh);
		return rocks_error(reterr, msg, "set options of", "the store");
	}
	rocksdb_options_destroy(*o);
	*o = fresh;
	return 0;
}

static void options_set_table(rocksdb_options_t *o, rocksdb_cache_t *cache,
			      size_t block_bytes)
{
	rocksdb_block_based_table_options_t *t =
		rocksdb_block_based_options_create();

	rocksdb_block_based_options_set_block_cache(t, cache);
	rocksdb_block_based_options_set_block_size(t, block_bytes);
	rocksdb_block_based_options_set_format_version(t, 5);
	rocksdb_block_based_options_set_cache_index_and_filter_blocks(t, 1);
	rocksdb_block_based_options_set_index_type(
		t, rocksdb_block_based_table_index_type_two_level_index_search);
	rocksdb_block_based_options_set_partition_filters(t, 1);
	rocksdb_block_based_options_set_metadata_block_size(t, 4096);
	rocksdb_block_based_options_set_pin_top_level_index_and_filter(t, 1);
	/* The table options own the policy from here on. */
	rocksdb_block_based_options_set_filter_policy(
		t, rocksdb_filterpolicy_create_ribbon(FILTER_BITS));
	rocksdb_options_set_block_based_table_factory(o, t);
	rocksdb_block_based_options_destroy(t);
}

int rocks_setup_init(struct rocks_setup *rs, enum rocks_open_how how,
		     struct err *reterr)
{
	int r;

	memset(rs, 0, sizeof(*rs));
	rs->cache = rocksdb_cache_create_lru(BLOCK_CACHE_BYTES);
	rs->db = rocksdb_options_create();
	r = options_parse(&rs->db, db_options, reterr);
	if (r == 0 && how == ROCKS_UP_TO_DAMAGE)
		r = options_parse(&rs->db,
				  "wal_recovery_mode=kPointInTimeRecovery",
				  reterr);
	if (r < 0)
		return r;
	rocksdb_options_set_create_if_missing(rs->db, 1);
	rocksdb_options_set_create_missing_column_families(rs->db, 1);
	rocksdb_options_set_info_log_level(rs->db, INFO_LOG_NONE);

	for (size_t i = 0; i < FAMILY_N; i++) {
		rocksdb_options_t **o = &rs->families[i];

		*o = rocksdb_options_create();
		r = options_parse(o, family_options, reterr);
		if (r == 0 && how == ROCKS_REPAIRED)
			r = options_parse(o, "force_consistency_checks=false",
					  reterr);
		if (r == 0 && i == COL_BODY)
			r = options_parse(o, body_options, reterr);
		if (r < 0)
			return r;
		options_set_table(*o, rs->cache,
				  i == COL_BODY ? BODY_BLOCK_BYTES
						: BLOCK_BYTES);
	}
	return 0;
}

void rocks_setup_release(struct rocks_setup *rs)
{
	for (size_t i = 0; i < FAMILY_N; i++)
		if (rs->families[i])
			rocksdb_options_destroy(rs->families[i]);
	if (rs->db)
		rocksdb_options_destroy(rs->db);
	if (rs->cache)
		rocksdb_cache_destroy(rs->cache);
	memset(rs, 0, sizeof(*rs));
}

/* What stands in the directory of a database. */
struct inventory {
	bool format;  /* Our mark. */
	bool current; /* Where RocksDB starts to read. */
	bool data;    /* Tables and logs. */
	bool other;
};

static bool ends_in(const char *s, const char *end)
{
	size_t len = strlen(s), end_len = strlen(end);

	return len >= end_len && strcmp(s + len - end_len, end) == 0;
}

static void inventory_add(struct inventory *inv, const char *name)
{
	if (strcmp(name, FORMAT_FILE) == 0)
		inv->format = true;
	else if (strcmp(name, "CURRENT") == 0)
		inv->current = true;
	else if (ends_in(name, ".sst") || ends_in(name, ".log"))
		inv->data = true;
	else if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
		 strcmp(name, FORMAT_FRESH) != 0 &&
		 strcmp(name, "lost+found") != 0)
		inv->other = true;
}

static int inventory_take(int dirfd, struct inventory *ret_inv)
{
	struct inventory inv = {0};
	struct dirent *e;
	DIR *dir;
	int fd, r;

	/* A description of its own: reading moves its offset. */
	fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		close(fd);
		return r;
	}
	errno = 0;
	while ((e = readdir(dir)))
		inventory_add(&inv, e->d_name);
	r = -errno;
	closedir(dir);
	if (r == 0)
		*ret_inv = inv;
	return r;
}

/* 0 and the number, or -EPROTO when @text is not a mark of ours. */
static int format_parse(const char *text, uint32_t *ret_format)
{
	uint64_t n = 0;

	if (strncmp(text, FORMAT_WORDS, strlen(FORMAT_WORDS)) != 0)
		return -EPROTO;
	text += strlen(FORMAT_WORDS);
	if (*text < '1' || *text > '9')
		return -EPROTO;
	for (; *text >= '0' && *text <= '9'; text++) {
		n = n * 10 + (uint64_t)(*text - '0');
		if (n > UINT32_MAX)
			return -EPROTO;
	}
	if (strcmp(text, "\n") != 0)
		return -EPROTO;
	*ret_format = (uint32_t)n;
	return 0;
}

static int format_check(int dirfd, const char *path, struct err *reterr)
{
	char text[64];
	uint32_t format;
	ssize_t len;
	int fd, r;

	fd = openat(dirfd, FORMAT_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_set(reterr, -errno, "open '%s/%s': %s", path,
			       FORMAT_FILE, strerror(errno));
	len = read(fd, text, sizeof(text) - 1);
	r = len < 0 ? -errno : 0;
	close(fd);
	if (r < 0)
		return err_set(reterr, r, "read '%s/%s': %s", path, FORMAT_FILE,
			       strerror(-r));
	text[len] = '\0';

	if (format_parse(text, &format) < 0)
		return err_set(
			reterr, -EPROTO,
			"'%s/%s' does not hold '%s%d': it is not a store "
			"of cheops, or damaged; nothing was changed",
			path, FORMAT_FILE, FORMAT_WORDS, STORE_FORMAT);
	if (format != STORE_FORMAT)
		return err_set(reterr, -EPROTO,
			       "store '%s' is of format %" PRIu32
			       ", this program knows %d: use a newer cheops; "
			       "nothing was changed",
			       path, format, STORE_FORMAT);
	return 0;
}

static int format_write_fresh(int dirfd)
{
	char text[64];
	int fd, len, r = 0;

	len = snprintf(text, sizeof(text), "%s%d\n", FORMAT_WORDS,
		       STORE_FORMAT);
	CHECK(len > 0);
	fd = openat(dirfd, FORMAT_FRESH,
		    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		    0600);
	if (fd < 0)
		return -errno;
	/* A disk that is full writes a part, and would say so the next time. */
	errno = ENOSPC;
	if (write(fd, text, (size_t)len) != len || fsync(fd) < 0)
		r = -errno;
	close(fd);
	return r;
}

/* The mark stands whole and durable before RocksDB makes its first file. */
static int format_write(int dirfd, const char *path, struct err *reterr)
{
	int r = format_write_fresh(dirfd);

	if (r == 0 && (renameat(dirfd, FORMAT_FRESH, dirfd, FORMAT_FILE) < 0 ||
		       fsync(dirfd) < 0))
		r = -errno;
	if (r < 0)
		return err_set(reterr, r, "write '%s/%s': %s", path,
			       FORMAT_FILE, strerror(-r));
	return 0;
}

static int inventory_check(const struct inventory *inv, const char *path,
			   struct err *reterr)
{
	if (inv->format && inv->data && !inv->current)
		return err_set(
			reterr, -EUCLEAN,
			"store '%s' is damaged: its file CURRENT is missing; "
			"nothing was changed",
			path);
	if (!inv->format && (inv->current || inv->data || inv->other))
		return err_set(reterr, -EPROTO,
			       "'%s' is not empty and not a store of cheops: "
			       "name another directory; nothing was changed",
			       path);
	return 0;
}

/* A directory that was just made is there after a crash, too. */
static int parent_sync(int dirfd)
{
	int fd, r = 0;

	fd = openat(dirfd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int prepare_at(int dirfd, const char *path, struct err *reterr)
{
	struct inventory inv = {0};
	int r;

	r = inventory_take(dirfd, &inv);
	if (r < 0)
		return err_set(reterr, r, "list '%s': %s", path, strerror(-r));
	r = inventory_check(&inv, path, reterr);
	if (r < 0)
		return r;
	if (inv.format)
		return format_check(dirfd, path, reterr);
	r = parent_sync(dirfd);
	if (r < 0)
		return err_set(reterr, r, "sync the directory of '%s': %s",
			       path, strerror(-r));
	return format_write(dirfd, path, reterr);
}

int rocks_path_prepare(const char *path, struct err *reterr)
{
	int fd, r;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_set(reterr, -errno, "make the directory '%s': %s",
			       path, strerror(errno));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(reterr, -errno, "open the directory '%s': %s",
			       path, strerror(errno));
	r = prepare_at(fd, path, reterr);
	close(fd);
	return r;
}

void rocks_path_tidy(const char *path)
{
	struct dirent *e;
	DIR *dir;

	dir = opendir(path);
	if (!dir)
		return;
	while ((e = readdir(dir)))
		if (strncmp(e->d_name, "OPTIONS-", strlen("OPTIONS-")) == 0 &&
		    ends_in(e->d_name, ".dbtmp"))
			(void)unlinkat(dirfd(dir), e->d_name, 0);
	closedir(dir);
}

uint64_t rocks_path_bytes(const char *path)
{
	uint64_t sum = 0;
	struct dirent *e;
	struct stat st;
	DIR *dir;

	dir = opendir(path);
	if (!dir)
		return 0;
	/* RocksDB may delete a file between its name and its size. */
	while ((e = readdir(dir)))
		if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) ==
			    0 &&
		    S_ISREG(st.st_mode))
			sum += (uint64_t)st.st_blocks * 512;
	closedir(dir);
	return sum;
}
