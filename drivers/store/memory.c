/*
 * memory.c -- the store in memory: a map for each column.
 *
 * A commit changes copies of the maps, and puts them in place of the old
 * ones under the lock, all at once: a batch that runs out of memory half way
 * has changed nothing, and no reader waits for one.
 */
#include "drivers/store/store.h"

#include <errno.h>
#include <stdlib.h>

#include "core/check.h"
#include "drivers/store/private.h"

/* Reads the store as it is, or the columns as they were. */
struct memory_reader {
	struct ch_reader base; /* First. */
	struct store_memory *store;
	bool fixed;
	struct cowmap cols[COL_KEPT_N]; /* Where fixed. */
};

struct store_memory {
	struct store base; /* First, so that a store is one of these. */
	struct memory_reader now;
	struct cowmap cols[COL_KEPT_N]; /* Guarded by base.lock. */
	uint64_t seq; /* Of the thread that commits. */
};

static struct store_memory *memory_of(struct store *s)
{
	return (struct store_memory *)s;
}

static const struct memory_reader *reader_of(const struct ch_reader *r)
{
	return (const struct memory_reader *)r;
}

static void cols_copy(const struct cowmap *from, struct cowmap *to)
{
	for (size_t i = 0; i < COL_KEPT_N; i++)
		to[i] = cowmap_copy(&from[i]);
}

static void cols_release(struct cowmap *cols)
{
	for (size_t i = 0; i < COL_KEPT_N; i++)
		cowmap_release(&cols[i]);
}

static struct cowmap reader_col(const struct memory_reader *mr, enum ch_col col)
{
	CHECK(col < COL_KEPT_N);
	if (mr->fixed)
		return cowmap_copy(&mr->cols[col]);
	return store_map_copy(&mr->store->base, &mr->store->cols[col]);
}

static int reader_get(const struct ch_reader *r, enum ch_col col,
		      struct ch_bytes key, struct strbuf *ret_value)
{
	const struct memory_reader *mr = reader_of(r);
	struct cowmap m;
	int ret;

	if (col == COL_LIVE)
		return store_live_get(&mr->store->base, key, ret_value);
	m = reader_col(mr, col);
	ret = store_map_get(&m, key, ret_value);
	cowmap_release(&m);
	return ret;
}

static int reader_scan(const struct ch_reader *r, enum ch_col col,
		       struct ch_bytes prefix, struct ch_bytes from,
		       ch_scan_fn *fn, void *arg)
{
	const struct memory_reader *mr = reader_of(r);
	struct cowmap m;
	int ret;

	if (col == COL_LIVE)
		return store_live_scan(&mr->store->base, prefix, from, fn, arg);
	m = reader_col(mr, col);
	ret = cowmap_scan(&m, prefix, from, fn, arg);
	cowmap_release(&m);
	return ret;
}

static void reader_init(struct memory_reader *mr, struct store_memory *s)
{
	mr->base.get = reader_get;
	mr->base.scan = reader_scan;
	mr->store = s;
	mr->fixed = false;
}

static int stage(struct cowmap *cols, const struct ch_batch *b)
{
	struct ch_batch_op op;
	size_t pos = 0;
	int r = 0;

	while (r == 0 && batch_next(b, &pos, &op)) {
		if (op.col == COL_LIVE)
			continue;
		r = op.put ? cowmap_put(&cols[op.col], op.key, op.value)
			   : cowmap_del(&cols[op.col], op.key);
	}
	return r;
}

static int memory_commit(struct store *base, const struct ch_batch *b,
			 bool sync, struct err *reterr)
{
	struct store_memory *s = memory_of(base);
	struct cowmap fresh[COL_KEPT_N];
	int r;

	(void)sync; /* What memory has is as safe as it will ever be. */
	cols_copy(s->cols, fresh);
	r = stage(fresh, b);
	if (r < 0) {
		cols_release(fresh);
		return err_set(reterr, r, "no memory for a batch of %zu", b->n);
	}

	s->seq++;
	pthread_rwlock_wrlock(&base->lock);
	for (size_t i = 0; i < COL_KEPT_N; i++) {
		struct cowmap old = s->cols[i];

		s->cols[i] = fresh[i];
		fresh[i] = old;
	}
	pthread_rwlock_unlock(&base->lock);
	cols_release(fresh);
	return 0;
}

static const struct ch_reader *memory_reader(struct store *base)
{
	return &memory_of(base)->now.base;
}

static int memory_snapshot(struct store *base,
			   const struct ch_reader **ret_reader)
{
	struct store_memory *s = memory_of(base);
	struct memory_reader *mr;

	mr = malloc(sizeof(*mr));
	if (!mr)
		return -ENOMEM;
	reader_init(mr, s);
	mr->fixed = true;
	pthread_rwlock_rdlock(&base->lock);
	cols_copy(s->cols, mr->cols);
	pthread_rwlock_unlock(&base->lock);
	*ret_reader = &mr->base;
	return 0;
}

static void memory_snapshot_free(struct store *base, const struct ch_reader *r)
{
	/* Made by memory_snapshot(); only its readers may not change it. */
	struct memory_reader *mr = (struct memory_reader *)(uintptr_t)r;

	CHECK(mr->store == memory_of(base));
	CHECK(mr->fixed);
	cols_release(mr->cols);
	free(mr);
}

static void memory_figures(struct store *base,
			   struct store_figures *ret_figures)
{
	struct store_memory *s = memory_of(base);

	*ret_figures = (struct store_figures){0, 0};
	pthread_rwlock_rdlock(&base->lock);
	for (size_t i = 0; i < COL_KEPT_N; i++)
		ret_figures->memory_bytes += s->cols[i].bytes;
	pthread_rwlock_unlock(&base->lock);
}

static uint64_t memory_seq(struct store *base)
{
	return memory_of(base)->seq;
}

static void memory_close(struct store *base)
{
	struct store_memory *s = memory_of(base);

	cols_release(s->cols);
	store_base_release(base);
	free(s);
}

static const struct store_ops memory_ops = {
	.close = memory_close,
	.commit = memory_commit,
	.reader = memory_reader,
	.snapshot = memory_snapshot,
	.snapshot_free = memory_snapshot_free,
	.figures = memory_figures,
	.seq = memory_seq,
};

int store_memory_open(struct store **ret_store, struct err *reterr)
{
	struct store_memory *s;

	s = calloc(1, sizeof(*s));
	if (!s || store_base_init(&s->base, &memory_ops) < 0) {
		free(s);
		return err_set(reterr, -ENOMEM, "no memory for a store");
	}
	reader_init(&s->now, s);
	for (size_t i = 0; i < COL_KEPT_N; i++)
		cowmap_init(&s->cols[i]);
	*ret_store = &s->base;
	return 0;
}
