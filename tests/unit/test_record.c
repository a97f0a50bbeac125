/*
 * test_record.c -- what core/record.h promises, one rule at a time.
 *
 * test_record_random.c has the algebra. The expected bytes and the version's
 * id were worked out by hand from the drawing in record.c, with sha256sum.
 */
#include "core/record.h"
#include "tests/unit/core_help.h"

static void open_record(struct record *r)
{
	record_init(r);
	assert_int_equal(record_new(r, ch_str("web")), 0);
}

/* A version whose body is @text. */
static struct entry spec_of(const char *text, uint64_t hlc)
{
	return (struct entry){
		.type = ENTRY_SPEC, .hlc = hlc, .body = body_of(text)};
}

static void write_spec(struct record *r, const struct vv *ctx,
		       const char *text, unsigned int actor, uint64_t seq)
{
	assert_int_equal(write_entry(r, ctx, spec_of(text, seq), actor, seq),
			 0);
	record_check(r);
}

static bool has_spec(const struct record *r, const char *text)
{
	struct ch_hash h = hash_of_text(text);
	const struct entry *e;
	size_t pos = 0;

	while ((e = record_next(r, ENTRY_SPEC, &pos)))
		if (hash_cmp(&e->body.hash, &h) == 0)
			return true;
	return false;
}

static void bytes_are_as_drawn(void **state)
{
	static const char want[] = "\x01\x01\0\0\0\x03web"
				   "\0\x01"
				   "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1"
				   "\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x09"
				   "\0\0\0\x01"
				   "\0\x04\0\0\0\0\0\0\0\0\0\0\x09"
				   "\0\0\0\x16"
				   "\x02\0\0\0\x08\0\0\0\0\0\0\0\x07"
				   "\x08\0\0\0\x04none"
				   "\0\0\0\0";
	const struct entry e = {
		.type = ENTRY_DRIVER, .hlc = 7, .value = ch_str("none")};
	struct strbuf sb = STRBUF_INIT;
	struct ch_hash vid;
	struct record r;

	(void)state;
	open_record(&r);
	assert_int_equal(write_entry(&r, NULL, e, 0, 9), 0);
	record_encode(&r, &sb);
	expect_bytes(strbuf_bytes(&sb), bytes_of(want, sizeof(want) - 1));
	entry_vid(&r.v[0], &vid);
	strbuf_reset(&sb);
	strbuf_add_hex(&sb, vid.b, sizeof(vid.b));
	assert_string_equal(sb.buf, "a845280024b6bc6b7eff0f2146f38d18"
			    "c88b01a80322a6d1e52965991dc096bd");
	strbuf_release(&sb);
	record_release(&r);
}

static void a_write_removes_what_its_writer_had_seen(void **state)
{
	struct vv seen_a;
	struct record r;

	(void)state;
	vv_init(&seen_a);
	open_record(&r);
	write_spec(&r, NULL, "a", 0, 1);
	assert_int_equal(vv_copy(&seen_a, &r.clock), 0);
	write_spec(&r, &seen_a, "b", 2, 1);
	assert_int_equal(r.n, 1); /* b has replaced a. */
	write_spec(&r, &seen_a, "c", 4, 1);
	assert_int_equal(r.n, 2); /* c knew nothing of b. */
	assert_true(has_spec(&r, "b"));
	assert_true(has_spec(&r, "c"));
	/* One's own earlier write is not seen by who opened before it. */
	write_spec(&r, &seen_a, "d", 4, 2);
	assert_int_equal(r.n, 3);
	write_spec(&r, NULL, "e", 0, 2);
	assert_int_equal(r.n, 1);
	assert_true(has_spec(&r, "e"));
	vv_release(&seen_a);
	record_release(&r);
}

static void registers_do_not_touch_each_other(void **state)
{
	static const struct {
		uint16_t type;
		const char *sub;
	} regs[] = {
		{ENTRY_MODE, ""},     {ENTRY_MODE, "spec"},
		{ENTRY_MODE, "spe"},  {ENTRY_MODE, "spec "},
		{ENTRY_DRIVER, ""},   {ENTRY_SPEC, ""},
		{77, "spec"},	      {0, ""},
	};
	struct record r;

	(void)state;
	open_record(&r);
	for (uint64_t round = 1; round <= 2; round++)
		for (unsigned int i = 0; i < COUNT(regs); i++) {
			struct entry e = {.type = regs[i].type,
					  .sub = ch_str(regs[i].sub)};

			assert_int_equal(write_entry(&r, NULL, e, i, round),
					 0);
			record_check(&r);
		}
	assert_int_equal(r.n, COUNT(regs));
	for (size_t i = 0; i < r.n; i++)
		assert_int_equal(r.v[i].dot.seq, 2);
	record_drop(&r, ENTRY_MODE, ch_str("spec"), NULL);
	assert_int_equal(r.n, COUNT(regs) - 1);
	assert_null(record_get(&r, ENTRY_MODE, ch_str("spec")));
	assert_non_null(record_get(&r, ENTRY_MODE, ch_str("spe")));
	record_drop(&r, 78, ch_str(""), NULL);
	assert_int_equal(r.n, COUNT(regs) - 1);
	record_release(&r);
}

static void a_drop_removes_what_was_seen(void **state)
{
	struct record r;
	struct vv seen;

	(void)state;
	vv_init(&seen);
	open_record(&r);
	write_spec(&r, NULL, "a", 0, 1);
	assert_int_equal(vv_copy(&seen, &r.clock), 0);
	write_spec(&r, &seen, "b", 2, 1);
	write_spec(&r, &seen, "c", 4, 1);
	record_drop(&r, ENTRY_SPEC, ch_str(""), &seen);
	assert_int_equal(r.n, 2);
	assert_int_equal(vv_join(&seen, &r.clock), 0);
	record_drop(&r, ENTRY_SPEC, ch_str(""), &seen);
	assert_int_equal(r.n, 0);
	assert_int_equal(r.clock.n, 3); /* Seen it stays. */
	vv_release(&seen);
	record_release(&r);
}

/* The same writes, in each order that six can have: the same bytes. */
static void the_order_of_writes_leaves_no_trace(void **state)
{
	static const struct vv nothing;
	struct strbuf first = STRBUF_INIT, sb = STRBUF_INIT;

	(void)state;
	for (unsigned int n = 0; n < 720; n++) {
		unsigned int left[] = {0, 1, 2, 3, 4, 5}, code = n;
		struct record r;

		open_record(&r);
		for (unsigned int k = 6; k; k--) {
			unsigned int at = code % k, i = left[at];
			struct entry e = spec_of("x", i % 3);

			code /= k;
			left[at] = left[k - 1];
			if (i % 2)
				e.type = ENTRY_PATCH;
			e.sub = i < 3 ? ch_str("") : ch_str("s");
			assert_int_equal(write_entry(&r, &nothing, e, i / 2,
						     1 + i % 2),
					 0);
		}
		record_check(&r);
		record_encode(&r, &sb);
		if (n == 0)
			strbuf_add(&first, sb.buf, sb.len);
		expect_bytes(strbuf_bytes(&sb), strbuf_bytes(&first));
		strbuf_reset(&sb);
		record_release(&r);
	}
	strbuf_release(&first);
	strbuf_release(&sb);
}

static void the_newest_of_a_register_counts(void **state)
{
	static const struct vv nothing;
	const struct entry *a, *b;
	struct ch_hash va, vb;
	struct record r;
	size_t pos = 0;

	(void)state;
	open_record(&r);
	assert_null(record_get(&r, ENTRY_SPEC, ch_str("")));
	assert_int_equal(write_entry(&r, &nothing, spec_of("new", 9), 0, 1),
			 0);
	assert_int_equal(write_entry(&r, &nothing, spec_of("old", 8), 2, 7),
			 0);
	a = record_get(&r, ENTRY_SPEC, ch_str(""));
	assert_int_equal(a->hlc, 9);
	record_drop(&r, ENTRY_SPEC, ch_str(""), NULL);
	/* One time: the greater id counts, whichever stands first. */
	assert_int_equal(write_entry(&r, &nothing, spec_of("a", 9), 0, 2), 0);
	assert_int_equal(write_entry(&r, &nothing, spec_of("a", 9), 2, 8), 0);
	a = record_next(&r, ENTRY_SPEC, &pos);
	b = record_next(&r, ENTRY_SPEC, &pos);
	assert_null(record_next(&r, ENTRY_SPEC, &pos));
	entry_vid(a, &va);
	entry_vid(b, &vb);
	assert_true(hash_cmp(&va, &vb) != 0);
	assert_ptr_equal(record_get(&r, ENTRY_SPEC, ch_str("")),
			 hash_cmp(&va, &vb) > 0 ? a : b);
	assert_int_equal(entry_rank(a, b) > 0, entry_rank(b, a) < 0);
	assert_int_equal(entry_rank(a, a), 0);
	record_release(&r);
}

static void payloads_come_back(void **state)
{
	const struct entry full = {
		.hlc = UINT64_MAX,
		.lineage = site_of(7),
		.user = ch_str("root"),
		.body = body_of("body"),
		.has_base = true,
		.base_vid = hash_of_text("vid"),
		.base = body_of("base"),
		.base_syntax = 2,
		.syntax = 1,
		.flags = ENTRY_SECRET,
		.value = ch_str("value"),
		.image = ch_str("image"),
		.number = 12,
	};
	const struct entry bare = {.hlc = 0};
	const struct entry *const cases[] = {&full, &bare};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct entry *e = cases[i];
		struct strbuf sb = STRBUF_INIT;
		struct entry back = {.type = 0};

		entry_payload(e, &sb);
		back.payload = strbuf_bytes(&sb);
		assert_int_equal(entry_parse(&back), 0);
		assert_true(back.hlc == e->hlc);
		assert_int_equal(id_cmp(&back.lineage, &e->lineage), 0);
		expect_bytes(back.user, e->user);
		assert_int_equal(hash_cmp(&back.body.hash, &e->body.hash), 0);
		assert_int_equal(back.body.len, e->body.len);
		assert_int_equal(back.has_base, e->has_base);
		assert_int_equal(hash_cmp(&back.base_vid, &e->base_vid), 0);
		assert_int_equal(hash_cmp(&back.base.hash, &e->base.hash), 0);
		assert_int_equal(back.base.len, e->base.len);
		assert_int_equal(back.base_syntax, e->base_syntax);
		assert_int_equal(back.syntax, e->syntax);
		assert_int_equal(back.flags, e->flags);
		expect_bytes(back.value, e->value);
		expect_bytes(back.image, e->image);
		assert_int_equal(back.number, e->number);
		strbuf_release(&sb);
	}
}

static void wrong_payloads_are_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
		{"\0\0\0\0\0", 5},			   /* tag 0 */
		{"\x03\0\0\0\x01", 5},			   /* cut short */
		{"\x03\0\0\0", 4},
		{"\x03\0\0\0\x01u\x03\0\0\0\x01u", 12},	   /* twice */
		{"\x08\0\0\0\x01v\x03\0\0\0\x01u", 12},	   /* falling */
		{"\xff\0\0\0\0\x0d\0\0\0\0", 10},
		{"\x02\0\0\0\x07\0\0\0\0\0\0\0", 12},	   /* hlc of 7 */
		{"\x02\0\0\0\x09\0\0\0\0\0\0\0\0\0", 14},  /* hlc of 9 */
		{"\x06\0\0\0\0", 5},			   /* no syntax */
		{"\x01\0\0\0\x01x", 6},
		{"\x0a\0\0\0\x05\0\0\0\0\0", 10},
	};
	static const char later[] = "\x0b\0\0\0\x02xx\xff\0\0\0\0";

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct entry e = {.payload = {bad[i].bytes, bad[i].len}};

		if (entry_parse(&e) != -EPROTO)
			fail_msg("case %zu", i);
	}
	for (size_t len = 0; len < sizeof(later); len++) {
		struct entry e = {.payload = {later, len}};

		assert_int_equal(entry_parse(&e),
				 len == 0 || len == 7 || len == 12 ? 0
								   : -EPROTO);
	}
}

/* An entry as raw bytes, of the only actor. */
static void put_entry(struct strbuf *sb, uint16_t type, const char *sub,
		      uint16_t actor, uint64_t seq, const char *payload)
{
	wire_put_u16(sb, type);
	wire_put_u8(sb, (uint8_t)strlen(sub));
	wire_put_raw(sb, sub, strlen(sub));
	wire_put_u16(sb, actor);
	wire_put_u64(sb, seq);
	wire_put_b32(sb, ch_str(payload));
}

/* What of a record is wrong. */
enum wrong {
	RIGHT, FORMAT, NO_NAME, ACTOR, SEQ_ZERO, SEQ_UNSEEN, PAYLOAD, ORDER,
	TWICE, SAME_DOT, COUNT_LESS, COUNT_MORE, TAIL, WRONGS
};

static void put_record(struct strbuf *sb, enum wrong what)
{
	struct actor a = actor_of(0);

	wire_put_u8(sb, what == FORMAT ? 2 : 1);
	wire_put_u8(sb, 1);
	wire_put_u16(sb, 0);
	wire_put_b16(sb, ch_str(what == NO_NAME ? "" : "web"));
	wire_put_u16(sb, 1);
	wire_put_raw(sb, a.site.b, 16);
	wire_put_u32(sb, a.epoch);
	wire_put_u32(sb, a.nonce);
	wire_put_u64(sb, 5);
	wire_put_u32(sb, what == COUNT_LESS ? 1 : what == COUNT_MORE ? 3 : 2);
	put_entry(sb, what == ORDER ? 9 : 5, what == ORDER ? "" : "a",
		  what == ACTOR, what == SEQ_ZERO ? 0 : 2,
		  what == PAYLOAD ? "x" : "");
	put_entry(sb, 5, what == TWICE ? "a" : "b", 0,
		  what == SEQ_UNSEEN			? 6
		  : what == SAME_DOT || what == TWICE ? 2
							: 3,
		  "");
	wire_put_b32(sb, ch_str(""));
	if (what == TAIL)
		wire_put_u8(sb, 0);
}

static void wrong_records_are_refused(void **state)
{
	struct strbuf sb = STRBUF_INIT, big = STRBUF_INIT;
	struct err e = ERR_INIT;
	struct record r;

	(void)state;
	record_init(&r);
	for (enum wrong what = RIGHT; what < WRONGS; what++) {
		int rc;

		strbuf_reset(&sb);
		put_record(&sb, what);
		err_set(&e, -EIO, "an older sentence");
		rc = record_decode(strbuf_bytes(&sb), &r, &e);
		if (rc != (what == RIGHT ? 0 : -EPROTO))
			fail_msg("case %d: %d", (int)what, rc);
		assert_true(what == RIGHT || strstr(e.text, "a record"));
		assert_int_equal(record_decode(strbuf_bytes(&sb), &r, NULL),
				 rc);
		/* The first, right one is still there. */
		assert_int_equal(r.n, 2);
		record_check(&r);
	}
	strbuf_set_len(&big, RECORD_LEN_MAX + 1);
	assert_int_equal(record_decode(strbuf_bytes(&big), &r, &e), -EPROTO);
	assert_string_equal(e.text, "a record of 1048577 bytes");
	assert_int_equal(record_decode(bytes_of(NULL, 0), &r, &e), -EPROTO);
	record_release(&r);
	strbuf_release(&big);
	strbuf_release(&sb);
}

static void many_entries_have_a_limit(void **state)
{
	(void)state;
	for (uint32_t n = RECORD_ENTRIES_MAX; n <= RECORD_ENTRIES_MAX + 1;
	     n++) {
		struct strbuf sb = STRBUF_INIT;
		struct actor a = actor_of(0);
		struct record r;

		record_init(&r);
		wire_put_raw(&sb, "\x01\x01\0\0\0\x03web\0\x01", 11);
		wire_put_raw(&sb, a.site.b, 16);
		wire_put_u32(&sb, a.epoch);
		wire_put_u32(&sb, a.nonce);
		wire_put_u64(&sb, n);
		wire_put_u32(&sb, n);
		for (uint32_t i = 1; i <= n; i++)
			put_entry(&sb, 9, "", 0, i, "");
		wire_put_u32(&sb, 0);
		assert_int_equal(record_decode(strbuf_bytes(&sb), &r, NULL),
				 n > RECORD_ENTRIES_MAX ? -EPROTO : 0);
		record_release(&r);
		strbuf_release(&sb);
	}
}

/* Joins may make more versions than a user may: they must be readable. */
static void joins_of_many_versions_can_be_read(void **state)
{
	static const struct vv nothing;
	struct strbuf sb = STRBUF_INIT;
	struct record a, b;

	(void)state;
	open_record(&a);
	open_record(&b);
	for (unsigned int i = 1; i <= RECORD_SPECS_MAX; i++) {
		struct entry e = spec_of("x", i);

		e.body.len = i;
		assert_int_equal(write_entry(&a, &nothing, e, 0, i), 0);
		assert_int_equal(write_entry(&b, &nothing, e, 2, i), 0);
	}
	assert_int_equal(record_merge(&a, &b, &a), 0);
	assert_int_equal(a.n, 2 * RECORD_SPECS_MAX);
	record_encode(&a, &sb);
	assert_int_equal(record_decode(strbuf_bytes(&sb), &b, NULL), 0);
	assert_true(record_equal(&a, &b));
	strbuf_release(&sb);
	record_release(&a);
	record_release(&b);
}

static void results_may_replace_their_sources(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	struct record a, b, whole;

	(void)state;
	record_init(&whole);
	open_record(&a);
	open_record(&b);
	write_spec(&a, NULL, "a", 0, 1);
	write_spec(&b, NULL, "b", 2, 1);
	assert_int_equal(record_merge(&a, &b, &whole), 0);
	assert_int_equal(whole.n, 2);
	assert_int_equal(record_merge(&a, &b, &b), 0);
	assert_true(record_equal(&b, &whole));
	assert_int_equal(record_merge(&a, &b, &a), 0);
	assert_true(record_equal(&a, &whole));
	assert_int_equal(record_copy(&a, &a), 0);
	assert_true(record_equal(&a, &whole));
	record_encode(&a, &sb);
	assert_int_equal(record_decode(strbuf_bytes(&sb), &a, NULL), 0);
	assert_true(record_equal(&a, &whole));
	record_release(&a);
	record_release(&a);
	record_release(&b);
	record_release(&whole);
	strbuf_release(&sb);
}

static void header_of_later_versions_is_kept(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	struct record a, b, joined;

	(void)state;
	record_init(&joined);
	open_record(&a);
	open_record(&b);
	a.kind = 9;
	a.flags = 0x8001;
	b.flags = 2;
	b.extra = arena_bytes(&b.arena, ch_str("for later"));
	assert_int_equal(record_merge(&a, &b, &joined), 0);
	assert_int_equal(joined.kind, 9);
	assert_int_equal(joined.flags, 0x8003);
	expect_bytes(joined.extra, ch_str("for later"));
	record_encode(&joined, &sb);
	assert_int_equal(record_decode(strbuf_bytes(&sb), &a, NULL), 0);
	assert_true(record_equal(&a, &joined));
	assert_false(record_equal(&a, &b));
	record_release(&a);
	record_release(&b);
	record_release(&joined);
	strbuf_release(&sb);
}

/* What allocates. */
enum act { NEW, WRITE, COPY, MERGE, DECODE, ENCODE, ACTS };

static int act(enum act what, struct record *r, const struct record *other,
	       struct ch_bytes encoded)
{
	static const char payload[] = "\x08\0\0\0\x04more";
	struct strbuf sb = STRBUF_INIT;
	const struct entry e = {
		.type = ENTRY_SPEC,
		.dot = {actor_of(8), 1},
		.payload = {payload, sizeof(payload) - 1},
	};
	int rc;

	switch (what) {
	case NEW:
		return record_new(r, ch_str("web"));
	case WRITE:
		return record_write(r, NULL, &e);
	case COPY:
		return record_copy(r, other);
	case MERGE:
		return record_merge(r, other, r);
	case DECODE:
		return record_decode(encoded, r, NULL);
	case ENCODE:
	case ACTS:
		break;
	}
	record_encode(other, &sb);
	rc = strbuf_error(&sb);
	strbuf_release(&sb);
	return rc;
}

static void a_record_without_memory_stays_as_it_was(void **state)
{
	static const struct vv nothing;
	struct strbuf encoded = STRBUF_INIT, before = STRBUF_INIT;
	struct record other, was;

	(void)state;
	open_record(&other);
	open_record(&was);
	for (unsigned int i = 0; i < 30; i++)
		write_spec(&other, &nothing, "x", i % 7, i / 7 + 1);
	/* Four actors, eight entries: as many as were reserved. */
	for (unsigned int i = 0; i < 8; i++)
		write_spec(&was, &nothing, "y", 10 + i % 4, i / 4 + 1);
	record_encode(&other, &encoded);
	record_encode(&was, &before);
	for (enum act what = NEW; what < ACTS; what++) {
		for (long n = 0;; n++) {
			struct strbuf after = STRBUF_INIT;
			struct record r;
			long held;
			int rc;

			record_init(&r);
			if (what != NEW)
				assert_int_equal(record_copy(&r, &was), 0);
			held = mem_outstanding();
			mem_fail_after(n);
			rc = act(what, &r, &other, strbuf_bytes(&encoded));
			mem_fail_after(-1);
			if (rc < 0 && what != NEW) {
				record_check(&r);
				record_encode(&r, &after);
				expect_bytes(strbuf_bytes(&after),
					     strbuf_bytes(&before));
			}
			strbuf_release(&after);
			/* A write may have begun a chunk of the arena. */
			assert_true(mem_outstanding() == held || rc == 0 ||
				    what == WRITE);
			record_release(&r);
			if (rc == 0) {
				assert_true(n > 0);
				break;
			}
			assert_int_equal(rc, -ENOMEM);
		}
	}
	record_release(&other);
	record_release(&was);
	strbuf_release(&encoded);
	strbuf_release(&before);
}

/* Copied by a rename, under other dots, and again: it is the same version. A
 * tag of a later release stands behind the one that a copy adds. */
static void a_moved_version_stays_the_same(void **state)
{
	struct strbuf payload = STRBUF_INIT, once = STRBUF_INIT;
	struct strbuf twice = STRBUF_INIT;
	struct entry e = spec_of("a: 1", 7), copy, again;
	struct ch_hash was, is;

	(void)state;
	entry_payload(&e, &payload);
	wire_put_u8(&payload, 99);
	wire_put_b32(&payload, ch_str("later"));
	e.payload = strbuf_bytes(&payload);
	e.dot = (struct dot){actor_of(1), 5};
	assert_int_equal(entry_parse(&e), 0);
	entry_vid(&e, &was);
	assert_int_equal(dot_cmp(entry_origin(&e), &e.dot), 0);

	entry_payload_moved(&e, ch_str("web"), &once);
	copy = (struct entry){.type = e.type, .payload = strbuf_bytes(&once)};
	copy.dot = (struct dot){actor_of(2), 9};
	assert_int_equal(entry_parse(&copy), 0);
	entry_vid(&copy, &is);
	assert_int_equal(hash_cmp(&was, &is), 0);
	assert_int_equal(dot_cmp(entry_origin(&copy), &e.dot), 0);
	assert_true(ch_bytes_equal(copy.origin_name, ch_str("web")));
	assert_int_equal(copy.hlc, 7);

	entry_payload_moved(&copy, ch_str("web2"), &twice);
	expect_bytes(strbuf_bytes(&twice), strbuf_bytes(&once));
	again = (struct entry){.type = e.type, .payload = strbuf_bytes(&twice)};
	again.dot = (struct dot){actor_of(3), 1};
	assert_int_equal(entry_parse(&again), 0);
	entry_vid(&again, &is);
	assert_int_equal(hash_cmp(&was, &is), 0);
	strbuf_release(&twice);
	strbuf_release(&once);
	strbuf_release(&payload);
}

static void a_rename_reads_as_it_was_written(void **state)
{
	struct strbuf sb = STRBUF_INIT, from = STRBUF_INIT;
	struct entry tomb = {
		.type = ENTRY_TOMB,
		.to = ch_str("web2"),
		.made = {actor_of(4), 12},
		.renames = 3,
		.seen = ch_str("a clock"),
	};
	struct entry made = {.type = ENTRY_MADE, .renames = 2};
	struct ch_bytes name;

	(void)state;
	entry_payload(&tomb, &sb);
	tomb = (struct entry){.type = ENTRY_TOMB, .payload = strbuf_bytes(&sb)};
	assert_int_equal(entry_parse(&tomb), 0);
	assert_true(ch_bytes_equal(tomb.to, ch_str("web2")));
	assert_int_equal(tomb.made.seq, 12);
	assert_int_equal(tomb.renames, 3);
	assert_true(ch_bytes_equal(tomb.seen, ch_str("a clock")));
	/* Cut anywhere it is refused, and not read beyond its end. */
	for (size_t n = 1; n < sb.len; n++) {
		struct entry cut = {.type = ENTRY_TOMB};

		cut.payload = (struct ch_bytes){sb.buf, n};
		(void)entry_parse(&cut);
		assert_true(!cut.to.len || cut.to.len == 4);
	}
	strbuf_reset(&sb);
	wire_put_b16(&from, ch_str("b"));
	wire_put_b16(&from, ch_str("a"));
	made.from = strbuf_bytes(&from);
	entry_payload(&made, &sb);
	made = (struct entry){.type = ENTRY_MADE, .payload = strbuf_bytes(&sb)};
	assert_int_equal(entry_parse(&made), 0);
	assert_int_equal(made.renames, 2);
	assert_int_equal(entry_from(&made, 0, &name), 0);
	assert_true(ch_bytes_equal(name, ch_str("b")));
	assert_int_equal(entry_from(&made, 1, &name), 0);
	assert_true(ch_bytes_equal(name, ch_str("a")));
	assert_int_equal(entry_from(&made, 2, &name), -ENOENT);
	strbuf_release(&from);
	strbuf_release(&sb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bytes_are_as_drawn),
		TEST(a_write_removes_what_its_writer_had_seen),
		TEST(registers_do_not_touch_each_other),
		TEST(a_drop_removes_what_was_seen),
		TEST(the_order_of_writes_leaves_no_trace),
		TEST(the_newest_of_a_register_counts),
		TEST(payloads_come_back),
		TEST(wrong_payloads_are_refused),
		TEST(wrong_records_are_refused),
		TEST(many_entries_have_a_limit),
		TEST(joins_of_many_versions_can_be_read),
		TEST(results_may_replace_their_sources),
		TEST(header_of_later_versions_is_kept),
		TEST(a_record_without_memory_stays_as_it_was),
		TEST(a_moved_version_stays_the_same),
		TEST(a_rename_reads_as_it_was_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
