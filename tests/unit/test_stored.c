/*
 * test_stored.c -- reports, and what the store keeps beside records.
 *
 * Each value is encoded, decoded, encoded again; cut short at every byte; made
 * one byte too long; given another format; changed at random.
 */
#include "core/report.h"
#include "core/stored.h"
#include "tests/unit/core_help.h"

static struct version version_of(const char *spec, const char *patch)
{
	struct version v;

	memset(&v, 0, sizeof(v));
	if (spec)
		v.vid = hash_of_text(spec);
	if (patch)
		v.patch_vid = hash_of_text(patch);
	return v;
}

static struct report sample_report(void)
{
	return (struct report){
		.name = ch_str("web"),
		.site = site_of(3),
		.epoch = 4,
		.nonce = 0xdeadbeef,
		.number = 5,
		.state = STATE_APPLYING,
		.desired = version_of("a", "p"),
		.applied = version_of("b", NULL),
		.tries = 2,
		.next_try_ms = 1000,
		.changed_ms = 2000,
		.message = ch_str("it says so"),
		.observed = ch_str("{}"),
		.extra = ch_str("\x01later"),
	};
}

static void put_report(struct strbuf *sb)
{
	const struct report r = sample_report();

	report_encode(&r, sb);
}

static int copy_report(struct ch_bytes in, struct strbuf *sb)
{
	struct report r;
	int rc = report_decode(in, &r);

	if (rc == 0)
		report_encode(&r, sb);
	return rc;
}

static void put_site(struct strbuf *sb)
{
	const struct stored_site s = {
		.name = ch_str("paris"),
		.address = ch_str("192.0.2.2:7421"),
		.labels = ch_str("region=west\n"),
		.version = ch_str("0.1.0"),
		.address_by_hand = true,
		.epoch = 1,
		.nonce = 2,
		.incarnation = 3,
		.heard_ms = 4,
		.not_after = 5,
		.said = ch_str("192.0.2.3:7421"),
	};

	stored_site_encode(&s, sb);
}

static int copy_site(struct ch_bytes in, struct strbuf *sb)
{
	struct stored_site s;
	int rc = stored_site_decode(in, &s);

	if (rc == 0)
		stored_site_encode(&s, sb);
	return rc;
}

static void put_live(struct strbuf *sb)
{
	const struct stored_live s = {
		.heartbeat = 2,
		.heard_ms = 1,
		.rtt_ms = 2,
		.backlog = 3,
		.skew_ms = -5,
		.skew_known = true,
		.address = ch_str("192.0.2.2:7421"),
		.why = ch_str("nobody listens at 192.0.2.2:7421"),
	};

	stored_live_encode(&s, sb);
}

static int copy_live(struct ch_bytes in, struct strbuf *sb)
{
	struct stored_live s;
	int rc = stored_live_decode(in, &s);

	if (rc == 0)
		stored_live_encode(&s, sb);
	return rc;
}

static void put_job(struct strbuf *sb)
{
	const struct stored_job s = {
		.phase = JOB_APPLIED,
		.driver = ch_str("directory"),
		.lineage = site_of(9),
		.version = version_of("a", "p"),
		.effective = hash_of_text("bytes"),
	};

	stored_job_encode(&s, sb);
}

static void put_policed_job(struct strbuf *sb)
{
	const struct stored_job s = {
		.phase = JOB_BEGUN,
		.driver = ch_str("directory"),
		.lineage = site_of(9),
		.version = version_of("a", NULL),
		.ours = true,
		.policy = JOB_KEEP | JOB_REPORT,
	};

	stored_job_encode(&s, sb);
}

static void put_held_job(struct strbuf *sb)
{
	const struct stored_job s = {
		.phase = JOB_APPLIED,
		.driver = ch_str("directory"),
		.lineage = site_of(9),
		.guard = GUARD_HELD,
	};

	stored_job_encode(&s, sb);
}

static int copy_job(struct ch_bytes in, struct strbuf *sb)
{
	struct stored_job s;
	int rc = stored_job_decode(in, &s);

	if (rc == 0)
		stored_job_encode(&s, sb);
	return rc;
}

static void put_trash(struct strbuf *sb)
{
	const struct stored_trash s = {
		.name = ch_str("web"),
		.user = ch_str("root"),
		.site = site_of(1),
		.site_name = ch_str("nantes"),
		.lineage = site_of(2),
		.deleted_ms = 3,
		.run_ms = 4,
		.image = bytes_of("\0\0\0\0", 4),
	};

	stored_trash_encode(&s, sb);
}

static int copy_trash(struct ch_bytes in, struct strbuf *sb)
{
	struct stored_trash s;
	int rc = stored_trash_decode(in, &s);

	if (rc == 0)
		stored_trash_encode(&s, sb);
	return rc;
}

static void put_hold(struct strbuf *sb)
{
	const struct stored_hold s = {
		.dot = {{site_of(1), 2, 3}, 4},
		.end_run_ms = 5,
		.end_ms = 6,
	};

	stored_hold_encode(&s, sb);
}

static int copy_hold(struct ch_bytes in, struct strbuf *sb)
{
	struct stored_hold s;
	int rc = stored_hold_decode(in, &s);

	if (rc == 0)
		stored_hold_encode(&s, sb);
	return rc;
}

static void put_held(struct strbuf *sb)
{
	const struct stored_held s = {
		.lineage = site_of(1),
		.driver = ch_str("directory"),
		.cause = ch_str("deleted"),
		.user = ch_str("root"),
		.at = ch_str("paris"),
		.since_ms = 2,
		.gone = 3,
	};

	stored_held_encode(&s, sb);
}

static int copy_held(struct ch_bytes in, struct strbuf *sb)
{
	struct stored_held s;
	int rc = stored_held_decode(in, &s);

	if (rc == 0)
		stored_held_encode(&s, sb);
	return rc;
}

static void put_orphan(struct strbuf *sb)
{
	const struct stored_orphan s = {
		.lineage = site_of(1),
		.effective = hash_of_text("bytes"),
		.left_ms = 2,
	};

	stored_orphan_encode(&s, sb);
}

static int copy_orphan(struct ch_bytes in, struct strbuf *sb)
{
	struct stored_orphan s;
	int rc = stored_orphan_decode(in, &s);

	if (rc == 0)
		stored_orphan_encode(&s, sb);
	return rc;
}

static const struct codec {
	const char *name;
	void (*put)(struct strbuf *sb);
	int (*copy)(struct ch_bytes in, struct strbuf *sb);
} codecs[] = {
	{"report", put_report, copy_report}, {"site", put_site, copy_site},
	{"live", put_live, copy_live},	     {"job", put_job, copy_job},
	{"trash", put_trash, copy_trash},    {"hold", put_hold, copy_hold},
	{"job with a policy", put_policed_job, copy_job},
	{"job that is held", put_held_job, copy_job},
	{"held", put_held, copy_held},	     {"orphan", put_orphan, copy_orphan},
};

static void values_come_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(codecs); i++) {
		struct strbuf a = STRBUF_INIT, b = STRBUF_INIT;

		codecs[i].put(&a);
		assert_int_equal(codecs[i].copy(strbuf_bytes(&a), &b), 0);
		expect_bytes(strbuf_bytes(&b), strbuf_bytes(&a));
		strbuf_release(&a);
		strbuf_release(&b);
	}
}

static void half_values_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(codecs); i++) {
		struct strbuf a = STRBUF_INIT, b = STRBUF_INIT;

		codecs[i].put(&a);
		for (size_t len = 0; len < a.len; len++) {
			/* At its true size, so that ASan sees one too far. */
			char *cut = mem_dup(a.buf, len);

			if (codecs[i].put == put_site &&
			    len == a.len - 2 - strlen("192.0.2.3:7421")) {
				mem_free(cut); /* See the next test. */
				continue;
			}
			if (codecs[i].copy(bytes_of(cut, len), &b) != -EPROTO)
				fail_msg("%s: %zu bytes", codecs[i].name, len);
			mem_free(cut);
		}
		a.buf[0]++;
		assert_int_equal(codecs[i].copy(strbuf_bytes(&a), &b),
				 -EPROTO);
		a.buf[0]--;
		strbuf_add_char(&a, '\0');
		assert_int_equal(codecs[i].copy(strbuf_bytes(&a), &b),
				 -EPROTO);
		assert_int_equal(b.len, 0);
		strbuf_release(&a);
		strbuf_release(&b);
	}
}

/* As the first version stored it. */
static void an_old_site_is_read(void **state)
{
	struct strbuf a = STRBUF_INIT;
	struct stored_site s;
	size_t at;

	(void)state;
	put_site(&a);
	a.len -= 2 + strlen("192.0.2.3:7421");
	assert_int_equal(stored_site_decode(strbuf_bytes(&a), &s), 0);
	assert_int_equal(s.not_after, 5);
	assert_int_equal(s.said.len, 0); /* By hand: what it said is lost. */
	at = 1 + 2 + strlen("paris") + 2 + s.address.len + 2 + s.labels.len +
	     2 + s.version.len;
	assert_int_equal(a.buf[at], 1);
	a.buf[at] = 0;
	assert_int_equal(stored_site_decode(strbuf_bytes(&a), &s), 0);
	expect_bytes(s.said, s.address);
	strbuf_release(&a);
}

static void changed_values_do_no_harm(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(codecs); i++)
		for (uint64_t seed = 1; seed <= 4000; seed++) {
			struct strbuf a = STRBUF_INIT, b = STRBUF_INIT;
			struct strbuf c = STRBUF_INIT;
			uint64_t rng = seed;

			codecs[i].put(&a);
			for (uint64_t k = rng_below(&rng, 4) + 1; k; k--)
				a.buf[rng_below(&rng, a.len)] =
					(char)rng_next(&rng);
			if (codecs[i].copy(strbuf_bytes(&a), &b) == 0) {
				assert_int_equal(
					codecs[i].copy(strbuf_bytes(&b), &c),
					0);
				expect_bytes(strbuf_bytes(&c),
					     strbuf_bytes(&b));
			}
			strbuf_release(&a);
			strbuf_release(&b);
			strbuf_release(&c);
		}
}

static void values_without_memory_are_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(codecs); i++)
		for (long n = 0;; n++) {
			struct strbuf sb = STRBUF_INIT;
			int rc;

			mem_fail_after(n);
			codecs[i].put(&sb);
			mem_fail_after(-1);
			rc = strbuf_error(&sb);
			strbuf_release(&sb);
			if (rc == 0) {
				assert_true(n > 0);
				break;
			}
			assert_int_equal(rc, -ENOMEM);
		}
}

static void reports_have_their_limits(void **state)
{
	struct strbuf sb = STRBUF_INIT, big = STRBUF_INIT;
	struct report r = sample_report(), back;

	(void)state;
	r.state = STATES;
	report_encode(&r, &sb);
	assert_int_equal(report_decode(strbuf_bytes(&sb), &back), -EPROTO);
	r.state = STATE_IDLE;
	r.name = ch_str("");
	strbuf_reset(&sb);
	report_encode(&r, &sb);
	assert_int_equal(report_decode(strbuf_bytes(&sb), &back), -EPROTO);
	r.name = ch_str("web");
	strbuf_set_len(&big, REPORT_LEN_MAX);
	r.observed = strbuf_bytes(&big);
	strbuf_reset(&sb);
	report_encode(&r, &sb);
	assert_int_equal(report_decode(strbuf_bytes(&sb), &back), -EPROTO);
	strbuf_release(&big);
	strbuf_release(&sb);
}

static void the_newest_report_counts(void **state)
{
	struct report a = sample_report(), b = a;

	(void)state;
	assert_false(report_is_newer(&a, &b));
	b.number++;
	assert_true(report_is_newer(&b, &a));
	assert_false(report_is_newer(&a, &b));
	a.nonce++;
	assert_true(report_is_newer(&a, &b));
	b.epoch++;
	assert_true(report_is_newer(&b, &a));
	assert_false(report_is_newer(&a, &b));
}

static void states_have_words(void **state)
{
	static const char *const words[STATES] = {
		"conflict",    "failed",  "contended", "degraded",
		"unreachable", "blocked", "held",      "removing",
		"applying",    "pending", "ready",     "idle",
	};

	(void)state;
	for (int s = 0; s < STATES; s++)
		assert_string_equal(state_word((enum state)s), words[s]);
}

static void versions_are_words(void **state)
{
	const struct version none = version_of(NULL, NULL);
	const struct version spec = version_of("abc", NULL);
	const struct version both = version_of("abc", "");
	struct strbuf sb = STRBUF_INIT;

	(void)state;
	assert_true(version_is_zero(&none));
	assert_false(version_is_zero(&spec));
	assert_true(version_equal(&spec, &spec));
	assert_false(version_equal(&spec, &both));
	assert_false(version_equal(&spec, &none));
	version_to_text(&none, &sb);
	strbuf_add_char(&sb, ' ');
	version_to_text(&spec, &sb);
	strbuf_add_char(&sb, ' ');
	version_to_text(&both, &sb);
	assert_string_equal(sb.buf, "- ba7816bf8f01cfea "
				    "ba7816bf8f01cfea+e3b0c44298fc1c14");
	strbuf_release(&sb);
}

static void a_job_has_a_phase(void **state)
{
	struct stored_job s = {.phase = 0}, back;

	(void)state;
	for (unsigned int phase = 0; phase < 6; phase++) {
		struct strbuf sb = STRBUF_INIT;
		bool good = phase >= JOB_BEGUN && phase <= JOB_ORPHANED;

		s.phase = (uint8_t)phase;
		stored_job_encode(&s, &sb);
		assert_int_equal(stored_job_decode(strbuf_bytes(&sb), &back),
				 good ? 0 : -EPROTO);
		strbuf_release(&sb);
	}
}

static void a_job_without_before_is_as_it_was(void **state)
{
	struct stored_job s = {.phase = JOB_BEGUN}, back;
	struct strbuf old = STRBUF_INIT, sb = STRBUF_INIT;

	(void)state;
	s.driver = ch_str("directory");
	stored_job_encode(&s, &old); /* Format 1 before there was a list. */
	assert_int_equal(old.len, 1 + 1 + 2 + 9 + 16 + 3 * 32 + 1);
	s.n_before = CH_BEFORE_MAX;
	for (size_t i = 0; i < CH_BEFORE_MAX; i++)
		s.before[i] = hash_of_text(i % 2 ? "odd" : "even");
	stored_job_encode(&s, &sb);
	assert_memory_equal(old.buf, sb.buf, old.len);
	assert_int_equal(stored_job_decode(strbuf_bytes(&sb), &back), 0);
	assert_int_equal(back.n_before, CH_BEFORE_MAX);
	assert_memory_equal(back.before, s.before, sizeof(s.before));
	/* Cut short, or with one too many. */
	for (size_t len = old.len + 1; len < sb.len; len++)
		assert_int_equal(stored_job_decode(
					 (struct ch_bytes){sb.buf, len}, &back),
				 -EPROTO);
	sb.buf[old.len]++;
	strbuf_add(&sb, s.before[0].b, 32);
	assert_int_equal(stored_job_decode(strbuf_bytes(&sb), &back), -EPROTO);
	strbuf_release(&sb);
	strbuf_release(&old);
}

/* A job of a resource that was renamed says so behind what all say. */
static void a_job_knows_its_object(void **state)
{
	struct strbuf sb = STRBUF_INIT, with = STRBUF_INIT;
	struct stored_job s = {.phase = JOB_APPLIED}, back;

	(void)state;
	stored_job_encode(&s, &sb);
	assert_int_equal(stored_job_decode(strbuf_bytes(&sb), &back), 0);
	assert_int_equal(back.object.len, 0);
	s.object = ch_str("web");
	stored_job_encode(&s, &with);
	assert_memory_equal(sb.buf, with.buf, sb.len);
	assert_int_equal(stored_job_decode(strbuf_bytes(&with), &back), 0);
	assert_true(ch_bytes_equal(back.object, ch_str("web")));
	for (size_t n = sb.len + 1; n < with.len; n++)
		assert_int_equal(stored_job_decode(
					 (struct ch_bytes){with.buf, n}, &back),
				 -EPROTO);
	/* And so where there is more to say in front. */
	s.policy = JOB_KEEP;
	s.guard = GUARD_HELD;
	s.n_before = 1;
	strbuf_reset(&with);
	stored_job_encode(&s, &with);
	assert_int_equal(stored_job_decode(strbuf_bytes(&with), &back), 0);
	assert_true(ch_bytes_equal(back.object, ch_str("web")));
	assert_int_equal(back.policy, JOB_KEEP);
	assert_int_equal(back.guard, GUARD_HELD);
	assert_int_equal(back.n_before, 1);
	strbuf_release(&with);
	strbuf_release(&sb);
}

static void keys_sort_as_they_should(void **state)
{
	const struct ch_hash h = hash_of_text("abc");
	const struct ch_id site = site_of('s');
	struct strbuf a = STRBUF_INIT, b = STRBUF_INIT;

	(void)state;
	key_report(&a, ch_str("web"), &site);
	expect_bytes(strbuf_bytes(&a), bytes_of("web\0ssssssssssssssss", 20));
	strbuf_reset(&a);
	key_live(&a, &site);
	expect_bytes(strbuf_bytes(&a), ch_str("mssssssssssssssss"));
	strbuf_reset(&a);
	key_part(&a, &h);
	assert_int_equal(a.len, 5 + 32);
	assert_memory_equal(a.buf, "part/\xba\x78", 7);
	strbuf_reset(&a);
	key_ref(&a, &h, ch_str("web"));
	assert_int_equal(a.len, 35);
	assert_string_equal(a.buf + 32, "web");
	strbuf_reset(&a);

	key_out(&a, &site, 255);
	key_out(&b, &site, 256);
	assert_int_equal(a.len, 24);
	assert_true(memcmp(a.buf, b.buf, a.len) < 0);
	strbuf_reset(&a);
	strbuf_reset(&b);
	key_body(&a, &h, 255);
	key_body(&b, &h, 256);
	assert_int_equal(a.len, 36);
	assert_true(memcmp(a.buf, b.buf, a.len) < 0);
	strbuf_release(&a);
	strbuf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(values_come_back),
		cmocka_unit_test(half_values_are_refused),
		TEST(an_old_site_is_read),
		TEST(changed_values_do_no_harm),
		TEST(values_without_memory_are_bad),
		TEST(reports_have_their_limits),
		TEST(the_newest_report_counts),
		TEST(states_have_words),
		TEST(versions_are_words),
		TEST(a_job_has_a_phase),
		TEST(a_job_without_before_is_as_it_was),
		TEST(a_job_knows_its_object),
		TEST(keys_sort_as_they_should),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
