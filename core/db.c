/*
 * db.c -- the store, and over it what is known of it.
 *
 * A fact is a key and its value, or that it is not there. Kept are those that
 * this round changed, which the store does not know yet, and the small ones
 * that were read or written last: nobody but the engine writes to the store, so
 * a fact stays true until the engine changes it. When a commit fails, the
 * engine goes, and its facts with it.
 *
 * Facts are in the order of their use; who was not used for long is forgotten,
 * but nothing of the round under way.
 */
#include <errno.h>
#include <string.h>

#include "core/engine.h"
#include "core/mem.h"
#include "core/wire.h"

#define FACTS_MAX 1024
#define FACTS_BYTES_MAX (512u * 1024u)
#define FACT_LEN_MAX 4096u /* Longer values are not worth the room. */

struct fact {
	struct fact *next; /* In its bucket. */
	struct list use;
	uint64_t round; /* It was changed in; 0: it was read. */
	bool there;
	uint8_t col;
	size_t key_len, len;
	char bytes[]; /* Key, value. */
};

void db_init(struct db *db, const struct ch_reader *store)
{
	memset(db, 0, sizeof(*db));
	db->store = store;
	db->round = 1;
	list_init(&db->used);
}

static struct fact *oldest(const struct db *db)
{
	return LIST_ENTRY(db->used.next, struct fact, use);
}

static struct fact **place_of(struct db *db, enum ch_col col,
			      struct ch_bytes key)
{
	const unsigned char *p = key.p;
	uint32_t h = 0x811c9dc5u ^ (uint32_t)col;
	struct fact **at;

	for (size_t i = 0; i < key.len; i++)
		h = (h ^ p[i]) * 0x01000193u;
	at = &db->bucket[(h ^ h >> 15) % DB_BUCKETS];
	while (*at && ((*at)->col != col || (*at)->key_len != key.len ||
		       (key.len && memcmp((*at)->bytes, key.p, key.len) != 0)))
		at = &(*at)->next;
	return at;
}

static void forget(struct db *db, struct fact **at)
{
	struct fact *f = *at;

	*at = f->next;
	list_del(&f->use);
	db->n--;
	db->bytes -= f->key_len + f->len;
	db->n_long -= f->len > FACT_LEN_MAX;
	mem_free(f);
}

static void forget_fact(struct db *db, const struct fact *f)
{
	forget(db, place_of(db, (enum ch_col)f->col,
			    (struct ch_bytes){f->bytes, f->key_len}));
}

void db_release(struct db *db)
{
	while (!list_is_empty(&db->used))
		forget_fact(db, oldest(db));
}

static void make_room(struct db *db)
{
	while ((db->n > FACTS_MAX || db->bytes > FACTS_BYTES_MAX) &&
	       oldest(db)->round != db->round)
		forget_fact(db, oldest(db));
}

void db_round(struct db *db)
{
	struct list *at = db->used.next;

	db->round++;
	while (db->n_long) {
		const struct fact *f = LIST_ENTRY(at, struct fact, use);

		at = at->next;
		if (f->len > FACT_LEN_MAX)
			forget_fact(db, f);
	}
	make_room(db);
}

/* NULL @value: it is not there. */
static int learn(struct db *db, enum ch_col col, struct ch_bytes key,
		 const struct ch_bytes *value, uint64_t round)
{
	size_t len = value ? value->len : 0;
	struct fact *f = mem_alloc(sizeof(*f) + key.len + len);
	struct fact **at;

	if (!f)
		return -ENOMEM;
	f->round = round;
	f->there = value != NULL;
	f->col = (uint8_t)col;
	f->key_len = key.len;
	f->len = len;
	if (key.len)
		memcpy(f->bytes, key.p, key.len);
	if (len)
		memcpy(f->bytes + key.len, value->p, len);
	at = place_of(db, col, key);
	if (*at)
		forget(db, at);
	f->next = *at;
	*at = f;
	list_add_tail(&db->used, &f->use);
	db->n++;
	db->bytes += key.len + len;
	db->n_long += len > FACT_LEN_MAX;
	return 0;
}

static struct fact *known(struct db *db, enum ch_col col, struct ch_bytes key)
{
	struct fact *f = *place_of(db, col, key);

	if (f) {
		list_del(&f->use);
		list_add_tail(&db->used, &f->use);
	}
	return f;
}

int db_get(struct ch_engine *e, enum ch_col col, struct ch_bytes key,
	   struct strbuf *ret_value)
{
	struct db *db = &e->db;
	const struct fact *f = known(db, col, key);
	struct ch_bytes value;
	int rc;

	if (f && !f->there)
		return -ENOENT;
	if (f) {
		strbuf_reset(ret_value);
		strbuf_add(ret_value, f->bytes + f->key_len, f->len);
		return strbuf_error(ret_value);
	}
	rc = db->store->get(db->store, col, key, ret_value);
	value = strbuf_bytes(ret_value);
	/* A body that was damaged is looked at afresh each time. */
	if (col == COL_BODY ||
	    (rc != -ENOENT && (rc < 0 || value.len > FACT_LEN_MAX)))
		return rc;
	/* What cannot be kept for want of memory is read again. */
	(void)learn(db, col, key, rc == 0 ? &value : NULL, 0);
	make_room(db);
	return rc;
}

int db_has(struct ch_engine *e, enum ch_col col, struct ch_bytes key)
{
	const struct fact *f = known(&e->db, col, key);
	struct strbuf value = STRBUF_INIT;
	int rc;

	if (f)
		return f->there;
	rc = db_get(e, col, key, &value);
	strbuf_release(&value);
	return rc == 0 ? 1 : rc == -ENOENT ? 0 : rc;
}

int db_put(struct ch_engine *e, enum ch_col col, struct ch_bytes key,
	   struct ch_bytes value)
{
	batch_put(&e->u->store, col, key, value);
	e->u->durable |= col != COL_LIVE;
	return learn(&e->db, col, key, &value, e->db.round);
}

int db_del(struct ch_engine *e, enum ch_col col, struct ch_bytes key)
{
	batch_del(&e->u->store, col, key);
	e->u->durable |= col != COL_LIVE;
	return learn(&e->db, col, key, NULL, e->db.round);
}

int db_del_key(struct ch_engine *e, enum ch_col col, struct strbuf *key)
{
	int rc = strbuf_error(key);

	if (rc == 0)
		rc = db_del(e, col, strbuf_bytes(key));
	strbuf_release(key);
	return rc;
}

int db_drop(struct ch_engine *e, enum ch_col col, struct ch_bytes key)
{
	batch_del(&e->u->store, col, key);
	return learn(&e->db, col, key, NULL, e->db.round);
}

int db_jot(struct ch_engine *e, enum ch_col col, struct ch_bytes key,
	   struct ch_bytes value)
{
	batch_put(&e->u->store, col, key, value);
	return learn(&e->db, col, key, &value, e->db.round);
}

/* Facts of no column: the store knows nothing of them. */

int db_note(struct ch_engine *e, struct ch_bytes key, uint64_t n)
{
	const struct ch_bytes value = {&n, sizeof(n)};

	return learn(&e->db, COL_N, key, &value, 0);
}

bool db_noted(struct ch_engine *e, struct ch_bytes key, uint64_t *ret_n)
{
	const struct fact *f = known(&e->db, COL_N, key);

	if (f)
		memcpy(ret_n, f->bytes + f->key_len, sizeof(*ret_n));
	return f != NULL;
}

void db_unnote(struct ch_engine *e, struct ch_bytes key)
{
	struct fact **at = place_of(&e->db, COL_N, key);

	if (*at)
		forget(&e->db, at);
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
