/*
 * test_record_random.c -- the algebra of records, on random ones.
 *
 * A history is up to five replicas of one record that write, drop, restart
 * (a new epoch) and join at random. Beside each stands a model of it that has
 * no clocks: the set of writes that were seen, and of those that are left, as
 * bits. The rules are the model's: a write removes those that its context
 * had seen, a join keeps what the other side has too or has not seen.
 *
 * A second kind of record is drawn and not grown: any states of any dots,
 * also two contents under one dot, as only a forger could make them. The
 * algebra must hold there too.
 */
#include "core/resource.h"
#include "tests/unit/core_help.h"

enum {
	HISTORIES = 1500,
	REPLICAS_MAX = 5,
	STEPS = 60,
	WRITES_MAX = 64, /* Bits of a model. */
	POOL = 8,
};

static char long_sub[255];

static const struct reg {
	uint16_t type;
	const void *sub;
	size_t len;
} regs[] = {
	{ENTRY_MADE, "", 0},
	{ENTRY_SPEC, "", 0},
	{ENTRY_TOMB, "", 0},
	{ENTRY_DRIVER, "", 0},
	{ENTRY_MODE, "", 0},
	{ENTRY_MODE, "spec", 4},
	{ENTRY_SITE, "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1", 16},
	{ENTRY_SITE, "\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2", 16},
	{ENTRY_WITNESS, "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1", 16},
	{ENTRY_PATCH, "\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2", 16},
	{0, "\0", 1}, /* From here on: types of later versions. */
	{9, "later", 5},
	{0xffff, long_sub, sizeof(long_sub)},
};

struct write {
	unsigned int actor;
	uint64_t seq;
	size_t reg;
	struct strbuf payload;
};

struct model {
	uint64_t seen, left; /* Bit i: write i. */
};

struct replica {
	struct record r;
	struct model m;
	struct vv opened; /* What a writer saw who has not closed yet. */
	uint64_t opened_seen;
	unsigned int actor;
	uint64_t seq;
};

struct history {
	uint64_t seed, rng;
	struct write w[WRITES_MAX];
	size_t n_writes, n_replicas;
	struct replica v[REPLICAS_MAX];
	struct record pool[POOL]; /* Copies, from all along the way. */
	size_t n_pool;
};

static uint64_t running; /* The seed at hand, for the report. */

#define HOLDS(expr) ((expr) ? (void)0 : broken(#expr, __LINE__))

static void broken(const char *expr, int line)
{
	fail_msg("seed %llu, line %d: %s", (unsigned long long)running, line,
		 expr);
}

static struct ch_bytes sub_of(size_t reg)
{
	return bytes_of(regs[reg].sub, regs[reg].len);
}

/* Fields at random, in half of them tags that this version does not know. */
static void draw_payload(uint64_t *rng, struct strbuf *sb)
{
	static const char *const words[] = {"", "a", "kubernetes", "x=y"};
	struct site_value site = {.in = rng_below(rng, 2),
				  .name = ch_str("paris")};
	struct strbuf value = STRBUF_INIT;
	struct entry e = {.hlc = rng_below(rng, 4)};

	e.lineage = site_of((unsigned int)rng_below(rng, 3));
	e.user = ch_str(words[rng_below(rng, COUNT(words))]);
	if (rng_below(rng, 2))
		e.body = body_of(words[rng_below(rng, COUNT(words))]);
	if (rng_below(rng, 3) == 0) {
		e.has_base = true;
		e.base = body_of(words[rng_below(rng, COUNT(words))]);
		e.base_syntax = (uint8_t)rng_below(rng, 3);
	}
	e.syntax = (uint8_t)rng_below(rng, 4);
	e.flags = (uint32_t)rng_below(rng, 3);
	e.number = (uint32_t)rng_below(rng, 3);
	if (rng_below(rng, 2))
		site_value_encode(&site, &value);
	e.value = strbuf_bytes(&value);
	entry_payload(&e, sb);
	strbuf_release(&value);
	for (unsigned int tag = 11; tag < 256; tag += 61)
		if (rng_below(rng, 4) == 0) {
			uint64_t bytes = rng_next(rng);

			wire_put_u8(sb, (uint8_t)tag);
			wire_put_b32(sb, bytes_of(&bytes, rng_below(rng, 9)));
		}
	assert_int_equal(strbuf_error(sb), 0);
}

static const struct write *write_of(const struct history *h,
				    const struct entry *e, size_t *ret_i)
{
	for (size_t i = 0; i < h->n_writes; i++) {
		struct dot dot = {actor_of(h->w[i].actor), h->w[i].seq};

		if (dot_cmp(&dot, &e->dot) == 0) {
			*ret_i = i;
			return &h->w[i];
		}
	}
	return NULL;
}

static void expect_model(const struct history *h, const struct record *r,
			 const struct model *m)
{
	size_t n = 0, actors = 0;

	record_check(r);
	vector_check(&r->clock);
	for (size_t i = 0; i < r->n; i++) {
		const struct entry *e = &r->v[i];
		size_t k = 0;
		const struct write *w = write_of(h, e, &k);

		HOLDS(w);
		HOLDS(m->left >> k & 1);
		HOLDS(e->type == regs[w->reg].type);
		HOLDS(ch_bytes_equal(e->sub, sub_of(w->reg)));
		HOLDS(ch_bytes_equal(e->payload, strbuf_bytes(&w->payload)));
	}
	for (size_t i = 0; i < h->n_writes; i++)
		n += m->left >> i & 1;
	HOLDS(r->n == n);
	for (unsigned int a = 0; a < 2 * REPLICAS_MAX; a++) {
		struct actor actor = actor_of(a);
		uint64_t max = 0;

		for (size_t i = 0; i < h->n_writes; i++)
			if (h->w[i].actor == a && m->seen >> i & 1 &&
			    h->w[i].seq > max)
				max = h->w[i].seq;
		HOLDS(vv_get(&r->clock, &actor) == max);
		actors += max > 0;
	}
	HOLDS(r->clock.n == actors);
}

static void remove_seen(const struct history *h, struct model *m, size_t reg,
			uint64_t seen)
{
	for (size_t i = 0; i < h->n_writes; i++)
		if (h->w[i].reg == reg && seen >> i & 1)
			m->left &= ~((uint64_t)1 << i);
}

static void step_write(struct history *h, struct replica *p, bool all)
{
	struct write *w = &h->w[h->n_writes];
	struct entry e;

	w->reg = rng_below(&h->rng, COUNT(regs));
	w->actor = p->actor;
	p->seq += 1 + rng_below(&h->rng, 3);
	w->seq = p->seq;
	strbuf_init(&w->payload);
	draw_payload(&h->rng, &w->payload);
	remove_seen(h, &p->m, w->reg, all ? ~(uint64_t)0 : p->opened_seen);
	p->m.seen |= (uint64_t)1 << h->n_writes;
	p->m.left |= (uint64_t)1 << h->n_writes;
	h->n_writes++;
	e = (struct entry){
		.type = regs[w->reg].type,
		.sub = sub_of(w->reg),
		.dot = {actor_of(w->actor), w->seq},
		.payload = strbuf_bytes(&w->payload),
	};
	assert_int_equal(record_write(&p->r, all ? NULL : &p->opened, &e), 0);
}

static void step_drop(struct history *h, struct replica *p, bool all)
{
	size_t reg = rng_below(&h->rng, COUNT(regs));

	remove_seen(h, &p->m, reg, all ? ~(uint64_t)0 : p->opened_seen);
	record_drop(&p->r, regs[reg].type, sub_of(reg),
		    all ? NULL : &p->opened);
}

static void join_model(struct model *m, const struct model *o)
{
	m->left = (m->left & o->left) | (m->left & ~o->seen) |
		  (o->left & ~m->seen);
	m->seen |= o->seen;
}

static void step(struct history *h)
{
	struct replica *p = &h->v[rng_below(&h->rng, h->n_replicas)];
	struct replica *q = &h->v[rng_below(&h->rng, h->n_replicas)];
	uint64_t what = rng_below(&h->rng, 100);
	bool all = rng_below(&h->rng, 3) == 0;

	if (what < 45) {
		if (h->n_writes < WRITES_MAX)
			step_write(h, p, all);
	} else if (what < 50) {
		step_drop(h, p, all);
	} else if (what < 65) {
		assert_int_equal(vv_copy(&p->opened, &p->r.clock), 0);
		p->opened_seen = p->m.seen;
	} else if (what < 67) {
		if (p->actor % 2 == 0) {
			p->actor++;
			p->seq = 0;
		}
	} else {
		assert_int_equal(record_merge(&p->r, &q->r, &p->r), 0);
		join_model(&p->m, &q->m);
	}
	expect_model(h, &p->r, &p->m);
	if (h->n_pool < POOL && rng_below(&h->rng, STEPS / POOL) == 0)
		assert_int_equal(record_copy(&h->pool[h->n_pool++], &p->r), 0);
}

static void history_open(struct history *h, uint64_t seed)
{
	memset(h, 0, sizeof(*h));
	running = h->seed = h->rng = seed;
	h->n_replicas = 2 + rng_below(&h->rng, REPLICAS_MAX - 1);
	for (size_t i = 0; i < POOL; i++)
		record_init(&h->pool[i]);
	for (unsigned int i = 0; i < h->n_replicas; i++) {
		record_init(&h->v[i].r);
		assert_int_equal(record_new(&h->v[i].r, ch_str("web")), 0);
		h->v[i].actor = 2 * i;
	}
	for (size_t i = 0; i < STEPS; i++)
		step(h);
}

static void history_close(struct history *h)
{
	for (size_t i = 0; i < h->n_replicas; i++) {
		record_release(&h->v[i].r);
		vv_release(&h->v[i].opened);
	}
	for (size_t i = 0; i < POOL; i++)
		record_release(&h->pool[i]);
	for (size_t i = 0; i < h->n_writes; i++)
		strbuf_release(&h->w[i].payload);
}

static bool same_bytes(const struct record *a, const struct record *b)
{
	struct strbuf x = STRBUF_INIT, y = STRBUF_INIT;
	bool same;

	record_encode(a, &x);
	record_encode(b, &y);
	assert_int_equal(x.bad || y.bad, 0);
	same = ch_bytes_equal(strbuf_bytes(&x), strbuf_bytes(&y));
	strbuf_release(&x);
	strbuf_release(&y);
	return same;
}

static void expect_same(const struct record *a, const struct record *b)
{
	HOLDS(record_equal(a, b));
	HOLDS(record_equal(b, a));
	HOLDS(same_bytes(a, b));
}

static void expect_algebra(const struct record *a, const struct record *b,
			   const struct record *c)
{
	struct record ab, ba, bc, x, y;

	record_init(&ab);
	record_init(&ba);
	record_init(&bc);
	record_init(&x);
	record_init(&y);
	assert_int_equal(record_merge(a, a, &x), 0);
	expect_same(&x, a); /* idempotent */
	assert_int_equal(record_merge(a, b, &ab), 0);
	assert_int_equal(record_merge(b, a, &ba), 0);
	expect_same(&ab, &ba); /* commutative */
	record_check(&ab);
	vector_check(&ab.clock);
	assert_int_equal(record_merge(&ab, b, &x), 0);
	expect_same(&x, &ab); /* a bound: nothing more to learn of b */
	assert_int_equal(record_merge(b, c, &bc), 0);
	assert_int_equal(record_merge(&ab, c, &x), 0);
	assert_int_equal(record_merge(a, &bc, &y), 0);
	expect_same(&x, &y); /* associative */
	record_release(&ab);
	record_release(&ba);
	record_release(&bc);
	record_release(&x);
	record_release(&y);
}

/* decode(encode(r)) is r, to the byte. */
static void expect_round_trip(const struct record *r)
{
	struct strbuf sb = STRBUF_INIT;
	struct err e = ERR_INIT;
	struct record back;

	record_init(&back);
	record_encode(r, &sb);
	assert_int_equal(strbuf_error(&sb), 0);
	if (record_decode(strbuf_bytes(&sb), &back, &e) != 0)
		fail_msg("seed %llu: %s", (unsigned long long)running, e.text);
	strbuf_release(&sb); /* What was decoded owns its bytes. */
	expect_same(&back, r);
	record_check(&back);
	for (size_t i = 0; i < r->n; i++) {
		const struct entry *a = &r->v[i], *b = &back.v[i];

		HOLDS(a->hlc == b->hlc);
		HOLDS(a->syntax == b->syntax);
		HOLDS(a->flags == b->flags);
		HOLDS(a->number == b->number);
		HOLDS(a->has_base == b->has_base);
		HOLDS(ch_bytes_equal(a->user, b->user));
		HOLDS(ch_bytes_equal(a->value, b->value));
		HOLDS(id_cmp(&a->lineage, &b->lineage) == 0);
		HOLDS(entry_rank(a, b) == 0);
	}
	record_release(&back);
}

static void histories_follow_the_model(void **state)
{
	static struct history h;

	(void)state;
	for (uint64_t seed = 1; seed <= HISTORIES; seed++) {
		struct model all = {0, 0};

		history_open(&h, seed);
		/* Everyone hears of everyone, each in another order. */
		for (size_t i = 0; i < h.n_replicas; i++)
			join_model(&all, &h.v[i].m);
		for (int round = 0; round < 2; round++)
			for (size_t i = 0; i < h.n_replicas; i++)
				for (size_t k = 0; k < h.n_replicas; k++) {
					size_t j = (i * (k + 1) + k) %
						   h.n_replicas;

					if (round)
						j = k;
					assert_int_equal(
						record_merge(&h.v[j].r,
							     &h.v[i].r,
							     &h.v[i].r),
						0);
				}
		for (size_t i = 0; i < h.n_replicas; i++) {
			expect_model(&h, &h.v[i].r, &all);
			expect_same(&h.v[i].r, &h.v[0].r);
		}
		history_close(&h);
	}
}

static void joins_are_an_algebra(void **state)
{
	static struct history h;

	(void)state;
	for (uint64_t seed = 1; seed <= HISTORIES; seed++) {
		history_open(&h, HISTORIES + seed);
		for (size_t i = 0; h.n_pool && i < 4; i++)
			expect_algebra(
				&h.pool[rng_below(&h.rng, h.n_pool)],
				&h.pool[rng_below(&h.rng, h.n_pool)],
				&h.pool[rng_below(&h.rng, h.n_pool)]);
		for (size_t i = 0; i < h.n_pool; i++) {
			const struct record *a = &h.pool[i];
			const struct record *b =
				&h.pool[rng_below(&h.rng, h.n_pool)];

			expect_round_trip(a);
			HOLDS(record_equal(a, b) == same_bytes(a, b));
		}
		history_close(&h);
	}
}

/* Any state of a few dots; two contents are to be had of each. */
static void draw_record(uint64_t *rng, struct record *r)
{
	static const char *const extra[] = {"", "a", "ab", "b"};
	static const struct vv nothing;
	struct ch_bytes x = ch_str(extra[rng_below(rng, COUNT(extra))]);

	record_init(r);
	assert_int_equal(record_new(r, ch_str("web")), 0);
	r->kind = (uint8_t)(1 + rng_below(rng, 2));
	r->flags = (uint16_t)rng_below(rng, 4);
	r->extra = arena_bytes(&r->arena, x);
	assert_int_equal(arena_error(&r->arena), 0);
	for (unsigned int a = 0; a < 3; a++) {
		struct actor actor = actor_of(a);

		for (uint64_t seq = 1; seq <= 4; seq++) {
			uint64_t content = rng_below(rng, 5);
			uint64_t from = 100 * a + 10 * seq + content;
			struct strbuf payload = STRBUF_INIT;
			struct entry e = {.dot = {actor, seq}};
			size_t reg;

			if (content >= 2)
				continue;
			reg = rng_below(&from, COUNT(regs));
			draw_payload(&from, &payload);
			e.type = regs[reg].type;
			e.sub = sub_of(reg);
			e.payload = strbuf_bytes(&payload);
			assert_int_equal(record_write(r, &nothing, &e), 0);
			strbuf_release(&payload);
		}
		assert_int_equal(vv_add(&r->clock, &actor, rng_below(rng, 5)),
				 0);
	}
	record_check(r);
}

static void forged_records_join_alike_everywhere(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6000; seed++) {
		uint64_t rng = running = seed;
		struct record a, b, c;

		draw_record(&rng, &a);
		draw_record(&rng, &b);
		draw_record(&rng, &c);
		expect_algebra(&a, &b, &c);
		expect_round_trip(&a);
		HOLDS(record_equal(&a, &b) == same_bytes(&a, &b));
		record_release(&a);
		record_release(&b);
		record_release(&c);
	}
}

static void records_cut_short_are_refused(void **state)
{
	static struct history h;

	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct strbuf sb = STRBUF_INIT;

		history_open(&h, 3 * HISTORIES + seed);
		record_encode(&h.v[0].r, &sb);
		for (size_t len = 0; len < sb.len; len++) {
			char *cut = mem_dup(sb.buf, len);
			char *small = mem_realloc(cut, len);
			struct err e = ERR_INIT;
			struct record r;

			record_init(&r);
			assert_int_equal(
				record_decode(bytes_of(small, len), &r, &e),
				-EPROTO);
			assert_true(e.text[0]);
			assert_int_equal(r.n, 0);
			mem_free(small);
		}
		strbuf_release(&sb);
		history_close(&h);
	}
}

static void mutate(uint64_t *rng, struct strbuf *sb)
{
	for (uint64_t k = 1 + rng_below(rng, 4); k && sb->len; k--) {
		size_t at = rng_below(rng, sb->len);
		size_t n = rng_below(rng, sb->len - at) % 40 + 1;

		if (n > sb->len - at)
			n = sb->len - at;
		switch (rng_below(rng, 6)) {
		case 0:
			sb->buf[at] = (char)rng_next(rng);
			break;
		case 1:
			sb->buf[at] ^= (char)(1u << rng_below(rng, 8));
			break;
		case 2: /* Lengths and counts are small: so are changes. */
			sb->buf[at] = (char)(sb->buf[at] + 1);
			break;
		case 3:
			memmove(sb->buf + at, sb->buf + at + n,
				sb->len - at - n);
			strbuf_set_len(sb, sb->len - n);
			break;
		case 4:
			strbuf_set_len(sb, sb->len + n);
			memmove(sb->buf + at + n, sb->buf + at,
				sb->len - at - n);
			break;
		default:
			memmove(sb->buf + rng_below(rng, sb->len - n + 1),
				sb->buf + at, n);
			break;
		}
	}
}

static int see_site(void *arg, const struct resource_site *s)
{
	const struct record *r = arg;

	HOLDS(s->in == resource_site_in(r, &s->id));
	HOLDS(s->out == resource_site_out(r, &s->id));
	HOLDS(s->witness == resource_is_witness(r, &s->id));
	HOLDS(resource_is_holder(r, &s->id));
	HOLDS(s->name.len <= 63);
	return 0;
}

static int see_body(void *arg, const struct body_ref *body)
{
	(void)arg;
	HOLDS(body->len > 0);
	return 0;
}

/* Whatever the bytes said, all that is asked of a record has an answer. */
static void ask_everything(struct record *r)
{
	struct ch_id site = site_of(1);
	struct strbuf image = STRBUF_INIT;
	struct desired d;

	assert_int_equal(resource_sites(r, see_site, r), 0);
	assert_int_equal(resource_bodies(r, see_body, NULL), 0);
	resource_desired(r, &site, &d);
	HOLDS(!d.any || resource_site_in(r, &site));
	HOLDS(resource_versions(r) > 1 || !resource_is_split(r));
	(void)resource_is_secret(r);
	(void)resource_driver(r);
	(void)resource_mode(r, true);
	image_make(r, NULL, 0, &image);
	assert_int_equal(strbuf_error(&image), 0);
	strbuf_release(&image);
}

static void changed_records_break_nothing(void **state)
{
	static struct history h;
	size_t good = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct strbuf whole = STRBUF_INIT;

		history_open(&h, 4 * HISTORIES + seed);
		record_encode(&h.v[0].r, &whole);
		for (int i = 0; i < 125; i++) {
			struct strbuf sb = STRBUF_INIT, again = STRBUF_INIT;
			struct record r;
			struct ch_bytes in;
			char *exact;

			record_init(&r);
			strbuf_add(&sb, whole.buf, whole.len);
			mutate(&h.rng, &sb);
			exact = mem_realloc(NULL, sb.len);
			memcpy(exact, sb.buf, sb.len);
			in = bytes_of(exact, sb.len);
			if (record_decode(in, &r, NULL) == 0) {
				good++;
				record_check(&r);
				vector_check(&r.clock);
				record_encode(&r, &again);
				HOLDS(ch_bytes_equal(strbuf_bytes(&again),
						     in));
				ask_everything(&r);
				if (ch_bytes_equal(r.name, h.v[0].r.name))
					expect_algebra(&r, &h.v[0].r,
						       &h.v[1].r);
			}
			mem_free(exact);
			record_release(&r);
			strbuf_release(&again);
			strbuf_release(&sb);
		}
		strbuf_release(&whole);
		history_close(&h);
	}
	assert_in_range(good, 500, 24500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(histories_follow_the_model),
		TEST(joins_are_an_algebra),
		TEST(forged_records_join_alike_everywhere),
		TEST(records_cut_short_are_refused),
		TEST(changed_records_break_nothing),
	};

	memset(long_sub, 'x', sizeof(long_sub));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
