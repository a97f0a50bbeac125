/* store_help.h -- what the tests of the stores share: one-line writes and
 * reads that must work, and a directory that is gone afterwards. */
#ifndef CHEOPS_TESTS_UNIT_STORE_HELP_H
#define CHEOPS_TESTS_UNIT_STORE_HELP_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "drivers/store/store.h"

#define PATH_LEN 256

/* A fresh directory under TMPDIR. */
static inline void scratch_make(char path[PATH_LEN])
{
	const char *tmp = getenv("TMPDIR");

	snprintf(path, PATH_LEN, "%s/cheops-test-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(path));
}

static inline int scratch_remove_one(const char *path, const struct stat *st,
				     int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void scratch_remove(const char *path)
{
	assert_int_equal(nftw(path, scratch_remove_one, 16,
			      FTW_DEPTH | FTW_PHYS | FTW_MOUNT),
			 0);
}

static inline struct ch_bytes bytes(const void *p, size_t len)
{
	return (struct ch_bytes){p, len};
}

/* Commit a batch that must be taken, and empty it. */
static inline void commit_ok(struct store *s, struct ch_batch *b, bool sync)
{
	struct err err = ERR_INIT;
	int r = store_commit(s, b, sync, &err);

	if (r < 0)
		fail_msg("commit: %d: %s", r, err.text);
	batch_reset(b);
}

static inline void put_one(struct store *s, enum ch_col col, const char *key,
			   const char *value)
{
	struct ch_batch b;

	batch_init(&b);
	batch_put(&b, col, ch_str(key), ch_str(value));
	commit_ok(s, &b, true);
	batch_release(&b);
}

/* @value NULL: there must be none. */
static inline void get_is(const struct ch_reader *r, enum ch_col col,
			  const char *key, const char *value)
{
	struct strbuf sb = STRBUF_INIT;
	int ret = r->get(r, col, ch_str(key), &sb);

	if (value) {
		assert_int_equal(ret, 0);
		assert_string_equal(sb.buf, value);
	} else {
		assert_int_equal(ret, -ENOENT);
	}
	strbuf_release(&sb);
}

/* A scan that writes what it sees as "key=value ". */
static inline int scan_text(void *arg, struct ch_bytes key,
			    struct ch_bytes value)
{
	struct strbuf *sb = arg;

	strbuf_add(sb, key.p, key.len);
	strbuf_add_char(sb, '=');
	strbuf_add(sb, value.p, value.len);
	strbuf_add_char(sb, ' ');
	return 0;
}

static inline void scan_is(const struct ch_reader *r, enum ch_col col,
			   const char *prefix, const char *from,
			   const char *text)
{
	struct strbuf sb = STRBUF_INIT;

	assert_int_equal(
		r->scan(r, col, ch_str(prefix), ch_str(from), scan_text, &sb),
		0);
	assert_string_equal(sb.buf, text);
	strbuf_release(&sb);
}

static inline int scan_count(void *arg, struct ch_bytes key,
			     struct ch_bytes value)
{
	(void)key;
	(void)value;
	++*(size_t *)arg;
	return 0;
}

static inline size_t count(const struct ch_reader *r, enum ch_col col)
{
	size_t n = 0;

	assert_int_equal(
		r->scan(r, col, ch_str(""), ch_str(""), scan_count, &n), 0);
	return n;
}

/* Not for secrets: the same numbers for the same seed. */
static inline uint32_t draw(uint64_t *seed, uint32_t below)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 33) % below;
}

#define VALUE_LEN 1000u

/* Numbered writes, each synced: the acknowledged ones must be found again. */
static inline int write_numbered(struct store *s, unsigned i, size_t value_len,
				 struct err *reterr)
{
	enum ch_col col = value_len > VALUE_LEN ? COL_BODY : COL_RECORD;
	struct ch_batch b;
	char key[16], *value = malloc(value_len);
	uint64_t seed = i;
	int r;

	assert_non_null(value);
	for (size_t k = 0; k < value_len; k++)
		value[k] = (char)draw(&seed, 256);
	snprintf(key, sizeof(key), "%08u", i);
	batch_init(&b);
	batch_put(&b, col, ch_str(key), bytes(value, value_len));
	batch_put(&b, COL_OUT, ch_str(key), ch_str(key));
	r = store_commit(s, &b, true, reterr);
	batch_release(&b);
	free(value);
	return r;
}

static inline bool has_numbered(struct store *s, unsigned i, size_t value_len)
{
	enum ch_col col = value_len > VALUE_LEN ? COL_BODY : COL_RECORD;
	const struct ch_reader *r = store_reader(s);
	struct strbuf sb = STRBUF_INIT;
	uint64_t seed = i;
	char key[16];
	bool ok;

	snprintf(key, sizeof(key), "%08u", i);
	ok = r->get(r, col, ch_str(key), &sb) == 0 && sb.len == value_len;
	for (size_t k = 0; ok && k < value_len; k++)
		ok = sb.buf[k] == (char)draw(&seed, 256);
	ok = ok && r->get(r, COL_OUT, ch_str(key), &sb) == 0 &&
	     ch_bytes_equal(strbuf_bytes(&sb), ch_str(key));
	strbuf_release(&sb);
	return ok;
}

static inline bool has_all(struct store *s, unsigned n, size_t value_len)
{
	for (unsigned i = 0; i < n; i++)
		if (!has_numbered(s, i, value_len)) {
			print_message("%u of %u is missing\n", i, n);
			return false;
		}
	return true;
}

/* The file in @dir whose name ends in @end and that is the biggest. */
static inline void find_file(const char *dir, const char *end,
		      char ret_path[2 * PATH_LEN], off_t *ret_size)
{
	struct dirent *e;
	struct stat st;
	DIR *d = opendir(dir);

	assert_non_null(d);
	*ret_size = -1;
	while ((e = readdir(d))) {
		size_t len = strlen(e->d_name), end_len = strlen(end);

		if (len < end_len ||
		    strcmp(e->d_name + len - end_len, end) != 0 ||
		    fstatat(dirfd(d), e->d_name, &st, 0) < 0 ||
		    st.st_size <= *ret_size)
			continue;
		*ret_size = st.st_size;
		assert_true(snprintf(ret_path, 2 * PATH_LEN, "%s/%s", dir,
				     e->d_name) < 2 * PATH_LEN);
	}
	closedir(d);
	assert_true(*ret_size > 0);
}

static inline void flip_bit(const char *path, off_t at)
{
	unsigned char c;
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &c, 1, at), 1);
	c ^= 4;
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
	close(fd);
}

#endif
