/* store.c -- what all stores have in common; see store.h and private.h. */
#include "drivers/store/store.h"

#include <errno.h>

#include "core/check.h"
#include "drivers/store/private.h"

int store_base_init(struct store *s, const struct store_ops *ops)
{
	s->ops = ops;
	s->failed = false;
	atomic_init(&s->damaged, false);
	cowmap_init(&s->live);
	return pthread_rwlock_init(&s->lock, NULL) == 0 ? 0 : -ENOMEM;
}

void store_base_release(struct store *s)
{
	cowmap_release(&s->live);
	pthread_rwlock_destroy(&s->lock);
}

void store_close(struct store *s)
{
	if (s)
		s->ops->close(s);
}

static int apply_live(struct cowmap *live, const struct ch_batch_op *op)
{
	return op->put ? cowmap_put(live, op->key, op->value)
		       : cowmap_del(live, op->key);
}

/* Bring @live up to @b; count what else there is in it. */
static int stage(const struct ch_batch *b, struct cowmap *live,
		 size_t *ret_kept_n)
{
	struct ch_batch_op op;
	size_t pos = 0, kept_n = 0;
	int r;

	while (batch_next(b, &pos, &op)) {
		if (op.col != COL_LIVE) {
			kept_n++;
			continue;
		}
		r = apply_live(live, &op);
		if (r < 0)
			return r;
	}
	*ret_kept_n = kept_n;
	return 0;
}

static int commit(struct store *s, const struct ch_batch *b, bool sync,
		  struct err *reterr)
{
	struct cowmap live, old;
	size_t kept_n = 0;
	int r;

	if (batch_error(b) < 0)
		return err_set(reterr, -ENOMEM, "no memory for a batch");

	/* Nobody but this thread changes the maps, so it reads them freely. */
	live = cowmap_copy(&s->live);
	r = stage(b, &live, &kept_n);
	if (r < 0) {
		cowmap_release(&live);
		return err_set(reterr, r, "no memory for a batch of %zu", b->n);
	}
	if (kept_n > 0) {
		r = s->ops->commit(s, b, sync, reterr);
		if (r < 0) {
			cowmap_release(&live);
			return r;
		}
	}

	pthread_rwlock_wrlock(&s->lock);
	old = s->live;
	s->live = live;
	pthread_rwlock_unlock(&s->lock);
	cowmap_release(&old);
	return 0;
}

int store_commit(struct store *s, const struct ch_batch *b, bool sync,
		 struct err *reterr)
{
	int r;

	if (s->failed)
		return err_set(reterr, -EIO,
			       "the store takes nothing since a write to it "
			       "failed, until it is opened again");
	r = commit(s, b, sync, reterr);
	if (r < 0)
		s->failed = true;
	return r;
}

const struct ch_reader *store_reader(struct store *s)
{
	return s->ops->reader(s);
}

int store_snapshot(struct store *s, const struct ch_reader **ret_reader)
{
	return s->ops->snapshot(s, ret_reader);
}

void store_snapshot_free(struct store *s, const struct ch_reader *r)
{
	if (r)
		s->ops->snapshot_free(s, r);
}

uint64_t store_seq(struct store *s)
{
	return s->ops->seq(s);
}

bool store_is_damaged(struct store *s)
{
	return atomic_load(&s->damaged);
}

void store_figures(struct store *s, struct store_figures *ret_figures)
{
	struct cowmap live;

	s->ops->figures(s, ret_figures);
	live = store_map_copy(s, &s->live);
	ret_figures->memory_bytes += live.bytes;
	cowmap_release(&live);
}

struct cowmap store_map_copy(struct store *s, const struct cowmap *m)
{
	struct cowmap copy;

	pthread_rwlock_rdlock(&s->lock);
	copy = cowmap_copy(m);
	pthread_rwlock_unlock(&s->lock);
	return copy;
}

int store_map_get(const struct cowmap *m, struct ch_bytes key,
		  struct strbuf *ret_value)
{
	struct ch_bytes value;
	int r;

	strbuf_reset(ret_value);
	r = cowmap_get(m, key, &value);
	if (r < 0)
		return r;
	strbuf_add(ret_value, value.p, value.len);
	return strbuf_error(ret_value);
}

int store_live_get(struct store *s, struct ch_bytes key,
		   struct strbuf *ret_value)
{
	struct cowmap live = store_map_copy(s, &s->live);
	int r = store_map_get(&live, key, ret_value);

	cowmap_release(&live);
	return r;
}

int store_live_scan(struct store *s, struct ch_bytes prefix,
		    struct ch_bytes from, ch_scan_fn *fn, void *arg)
{
	struct cowmap live = store_map_copy(s, &s->live);
	int r = cowmap_scan(&live, prefix, from, fn, arg);

	cowmap_release(&live);
	return r;
}
