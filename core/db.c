/* db.c -- the store, with what this round has changed laid over it. */
#include <errno.h>
#include <string.h>

#include "core/engine.h"
#include "core/mem.h"
#include "core/wire.h"

struct over {
	bool put;
	size_t len;
	char bytes[];
};

void db_release(struct db *db)
{
	map_release(&db->overlay, mem_free);
}

void db_round(struct db *db)
{
	if (db->overlay.n)
		map_release(&db->overlay, mem_free);
}

static void key_over(struct strbuf *sb, enum ch_col col, struct ch_bytes key)
{
	strbuf_add_char(sb, (char)col);
	strbuf_add(sb, key.p, key.len);
}

int db_get(struct ch_engine *e, enum ch_col col, struct ch_bytes key,
	   struct strbuf *ret_value)
{
	struct strbuf at = STRBUF_INIT;
	const struct over *over;

	if (e->db.overlay.n) {
		key_over(&at, col, key);
		if (at.bad) {
			strbuf_release(&at);
			return -ENOMEM;
		}
		over = map_get(&e->db.overlay, strbuf_bytes(&at));
		strbuf_release(&at);
		if (over && !over->put)
			return -ENOENT;
		if (over) {
			strbuf_reset(ret_value);
			strbuf_add(ret_value, over->bytes, over->len);
			return strbuf_error(ret_value);
		}
	}
	return e->db.store->get(e->db.store, col, key, ret_value);
}

static int lay(struct ch_engine *e, enum ch_col col, struct ch_bytes key,
	       struct ch_bytes value, bool put)
{
	struct strbuf at = STRBUF_INIT;
	struct over *over, *old;
	int rc = -ENOMEM;

	over = mem_alloc(sizeof(*over) + value.len);
	if (!over)
		return -ENOMEM;
	over->put = put;
	over->len = value.len;
	if (value.len)
		memcpy(over->bytes, value.p, value.len);
	key_over(&at, col, key);
	if (!at.bad) {
		old = map_get(&e->db.overlay, strbuf_bytes(&at));
		rc = map_put(&e->db.overlay, strbuf_bytes(&at), over);
		if (rc == 0)
			mem_free(old);
	}
	if (rc < 0)
		mem_free(over);
	strbuf_release(&at);
	if (col != COL_LIVE)
		e->u->durable = true;
	return rc;
}

int db_put(struct ch_engine *e, enum ch_col col, struct ch_bytes key,
	   struct ch_bytes value)
{
	batch_put(&e->u->store, col, key, value);
	return lay(e, col, key, value, true);
}

int db_del(struct ch_engine *e, enum ch_col col, struct ch_bytes key)
{
	batch_del(&e->u->store, col, key);
	return lay(e, col, key, (struct ch_bytes){NULL, 0}, false);
}

int db_put_u64(struct ch_engine *e, enum ch_col col, const char *key,
	       uint64_t v)
{
	struct strbuf sb = STRBUF_INIT;
	int rc;

	wire_put_u64(&sb, v);
	rc = strbuf_error(&sb);
	if (rc == 0)
		rc = db_put(e, col, ch_str(key), strbuf_bytes(&sb));
	strbuf_release(&sb);
	return rc;
}

int db_get_u64(struct ch_engine *e, enum ch_col col, const char *key,
	       uint64_t *ret_v)
{
	struct strbuf sb = STRBUF_INIT;
	int rc = db_get(e, col, ch_str(key), &sb);

	if (rc == 0) {
		struct wire w = wire_of(strbuf_bytes(&sb));

		*ret_v = wire_u64(&w);
		if (!wire_done(&w))
			rc = -EIO;
	} else if (rc == -ENOENT) {
		*ret_v = 0;
		rc = 0;
	}
	strbuf_release(&sb);
	return rc;
}

int db_scan(struct ch_engine *e, enum ch_col col, struct ch_bytes prefix,
	    struct ch_bytes from, ch_scan_fn *fn, void *arg)
{
	return e->db.store->scan(e->db.store, col, prefix, from, fn, arg);
}
