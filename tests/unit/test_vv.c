/*
 * test_vv.c -- dots, version vectors, and what a writer had seen.
 *
 * The vectors are compared with a plain array that has a number for each of
 * the few actors there are.
 */
#include "core/context.h"
#include "core/vv.h"
#include "tests/unit/core_help.h"

enum { ACTORS = 12 };

struct plain {
	uint64_t seq[ACTORS];
};

static void from_plain(const struct plain *p, struct vv *vv)
{
	vv_init(vv);
	for (unsigned int i = 0; i < ACTORS; i++) {
		/* In an order that is not that of the actors. */
		unsigned int k = i * 5 % ACTORS;
		struct actor a = actor_of(k);

		assert_int_equal(vv_add(vv, &a, p->seq[k]), 0);
	}
}

static void expect_plain(const struct vv *vv, const struct plain *p)
{
	size_t n = 0;

	vector_check(vv);
	for (unsigned int i = 0; i < ACTORS; i++) {
		struct actor a = actor_of(i);

		assert_int_equal(vv_get(vv, &a), p->seq[i]);
		assert_int_equal(vv_index(vv, &a) >= 0, p->seq[i] > 0);
		n += p->seq[i] > 0;
	}
	assert_int_equal(vv->n, n);
}

static struct plain draw(uint64_t *rng)
{
	struct plain p;

	for (unsigned int i = 0; i < ACTORS; i++)
		p.seq[i] = rng_below(rng, 3) ? rng_below(rng, 6) : 0;
	return p;
}

static void actors_have_an_order(void **state)
{
	const struct actor a = {site_of(1), 2, 3};
	struct actor b = a;
	struct dot d, e;

	(void)state;
	assert_int_equal(actor_cmp(&a, &b), 0);
	b.nonce = 4;
	assert_true(actor_cmp(&a, &b) < 0);
	b.epoch = 1;
	assert_true(actor_cmp(&a, &b) > 0);
	b.site = site_of(200);
	assert_true(actor_cmp(&a, &b) < 0);
	assert_true(actor_cmp(&b, &a) > 0);
	d = (struct dot){a, UINT64_MAX};
	e = (struct dot){a, 1};
	assert_true(dot_cmp(&d, &e) > 0);
	assert_true(dot_cmp(&e, &d) < 0);
	assert_int_equal(dot_cmp(&d, &d), 0);
	e.actor = b;
	assert_true(dot_cmp(&d, &e) < 0);
}

static void vectors_are_as_plain_arrays(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 2000; seed++) {
		uint64_t rng = seed;
		struct plain pa = draw(&rng), pb = draw(&rng), joined, clamped;
		struct vv a, b, c;
		bool includes = true;

		vv_init(&c);
		from_plain(&pa, &a);
		from_plain(&pb, &b);
		expect_plain(&a, &pa);
		for (unsigned int i = 0; i < ACTORS; i++) {
			struct dot d = {actor_of(i), rng_below(&rng, 6) + 1};

			assert_int_equal(vv_covers(&a, &d),
					 d.seq <= pa.seq[i]);
			includes = includes && pa.seq[i] >= pb.seq[i];
			joined.seq[i] = pa.seq[i] > pb.seq[i] ? pa.seq[i]
							      : pb.seq[i];
			clamped.seq[i] = pa.seq[i] < pb.seq[i] ? pa.seq[i]
							       : pb.seq[i];
		}
		assert_int_equal(vv_includes(&a, &b), includes);
		assert_true(vv_includes(&a, &a));

		assert_int_equal(vv_copy(&c, &a), 0);
		expect_plain(&c, &pa);
		assert_int_equal(vv_join(&c, &b), 0);
		expect_plain(&c, &joined);
		assert_true(vv_includes(&c, &a));
		assert_true(vv_includes(&c, &b));
		assert_int_equal(vv_copy(&c, &a), 0);
		vv_clamp(&c, &b);
		expect_plain(&c, &clamped);
		assert_int_equal(vv_join(&c, &c), 0);
		expect_plain(&c, &clamped);
		vv_release(&a);
		vv_release(&b);
		vv_release(&c);
	}
}

static void nothing_is_not_an_entry(void **state)
{
	struct actor a = actor_of(0);
	struct vv vv, other;

	(void)state;
	vv_init(&vv);
	vv_init(&other);
	assert_int_equal(vv_add(&vv, &a, 0), 0);
	assert_int_equal(vv.n, 0);
	assert_int_equal(vv_join(&vv, &other), 0);
	assert_int_equal(vv_copy(&vv, &other), 0);
	vv_clamp(&vv, &other);
	assert_true(vv_includes(&vv, &other));
	assert_int_equal(vv_add(&vv, &a, 7), 0);
	assert_int_equal(vv_add(&vv, &a, 3), 0);
	assert_int_equal(vv_get(&vv, &a), 7);
	vv_clamp(&vv, &other);
	assert_int_equal(vv.n, 0);
	vv_release(&vv);
	vv_release(&vv);
}

static int decode(struct ch_bytes in, struct vv *ret)
{
	struct wire w = wire_of(in);
	int rc = vv_decode(&w, ret);

	assert_true(rc < 0 || wire_done(&w));
	return rc;
}

static void vectors_are_encoded(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct strbuf sb = STRBUF_INIT;
		uint64_t rng = seed;
		struct plain p = draw(&rng);
		struct vv vv, back;

		from_plain(&p, &vv);
		vv_encode(&vv, &sb);
		assert_int_equal(sb.len, 2 + 32 * vv.n);
		assert_int_equal(decode(strbuf_bytes(&sb), &back), 0);
		expect_plain(&back, &p);
		vv_release(&back);
		for (size_t len = 0; len < sb.len; len++)
			assert_int_equal(decode(bytes_of(sb.buf, len), &back),
					 -EPROTO);
		vv_release(&vv);
		strbuf_release(&sb);
	}
}

static void put_entry(struct strbuf *sb, unsigned int actor, uint64_t seq)
{
	struct actor a = actor_of(actor);

	wire_put_raw(sb, a.site.b, 16);
	wire_put_u32(sb, a.epoch);
	wire_put_u32(sb, a.nonce);
	wire_put_u64(sb, seq);
}

static void unsorted_double_and_zero_are_refused(void **state)
{
	static const struct {
		unsigned int a, b;
		uint64_t seq;
	} bad[] = {{2, 1, 1}, {1, 1, 1}, {1, 2, 0}};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct strbuf sb = STRBUF_INIT;
		struct vv vv;

		wire_put_u16(&sb, 2);
		put_entry(&sb, bad[i].a, 1);
		put_entry(&sb, bad[i].b, bad[i].seq);
		assert_int_equal(decode(strbuf_bytes(&sb), &vv), -EPROTO);
		strbuf_release(&sb);
	}
}

static void a_vector_has_its_limit(void **state)
{
	(void)state;
	for (unsigned int n = VV_MAX; n <= VV_MAX + 1; n++) {
		struct strbuf sb = STRBUF_INIT;
		struct vv vv;

		wire_put_u16(&sb, (uint16_t)n);
		for (unsigned int i = 0; i < n; i++) {
			struct ch_id site = {{0}};

			wire_put_raw(&sb, site.b, 16);
			wire_put_u32(&sb, i);
			wire_put_u32(&sb, 0);
			wire_put_u64(&sb, UINT64_MAX);
		}
		if (n > VV_MAX) {
			assert_int_equal(decode(strbuf_bytes(&sb), &vv),
					 -EPROTO);
		} else {
			assert_int_equal(decode(strbuf_bytes(&sb), &vv), 0);
			assert_int_equal(vv.n, n);
			vv_release(&vv);
		}
		strbuf_release(&sb);
	}
}

/* One of the things that allocate, on @to; @from has all actors. */
static int change(int what, struct vv *to, const struct vv *from,
		  struct ch_bytes encoded)
{
	struct actor a = actor_of(ACTORS + 1);
	struct vv fresh;
	int rc;

	switch (what) {
	case 0:
		return vv_add(to, &a, 1);
	case 1:
		return vv_join(to, from);
	case 2:
		return vv_copy(to, from);
	default:
		rc = decode(encoded, &fresh);
		if (rc == 0)
			vv_release(&fresh);
		return rc;
	}
}

static void a_vector_without_memory_stays_as_it_was(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	struct plain all, few = {{0, 3, 0, 1, 2, 0, 4}};
	struct vv from;

	(void)state;
	for (unsigned int i = 0; i < ACTORS; i++)
		all.seq[i] = i + 1;
	from_plain(&all, &from);
	vv_encode(&from, &sb);
	for (int what = 0; what < 4; what++) {
		for (long n = 0;; n++) {
			long held;
			struct vv to;
			int rc;

			/* Four entries fill what was reserved. */
			from_plain(&few, &to);
			assert_int_equal(to.n, to.alloc);
			held = mem_outstanding();
			mem_fail_after(n);
			rc = change(what, &to, &from, strbuf_bytes(&sb));
			mem_fail_after(-1);
			assert_int_equal(mem_outstanding(), held);
			if (rc == 0) {
				assert_true(n > 0);
				vv_release(&to);
				break;
			}
			assert_int_equal(rc, -ENOMEM);
			expect_plain(&to, &few);
			vv_release(&to);
		}
	}
	vv_release(&from);
	strbuf_release(&sb);
}

static void with_spec(struct record *r)
{
	struct entry spec = {
		.type = ENTRY_SPEC,
		.hlc = 5,
		.body = body_of("x"),
		.syntax = 2,
	};

	record_init(r);
	assert_int_equal(record_new(r, ch_str("web")), 0);
	assert_int_equal(write_entry(r, NULL, spec, 3, 9), 0);
}

static void contexts_hold_clock_and_shown_version(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	struct context c;
	struct ch_hash vid;
	struct record r;

	(void)state;
	context_init(&c);
	context_encode(NULL, NULL, &sb);
	assert_int_equal(context_decode(strbuf_bytes(&sb), &c), 0);
	assert_int_equal(c.clock.n, 0);
	assert_false(c.has_base);

	with_spec(&r);
	strbuf_reset(&sb);
	context_encode(&r, &r.v[0], &sb);
	/* Twice into the same one: the first goes. */
	assert_int_equal(context_decode(strbuf_bytes(&sb), &c), 0);
	assert_int_equal(context_decode(strbuf_bytes(&sb), &c), 0);
	assert_true(vv_covers(&c.clock, &r.v[0].dot));
	assert_int_equal(c.clock.n, 1);
	assert_true(c.has_base);
	entry_vid(&r.v[0], &vid);
	assert_int_equal(hash_cmp(&c.base_vid, &vid), 0);
	assert_int_equal(hash_cmp(&c.base.hash, &r.v[0].body.hash), 0);
	assert_int_equal(c.base.len, 1);
	assert_int_equal(c.base_syntax, 2);
	context_release(&c);
	context_release(&c);

	for (size_t len = 0; len < sb.len; len++)
		assert_int_equal(context_decode(bytes_of(sb.buf, len), &c),
				 -EPROTO);
	strbuf_add_char(&sb, 'x');
	assert_int_equal(context_decode(strbuf_bytes(&sb), &c), -EPROTO);
	record_release(&r);
	strbuf_release(&sb);
}

/* Own writes are just those, not all that have lesser dots. */
static void contexts_go_on(void **state)
{
	struct context_own own = {.from = 7, .to = 8};
	struct strbuf sb = STRBUF_INIT;
	struct context c;
	struct record r;
	struct dot d;

	(void)state;
	context_init(&c);
	with_spec(&r);
	context_encode(NULL, NULL, &sb);
	assert_int_equal(context_decode(strbuf_bytes(&sb), &c), 0);
	d = r.v[0].dot;
	own.actor = d.actor;
	for (size_t i = 0; i < CONTEXT_OWN_MAX + 3; i++) {
		strbuf_reset(&sb);
		context_encode_next(&c, &own, i ? NULL : &r.v[0], &sb);
		assert_int_equal(context_decode(strbuf_bytes(&sb), &c), 0);
		own.from += 10;
		own.to += 10;
	}
	assert_int_equal(c.n_own, CONTEXT_OWN_MAX);
	assert_int_equal(c.clock.n, 0);
	assert_true(c.has_base);
	assert_int_equal(hash_cmp(&c.base.hash, &r.v[0].body.hash), 0);
	for (uint64_t seq = 0; seq < 200; seq++) {
		d.seq = seq;
		/* The three oldest are forgotten. */
		assert_int_equal(context_is_own(&c, &d),
				 seq > 30 && seq < own.from &&
					 (seq % 10 == 7 || seq % 10 == 8));
	}
	d.seq = 107;
	d.actor.nonce++;
	assert_false(context_is_own(&c, &d));
	context_release(&c);
	for (size_t len = 0; len < sb.len; len++)
		assert_int_equal(context_decode(bytes_of(sb.buf, len), &c),
				 -EPROTO);
	record_release(&r);
	strbuf_release(&sb);
}

static void contexts_without_memory(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	struct context c;
	struct record r;

	(void)state;
	context_init(&c);
	with_spec(&r);
	mem_fail_after(0);
	context_encode(&r, &r.v[0], &sb);
	mem_fail_after(-1);
	assert_int_equal(strbuf_error(&sb), -ENOMEM);
	strbuf_reset(&sb);
	context_encode(&r, &r.v[0], &sb);
	mem_fail_after(0);
	assert_int_equal(context_decode(strbuf_bytes(&sb), &c), -ENOMEM);
	mem_fail_after(-1);
	assert_int_equal(c.clock.n, 0);
	record_release(&r);
	strbuf_release(&sb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(actors_have_an_order),
		TEST(vectors_are_as_plain_arrays),
		TEST(nothing_is_not_an_entry),
		TEST(vectors_are_encoded),
		TEST(unsorted_double_and_zero_are_refused),
		TEST(a_vector_has_its_limit),
		TEST(a_vector_without_memory_stays_as_it_was),
		TEST(contexts_hold_clock_and_shown_version),
		TEST(contexts_go_on),
		TEST(contexts_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
