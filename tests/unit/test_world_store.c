/*
 * test_world_store.c -- what store.h and reader.h promise, of each store.
 *
 * Every test of the first list runs on the store in memory and on RocksDB;
 * a store that answers otherwise than its sister is wrong. What only a store
 * on disk can get wrong stands in test_world_store_rocks.c.
 */
#include "drivers/store/store.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/store_help.h"

struct fixture {
	bool rocks;
	long held; /* mem_outstanding() before. */
	char dir[PATH_LEN];
	struct store *store;
	const struct ch_reader *now;
	struct ch_batch batch;
};

static void store_start(struct fixture *f)
{
	struct err err = ERR_INIT;
	char db[PATH_LEN + 8];
	int r;

	snprintf(db, sizeof(db), "%s/db", f->dir);
	r = f->rocks ? store_rocks_open(db, &f->store, &err)
		     : store_memory_open(&f->store, &err);
	if (r < 0)
		fail_msg("open: %d: %s", r, err.text);
	f->now = store_reader(f->store);
}

static int fixture_open(void **state)
{
	static struct fixture f;

	f.rocks = *state != NULL;
	f.held = mem_outstanding();
	scratch_make(f.dir);
	store_start(&f);
	batch_init(&f.batch);
	*state = &f;
	return 0;
}

static int fixture_close(void **state)
{
	struct fixture *f = *state;

	batch_release(&f->batch);
	store_close(f->store);
	scratch_remove(f->dir);
	assert_int_equal(mem_outstanding(), f->held);
	return 0;
}

static void put(struct fixture *f, enum ch_col col, const char *key,
		const char *value)
{
	batch_put(&f->batch, col, ch_str(key), ch_str(value));
}

static void del(struct fixture *f, enum ch_col col, const char *key)
{
	batch_del(&f->batch, col, ch_str(key));
}

static void commit(struct fixture *f)
{
	commit_ok(f->store, &f->batch, true);
}

static void last_word_counts(void **state)
{
	struct fixture *f = *state;

	for (enum ch_col col = COL_SYS; col < COL_N; col++) {
		put(f, col, "a", "1");
		del(f, col, "a");
		put(f, col, "a", "2");
		put(f, col, "b", "1");
		del(f, col, "b");
		del(f, col, "never");
	}
	commit(f);
	for (enum ch_col col = COL_SYS; col < COL_N; col++) {
		get_is(f->now, col, "a", "2");
		get_is(f->now, col, "b", NULL);
		scan_is(f->now, col, "", "", "a=2 ");
	}
}

static void columns_are_apart(void **state)
{
	struct fixture *f = *state;
	char key[2] = "a", want[8];

	for (enum ch_col col = COL_SYS; col < COL_N; col++) {
		key[0] = (char)('a' + (int)col);
		put(f, col, key, key);
	}
	commit(f);
	for (enum ch_col col = COL_SYS; col < COL_N; col++) {
		snprintf(want, sizeof(want), "%c=%c ", 'a' + (int)col,
			 'a' + (int)col);
		scan_is(f->now, col, "", "", want);
	}
}

static void empty_is_a_key_and_a_value(void **state)
{
	struct fixture *f = *state;
	struct strbuf sb = STRBUF_INIT;

	batch_put(&f->batch, COL_REF, bytes(NULL, 0), bytes("\0x\0", 3));
	batch_put(&f->batch, COL_REF, bytes("\0", 1), bytes(NULL, 0));
	batch_put(&f->batch, COL_LIVE, bytes(NULL, 0), bytes(NULL, 0));
	commit(f);

	strbuf_add_str(&sb, "what stood there before");
	assert_int_equal(f->now->get(f->now, COL_REF, bytes(NULL, 0), &sb), 0);
	assert_int_equal(sb.len, 3);
	assert_memory_equal(sb.buf, "\0x\0", 3);
	assert_int_equal(f->now->get(f->now, COL_REF, bytes("\0", 1), &sb), 0);
	assert_int_equal(sb.len, 0);
	assert_int_equal(f->now->get(f->now, COL_REF, bytes("\0\0", 2), &sb),
			 -ENOENT);
	assert_int_equal(count(f->now, COL_REF), 2);
	assert_int_equal(count(f->now, COL_LIVE), 1);

	batch_del(&f->batch, COL_REF, bytes(NULL, 0));
	commit(f);
	assert_int_equal(f->now->get(f->now, COL_REF, bytes(NULL, 0), &sb),
			 -ENOENT);
	strbuf_release(&sb);
}

static void an_empty_batch_is_one(void **state)
{
	struct fixture *f = *state;

	commit(f);
	commit_ok(f->store, &f->batch, false);
	assert_int_equal(count(f->now, COL_SYS), 0);
}

static void scans_know_prefix_and_from(void **state)
{
	struct fixture *f = *state;

	for (enum ch_col col = COL_LIVE; (int)col >= 0; col--) {
		put(f, col, "a", "0");
		put(f, col, "web", "1");
		put(f, col, "web/lyon", "2");
		put(f, col, "web/nantes", "3");
		put(f, col, "web2", "4");
		put(f, col, "\xff", "5");
		put(f, col, "\xff\xff", "6");
		put(f, col, "\xff\xff\x01", "7");
		if (col == 0)
			break;
	}
	commit(f);
	for (enum ch_col col = COL_SYS; col < COL_N; col++) {
		scan_is(f->now, col, "web/", "", "web/lyon=2 web/nantes=3 ");
		scan_is(f->now, col, "web/", "a", "web/lyon=2 web/nantes=3 ");
		scan_is(f->now, col, "web/", "web/m", "web/nantes=3 ");
		scan_is(f->now, col, "web/", "web/nantes", "web/nantes=3 ");
		scan_is(f->now, col, "web/", "web2", "");
		scan_is(f->now, col, "x", "", "");
		scan_is(f->now, col, "", "web2",
			"web2=4 \xff=5 \xff\xff=6 \xff\xff\x01=7 ");
		scan_is(f->now, col, "\xff\xff", "",
			"\xff\xff=6 \xff\xff\x01=7 ");
	}
}

struct stopper {
	int after, answer;
	int calls;
};

static int stop(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct stopper *st = arg;

	(void)key;
	(void)value;
	return ++st->calls == st->after ? st->answer : 0;
}

static void scans_stop_and_fail(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		enum ch_col col = i ? COL_LIVE : COL_OUT;
		struct stopper one = {.after = 2, .answer = 1};
		struct stopper bad = {.after = 1, .answer = -ERANGE};
		struct stopper end = {.after = 3, .answer = 1};
		struct ch_bytes all = bytes(NULL, 0);

		put(f, col, "1", "");
		put(f, col, "2", "");
		put(f, col, "3", "");
		commit(f);
		assert_int_equal(
			f->now->scan(f->now, col, all, all, stop, &one), 1);
		assert_int_equal(one.calls, 2);
		assert_int_equal(
			f->now->scan(f->now, col, all, all, stop, &bad),
			-ERANGE);
		assert_int_equal(bad.calls, 1);
		assert_int_equal(
			f->now->scan(f->now, col, all, all, stop, &end), 1);
		assert_int_equal(end.calls, 3);
	}
}

static void snapshots_stand_still(void **state)
{
	struct fixture *f = *state;
	const struct ch_reader *before, *after;

	put(f, COL_RECORD, "a", "1");
	put(f, COL_RECORD, "gone", "1");
	put(f, COL_LIVE, "a", "1");
	commit(f);
	assert_int_equal(store_snapshot(f->store, &before), 0);

	put(f, COL_RECORD, "a", "2");
	put(f, COL_RECORD, "new", "2");
	del(f, COL_RECORD, "gone");
	put(f, COL_LIVE, "a", "2");
	commit(f);
	assert_int_equal(store_snapshot(f->store, &after), 0);

	put(f, COL_RECORD, "a", "3");
	commit(f);
	get_is(before, COL_RECORD, "a", "1");
	get_is(before, COL_RECORD, "new", NULL);
	scan_is(before, COL_RECORD, "", "", "a=1 gone=1 ");
	get_is(before, COL_LIVE, "a", "2");
	scan_is(before, COL_LIVE, "", "", "a=2 ");
	scan_is(after, COL_RECORD, "", "", "a=2 new=2 ");
	scan_is(f->now, COL_RECORD, "", "", "a=3 new=2 ");

	store_snapshot_free(f->store, before);
	scan_is(after, COL_RECORD, "", "", "a=2 new=2 ");
	store_snapshot_free(f->store, after);
	store_snapshot_free(f->store, NULL);
}

static void only_the_disk_remembers(void **state)
{
	struct fixture *f = *state;

	for (enum ch_col col = COL_SYS; col < COL_N; col++) {
		put(f, col, "", "empty");
		put(f, col, "a", "1");
	}
	commit(f);
	put(f, COL_JOB, "lazy", "1");
	commit_ok(f->store, &f->batch, false);
	store_close(f->store);
	store_start(f);

	assert_int_equal(count(f->now, COL_LIVE), 0);
	for (enum ch_col col = COL_SYS; col < COL_LIVE; col++) {
		get_is(f->now, col, "a", f->rocks ? "1" : NULL);
		get_is(f->now, col, "", f->rocks ? "empty" : NULL);
	}
	get_is(f->now, COL_JOB, "lazy", f->rocks ? "1" : NULL);
}

#define CHUNK (256u << 10)
#define CHUNK_N 32u

static void a_body_of_8_MiB(void **state)
{
	struct fixture *f = *state;
	struct strbuf sb = STRBUF_INIT;
	unsigned char *chunk = malloc(CHUNK), key[36] = {0};
	uint64_t seed = 7;

	assert_non_null(chunk);
	for (unsigned i = 0; i < CHUNK_N; i++) {
		for (size_t k = 0; k < CHUNK; k++)
			chunk[k] = (unsigned char)draw(&seed, 256);
		key[35] = (unsigned char)i;
		batch_put(&f->batch, COL_BODY, bytes(key, sizeof(key)),
			  bytes(chunk, CHUNK));
	}
	commit(f);
	if (f->rocks) {
		store_close(f->store);
		store_start(f);
	}
	seed = 7;
	assert_int_equal(count(f->now, COL_BODY), CHUNK_N);
	for (unsigned i = 0; i < CHUNK_N; i++) {
		for (size_t k = 0; k < CHUNK; k++)
			chunk[k] = (unsigned char)draw(&seed, 256);
		key[35] = (unsigned char)i;
		assert_int_equal(f->now->get(f->now, COL_BODY,
					     bytes(key, sizeof(key)), &sb),
				 0);
		assert_int_equal(sb.len, CHUNK);
		assert_memory_equal(sb.buf, chunk, CHUNK);
	}
	strbuf_release(&sb);
	free(chunk);
}

#define MANY 100000

struct ordered {
	unsigned n;
	bool good;
};

/* The n-th key is the n-th number. */
static int in_order(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct ordered *o = arg;
	char want[16];

	(void)value;
	snprintf(want, sizeof(want), "%08u", o->n++);
	o->good = o->good && ch_bytes_equal(key, ch_str(want));
	return o->good ? 0 : -EILSEQ;
}

static void a_hundred_thousand_keys(void **state)
{
	struct fixture *f = *state;
	struct ordered o = {.good = true};
	struct store_figures figures;
	struct strbuf sb = STRBUF_INIT;
	uint64_t seed = 1;
	char key[16], value[101];

	memset(value, 'v', sizeof(value) - 1);
	value[100] = '\0';
	/* Not in order: 99991 is a prime. */
	for (unsigned i = 0, k = 0; i < MANY; i++, k = (k + 99991) % MANY) {
		snprintf(key, sizeof(key), "%08u", k);
		put(f, COL_RECORD, key, value);
		if (i % 1000 == 999)
			commit_ok(f->store, &f->batch, false);
	}
	assert_int_equal(f->now->scan(f->now, COL_RECORD, bytes(NULL, 0),
				      bytes(NULL, 0), in_order, &o),
			 0);
	assert_int_equal(o.n, MANY);
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "%08u", draw(&seed, MANY));
		assert_int_equal(
			f->now->get(f->now, COL_RECORD, ch_str(key), &sb), 0);
		assert_int_equal(sb.len, 100);
	}
	strbuf_release(&sb);

	store_figures(f->store, &figures);
	assert_true(figures.memory_bytes > 0);
	assert_true((figures.disk_bytes > 0) == f->rocks);

	for (unsigned k = 0; k < MANY; k++) {
		snprintf(key, sizeof(key), "%08u", k);
		if (k % 3)
			del(f, COL_RECORD, key);
	}
	commit(f);
	assert_int_equal(count(f->now, COL_RECORD), (MANY + 2) / 3);
}

/* --- A store and a list that must always agree --- */

#define MODEL_MAX 400
#define KEY_MAX 4

struct model_pair {
	unsigned char key[KEY_MAX];
	size_t key_len;
	uint32_t value;
};

struct model {
	struct model_pair v[MODEL_MAX]; /* In order. */
	size_t n;
};

static int pair_cmp(const struct model_pair *a, const struct model_pair *b)
{
	size_t len = a->key_len < b->key_len ? a->key_len : b->key_len;
	int r = memcmp(a->key, b->key, len);

	return r ? r : (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

/* Few bytes, those that go wrong among them: 3^0 + ... + 3^4 keys. */
static struct model_pair pair_draw(uint64_t *seed)
{
	static const unsigned char letter[] = {0, 'a', 0xff};
	struct model_pair p = {.key_len = draw(seed, KEY_MAX + 1)};

	for (size_t i = 0; i < p.key_len; i++)
		p.key[i] = letter[draw(seed, sizeof(letter))];
	p.value = draw(seed, 1u << 30);
	return p;
}

static void model_put(struct model *m, const struct model_pair *p, bool put)
{
	size_t i = 0;

	while (i < m->n && pair_cmp(&m->v[i], p) < 0)
		i++;
	if (i < m->n && pair_cmp(&m->v[i], p) == 0) {
		m->n--;
		memmove(&m->v[i], &m->v[i + 1], (m->n - i) * sizeof(m->v[0]));
	}
	if (!put)
		return;
	assert_true(m->n < MODEL_MAX);
	memmove(&m->v[i + 1], &m->v[i], (m->n - i) * sizeof(m->v[0]));
	m->v[i] = *p;
	m->n++;
}

/* What a scan has to call, still. */
struct expect {
	const struct model *m;
	struct model_pair prefix, from;
	size_t next;
};

static void expect_skip(struct expect *x)
{
	while (x->next < x->m->n) {
		const struct model_pair *p = &x->m->v[x->next];

		if (pair_cmp(p, &x->from) >= 0 &&
		    p->key_len >= x->prefix.key_len &&
		    memcmp(p->key, x->prefix.key, x->prefix.key_len) == 0)
			return;
		x->next++;
	}
}

static int expect_one(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct expect *x = arg;
	const struct model_pair *p;

	expect_skip(x);
	if (x->next == x->m->n)
		return -ENOENT;
	p = &x->m->v[x->next++];
	if (!ch_bytes_equal(key, bytes(p->key, p->key_len)) ||
	    !ch_bytes_equal(value, bytes(&p->value, sizeof(p->value))))
		return -EILSEQ;
	return 0;
}

static void model_agrees(const struct model *m, const struct ch_reader *r,
			 enum ch_col col, uint64_t *seed)
{
	struct expect x = {
		.m = m, .prefix = pair_draw(seed), .from = pair_draw(seed)};
	struct model_pair p = pair_draw(seed);
	struct strbuf sb = STRBUF_INIT;
	size_t i = 0;
	int ret;

	if (draw(seed, 2))
		x.prefix.key_len = draw(seed, 2);
	if (draw(seed, 2))
		x.from.key_len = 0;
	assert_int_equal(r->scan(r, col, bytes(x.prefix.key, x.prefix.key_len),
				 bytes(x.from.key, x.from.key_len), expect_one,
				 &x),
			 0);
	expect_skip(&x);
	assert_int_equal(x.next, m->n);

	while (i < m->n && pair_cmp(&m->v[i], &p) != 0)
		i++;
	ret = r->get(r, col, bytes(p.key, p.key_len), &sb);
	assert_int_equal(ret, i < m->n ? 0 : -ENOENT);
	if (ret == 0)
		assert_true(ch_bytes_equal(strbuf_bytes(&sb),
					   bytes(&m->v[i].value, 4)));
	strbuf_release(&sb);
}

static void agrees_with_a_list(void **state)
{
	static struct model m[2], then;
	struct fixture *f = *state;
	const struct ch_reader *snapshot = NULL;
	uint64_t seed = 20250101;

	m[0].n = m[1].n = 0;
	for (int round = 0; round < 600; round++) {
		size_t n = draw(&seed, 20);

		for (size_t i = 0; i < n; i++) {
			struct model_pair p = pair_draw(&seed);
			uint32_t which = draw(&seed, 2);
			enum ch_col col = which ? COL_LIVE : COL_SITE;
			bool is_put = draw(&seed, 5) < 3;

			model_put(&m[which], &p, is_put);
			if (is_put)
				batch_put(&f->batch, col,
					  bytes(p.key, p.key_len),
					  bytes(&p.value, sizeof(p.value)));
			else
				batch_del(&f->batch, col,
					  bytes(p.key, p.key_len));
		}
		commit_ok(f->store, &f->batch, round % 50 == 0);
		model_agrees(&m[0], f->now, COL_SITE, &seed);
		model_agrees(&m[1], f->now, COL_LIVE, &seed);
		if (snapshot)
			model_agrees(&then, snapshot, COL_SITE, &seed);
		if (round % 7 == 0) {
			store_snapshot_free(f->store, snapshot);
			assert_int_equal(store_snapshot(f->store, &snapshot),
					 0);
			then = m[0];
		}
	}
	store_snapshot_free(f->store, snapshot);
}

/* --- Readers while a writer commits --- */

struct readers {
	struct fixture *f;
	atomic_bool done, bad;
};

static uint64_t number(const struct ch_reader *r, enum ch_col col,
		       const char *key)
{
	struct strbuf sb = STRBUF_INIT;
	uint64_t n = 0;

	if (r->get(r, col, ch_str(key), &sb) == 0 && sb.len == sizeof(n))
		memcpy(&n, sb.buf, sizeof(n));
	strbuf_release(&sb);
	return n;
}

/* Each commit writes its number to all keys: a snapshot that shows two
 * numbers shows half a batch, and a number that falls is a lost one. */
static void *read_on(void *arg)
{
	struct readers *rd = arg;
	struct store *s = rd->f->store;
	uint64_t last = 0, last_live = 0;

	while (!atomic_load(&rd->done)) {
		const struct ch_reader *r;
		uint64_t n, live;
		size_t pairs = 0;

		if (store_snapshot(s, &r) < 0)
			break;
		n = number(r, COL_RECORD, "a");
		live = number(r, COL_LIVE, "a");
		if (n < last || live < last_live ||
		    n != number(r, COL_RECORD, "z") ||
		    n != number(r, COL_OUT, "a"))
			atomic_store(&rd->bad, true);
		if (r->scan(r, COL_RECORD, bytes(NULL, 0), bytes(NULL, 0),
			    scan_count, &pairs) != 0 ||
		    (n > 0 && pairs != 2 + n % 2))
			atomic_store(&rd->bad, true);
		last = n;
		last_live = live;
		store_snapshot_free(s, r);
	}
	return NULL;
}

static void readers_never_see_half(void **state)
{
	struct fixture *f = *state;
	struct readers rd = {.f = f};
	pthread_t thread[3];

	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, read_on, &rd),
				 0);
	for (uint64_t n = 1; n <= 3000; n++) {
		struct ch_bytes value = bytes(&n, sizeof(n));

		batch_put(&f->batch, COL_RECORD, ch_str("a"), value);
		batch_put(&f->batch, COL_RECORD, ch_str("z"), value);
		batch_put(&f->batch, COL_OUT, ch_str("a"), value);
		batch_put(&f->batch, COL_LIVE, ch_str("a"), value);
		if (n % 2)
			batch_put(&f->batch, COL_RECORD, ch_str("m"), value);
		else
			batch_del(&f->batch, COL_RECORD, ch_str("m"));
		commit_ok(f->store, &f->batch, false);
	}
	atomic_store(&rd.done, true);
	for (size_t i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	assert_false(atomic_load(&rd.bad));
	assert_int_equal(number(f->now, COL_RECORD, "z"), 3000);
	assert_int_equal(number(f->now, COL_LIVE, "a"), 3000);
}

/* --- No memory --- */

static void batch_of_ten(struct fixture *f, const char *value)
{
	char key[8];

	for (int i = 0; i < 10; i++) {
		snprintf(key, sizeof(key), "%d", i);
		put(f, COL_RECORD, key, value);
		put(f, COL_LIVE, key, value);
	}
	del(f, COL_RECORD, "5");
	del(f, COL_LIVE, "5");
}

/* Fail the first allocation, then the second, ... until a commit succeeds. */
static void no_memory_no_batch(void **state)
{
	struct fixture *f = *state;

	for (long n = 0;; n++) {
		struct err err = ERR_INIT;
		int r;

		batch_of_ten(f, "old");
		commit(f);
		batch_of_ten(f, "new");
		mem_fail_after(n);
		r = store_commit(f->store, &f->batch, true, &err);
		mem_fail_after(-1);
		batch_reset(&f->batch);
		get_is(f->now, COL_RECORD, "9", r == 0 ? "new" : "old");
		get_is(f->now, COL_LIVE, "9", r == 0 ? "new" : "old");
		get_is(f->now, COL_LIVE, "5", NULL);
		assert_int_equal(count(f->now, COL_LIVE), 9);
		if (r == 0) {
			assert_true(n > 10);
			break;
		}
		assert_int_equal(r, -ENOMEM);
		assert_string_not_equal(err.text, "");
		/* And then it takes no more until it is opened again. */
		put(f, COL_SYS, "a", "1");
		assert_int_equal(store_commit(f->store, &f->batch, true, NULL),
				 -EIO);
		batch_reset(&f->batch);
		get_is(f->now, COL_SYS, "a", NULL);
		store_close(f->store);
		store_start(f);
	}
}

static void a_bad_batch_is_refused(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;

	mem_fail_after(0);
	put(f, COL_RECORD, "a", "1");
	mem_fail_after(-1);
	assert_int_equal(store_commit(f->store, &f->batch, true, &err),
			 -ENOMEM);
	batch_reset(&f->batch);
	get_is(f->now, COL_RECORD, "a", NULL);
}

static void closing_none_is_nothing(void **state)
{
	(void)state;
	store_close(NULL);
}

#define ON(fn, rocks, label)                                      \
	{                                                         \
		label #fn, fn, fixture_open, fixture_close, rocks \
	}
#define ON_BOTH(fn) ON(fn, NULL, "memory: "), ON(fn, on_rocks, "rocksdb: ")

int main(void)
{
	static char on_rocks[] = "rocks";
	const struct CMUnitTest tests[] = {
		ON_BOTH(last_word_counts),
		ON_BOTH(columns_are_apart),
		ON_BOTH(empty_is_a_key_and_a_value),
		ON_BOTH(an_empty_batch_is_one),
		ON_BOTH(scans_know_prefix_and_from),
		ON_BOTH(scans_stop_and_fail),
		ON_BOTH(snapshots_stand_still),
		ON_BOTH(only_the_disk_remembers),
		ON_BOTH(a_body_of_8_MiB),
		ON_BOTH(a_hundred_thousand_keys),
		ON_BOTH(agrees_with_a_list),
		ON_BOTH(readers_never_see_half),
		ON_BOTH(no_memory_no_batch),
		ON_BOTH(a_bad_batch_is_refused),
		cmocka_unit_test(closing_none_is_nothing),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
