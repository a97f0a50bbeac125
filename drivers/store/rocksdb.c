/*
 * rocksdb.c -- the store on RocksDB.
 *
 * What this version of RocksDB does, and we live with (each was measured):
 *
 *   - An iterator that meets damage just ends: every scan asks it why.
 *   - After one failed sync all writes fail, and the failed one may be there
 *     after the next open: store.c lets a failed store take no more.
 *   - rocksdb_close() does not sync the log: we do, before.
 *   - A fork loses its threads and its lock: open it after the last one.
 */
#include "drivers/store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "drivers/store/rocksdb_private.h"

struct store_rocks;

/* Reads the store as it is, or what a snapshot of RocksDB shows. */
struct rocks_reader {
	struct ch_reader base; /* First. */
	struct store_rocks *store;
	const rocksdb_snapshot_t *snapshot; /* NULL: as it is. */
	rocksdb_readoptions_t *opts;
};

struct store_rocks {
	struct store base; /* First, so that a store is one of these. */
	struct rocks_reader now;
	struct rocks_setup setup;
	rocksdb_t *db;
	rocksdb_column_family_handle_t *families[FAMILY_N];
	rocksdb_writeoptions_t *lazy, *synced;
	char *path;
};

static struct store_rocks *rocks_of(struct store *s)
{
	return (struct store_rocks *)s;
}

static const struct rocks_reader *reader_of(const struct ch_reader *r)
{
	return (const struct rocks_reader *)r;
}

/* RocksDB copies from its pointers even when there is nothing to copy. */
static const char *chars(struct ch_bytes b)
{
	return b.len ? b.p : "";
}

static int read_error(struct store_rocks *s, char *msg)
{
	if (strncmp(msg, "Corruption", strlen("Corruption")) == 0)
		atomic_store(&s->base.damaged, true);
	rocksdb_free(msg);
	return -EIO;
}

static int reader_get(const struct ch_reader *r, enum ch_col col,
		      struct ch_bytes key, struct strbuf *ret_value)
{
	const struct rocks_reader *rr = reader_of(r);
	struct store_rocks *s = rr->store;
	rocksdb_pinnableslice_t *slice;
	const char *value;
	char *msg = NULL;
	size_t len;

	if (col == COL_LIVE)
		return store_live_get(&s->base, key, ret_value);
	CHECK(col < COL_KEPT_N);
	strbuf_reset(ret_value);
	slice = rocksdb_get_pinned_cf(s->db, rr->opts, s->families[col],
				      chars(key), key.len, &msg);
	if (msg)
		return read_error(s, msg);
	if (!slice)
		return -ENOENT;
	value = rocksdb_pinnableslice_value(slice, &len);
	strbuf_add(ret_value, value, len);
	rocksdb_pinnableslice_destroy(slice);
	return strbuf_error(ret_value);
}

/*
 * The first key behind all that start with @prefix: its last byte that can
 * grow, grown, and nothing behind it. Of length 0 where there is none.
 */
static void prefix_end(struct ch_bytes prefix, struct strbuf *ret_end)
{
	strbuf_add(ret_end, prefix.p, prefix.len);
	while (ret_end->len > 0) {
		unsigned char last =
			(unsigned char)ret_end->buf[ret_end->len - 1];

		if (last < UINT8_MAX) {
			ret_end->buf[ret_end->len - 1] = (char)(last + 1);
			return;
		}
		strbuf_set_len(ret_end, ret_end->len - 1);
	}
}

static int iterate(struct store_rocks *s, rocksdb_iterator_t *it,
		   struct ch_bytes first, ch_scan_fn *fn, void *arg)
{
	char *msg = NULL;
	int r = 0;

	rocksdb_iter_seek(it, chars(first), first.len);
	while (r == 0 && rocksdb_iter_valid(it)) {
		struct ch_bytes key, value;

		key.p = rocksdb_iter_key(it, &key.len);
		value.p = rocksdb_iter_value(it, &value.len);
		r = fn(arg, key, value);
		if (r == 0)
			rocksdb_iter_next(it);
	}
	if (r != 0)
		return r;
	/* Not valid: it came to the end, or it could not go on. */
	rocksdb_iter_get_error(it, &msg);
	return msg ? read_error(s, msg) : 0;
}

static int reader_scan(const struct ch_reader *r, enum ch_col col,
		       struct ch_bytes prefix, struct ch_bytes from,
		       ch_scan_fn *fn, void *arg)
{
	const struct rocks_reader *rr = reader_of(r);
	struct store_rocks *s = rr->store;
	struct strbuf end = STRBUF_INIT; /* Must outlive the iterator. */
	rocksdb_readoptions_t *opts;
	rocksdb_iterator_t *it;
	int ret;

	if (col == COL_LIVE)
		return store_live_scan(&s->base, prefix, from, fn, arg);
	CHECK(col < COL_KEPT_N);
	prefix_end(prefix, &end);
	ret = strbuf_error(&end);
	if (ret < 0)
		return ret;

	opts = rocksdb_readoptions_create();
	rocksdb_readoptions_set_snapshot(opts, rr->snapshot);
	rocksdb_readoptions_set_background_purge_on_iterator_cleanup(opts, 1);
	if (end.len > 0)
		rocksdb_readoptions_set_iterate_upper_bound(opts, end.buf,
							    end.len);
	it = rocksdb_create_iterator_cf(s->db, opts, s->families[col]);
	ret = iterate(s, it, cowmap_key_cmp(from, prefix) > 0 ? from : prefix,
		      fn, arg);
	rocksdb_iter_destroy(it);
	rocksdb_readoptions_destroy(opts);
	strbuf_release(&end);
	return ret;
}

static void reader_init(struct rocks_reader *rr, struct store_rocks *s,
			const rocksdb_snapshot_t *snapshot)
{
	rr->base.get = reader_get;
	rr->base.scan = reader_scan;
	rr->store = s;
	rr->snapshot = snapshot;
	rr->opts = rocksdb_readoptions_create();
	rocksdb_readoptions_set_snapshot(rr->opts, snapshot);
}

static void rocks_batch_fill(const struct store_rocks *s,
			     const struct ch_batch *b, rocksdb_writebatch_t *wb)
{
	struct ch_batch_op op;
	size_t pos = 0;

	while (batch_next(b, &pos, &op)) {
		if (op.col == COL_LIVE)
			continue;
		if (op.put)
			rocksdb_writebatch_put_cf(
				wb, s->families[op.col], chars(op.key),
				op.key.len, chars(op.value), op.value.len);
		else
			rocksdb_writebatch_delete_cf(wb, s->families[op.col],
						     chars(op.key), op.key.len);
	}
}

static int rocks_commit(struct store *base, const struct ch_batch *b, bool sync,
			struct err *reterr)
{
	struct store_rocks *s = rocks_of(base);
	rocksdb_writebatch_t *wb;
	char *msg = NULL;

	wb = rocksdb_writebatch_create();
	rocks_batch_fill(s, b, wb);
	rocksdb_write(s->db, sync ? s->synced : s->lazy, wb, &msg);
	rocksdb_writebatch_destroy(wb);
	return msg ? rocks_error(reterr, msg, "write to the store", s->path)
		   : 0;
}

static const struct ch_reader *rocks_reader(struct store *base)
{
	return &rocks_of(base)->now.base;
}

static int rocks_snapshot(struct store *base,
			  const struct ch_reader **ret_reader)
{
	struct store_rocks *s = rocks_of(base);
	struct rocks_reader *rr;

	rr = malloc(sizeof(*rr));
	if (!rr)
		return -ENOMEM;
	reader_init(rr, s, rocksdb_create_snapshot(s->db));
	*ret_reader = &rr->base;
	return 0;
}

static void rocks_snapshot_free(struct store *base, const struct ch_reader *r)
{
	/* Made by rocks_snapshot(); only its readers may not change it. */
	struct rocks_reader *rr = (struct rocks_reader *)(uintptr_t)r;

	CHECK(rr->store == rocks_of(base));
	CHECK(rr->snapshot);
	rocksdb_release_snapshot(rr->store->db, rr->snapshot);
	rocksdb_readoptions_destroy(rr->opts);
	free(rr);
}

static uint64_t property_sum(const struct store_rocks *s, const char *name)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < FAMILY_N; i++) {
		uint64_t n = 0;

		if (rocksdb_property_int_cf(s->db, s->families[i], name, &n) ==
		    0)
			sum += n;
	}
	return sum;
}

static void rocks_figures(struct store *base, struct store_figures *ret_figures)
{
	struct store_rocks *s = rocks_of(base);

	ret_figures->disk_bytes = rocks_path_bytes(s->path);
	ret_figures->memory_bytes =
		rocksdb_cache_get_usage(s->setup.cache) +
		property_sum(s, "rocksdb.cur-size-all-mem-tables") +
		property_sum(s, "rocksdb.estimate-table-readers-mem");
}

static uint64_t rocks_seq(struct store *base)
{
	return rocksdb_get_latest_sequence_number(rocks_of(base)->db);
}

/* Batches that were not synced are, as far as the disk lets us. */
static void last_sync(struct store_rocks *s)
{
	char *msg = NULL;

	if (s->base.failed)
		return;
	rocksdb_flush_wal(s->db, 1, &msg);
	rocksdb_free(msg);
}

static void rocks_close(struct store *base)
{
	struct store_rocks *s = rocks_of(base);

	if (s->db) {
		last_sync(s);
		for (size_t i = 0; i < FAMILY_N; i++)
			rocksdb_column_family_handle_destroy(s->families[i]);
		rocksdb_close(s->db);
	}
	if (s->now.opts)
		rocksdb_readoptions_destroy(s->now.opts);
	if (s->lazy)
		rocksdb_writeoptions_destroy(s->lazy);
	if (s->synced)
		rocksdb_writeoptions_destroy(s->synced);
	rocks_setup_release(&s->setup);
	store_base_release(base);
	free(s->path);
	free(s);
}

static const struct store_ops rocks_ops = {
	.close = rocks_close,
	.commit = rocks_commit,
	.reader = rocks_reader,
	.snapshot = rocks_snapshot,
	.snapshot_free = rocks_snapshot_free,
	.figures = rocks_figures,
	.seq = rocks_seq,
};

static int rocks_open_db(struct store_rocks *s, enum rocks_open_how how,
			 struct err *reterr)
{
	char *msg = NULL;
	int r;

	r = rocks_path_prepare(s->path, reterr);
	if (r < 0)
		return r;
	r = rocks_setup_init(&s->setup, how, reterr);
	if (r < 0)
		return r;
	s->db = rocksdb_open_column_families(
		s->setup.db, s->path, FAMILY_N, rocks_family_names,
		(const rocksdb_options_t *const *)s->setup.families,
		s->families, &msg);
	if (msg)
		return rocks_error(reterr, msg, "open the store", s->path);
	rocks_path_tidy(s->path);
	/* From here on it is as any other. */
	for (size_t i = 0; how == ROCKS_REPAIRED && i < FAMILY_N; i++)
		rocksdb_compact_range_cf(s->db, s->families[i], NULL, 0, NULL,
					 0);
	return 0;
}

int rocks_repair(const char *path, struct err *reterr)
{
	struct rocks_setup setup;
	char *msg = NULL;
	int r = rocks_setup_init(&setup, ROCKS_REPAIRED, reterr);

	if (r == 0) {
		rocksdb_repair_db(setup.families[COL_RECORD], path, &msg);
		if (msg)
			r = rocks_error(reterr, msg, "repair the store", path);
	}
	rocks_setup_release(&setup);
	return r;
}

int store_rocks_open(const char *path, struct store **ret_store,
		     struct err *reterr)
{
	return rocks_open(path, ROCKS_STRICT, ret_store, reterr);
}

int rocks_open(const char *path, enum rocks_open_how how,
	       struct store **ret_store, struct err *reterr)
{
	struct store_rocks *s;
	int r;

	s = calloc(1, sizeof(*s));
	if (!s || store_base_init(&s->base, &rocks_ops) < 0) {
		free(s);
		return err_set(reterr, -ENOMEM, "no memory for a store");
	}
	s->path = strdup(path);
	if (!s->path) {
		r = err_set(reterr, -ENOMEM, "no memory for a store");
		goto fail;
	}
	r = rocks_open_db(s, how, reterr);
	if (r < 0)
		goto fail;

	reader_init(&s->now, s, NULL);
	s->lazy = rocksdb_writeoptions_create();
	s->synced = rocksdb_writeoptions_create();
	rocksdb_writeoptions_set_sync(s->synced, 1);
	*ret_store = &s->base;
	return 0;

fail:
	rocks_close(&s->base);
	return r;
}
