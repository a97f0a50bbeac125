/*
 * test_resource.c -- what a record means, rule by rule of core/resource.h.
 *
 * Sites are numbers: 1 nantes, 2 paris, 3 lyon. Each writer of a scene is an
 * actor of its own; dots and times grow with each write of the whole scene.
 */
#include "core/resource.h"
#include "tests/unit/core_help.h"

enum { NANTES = 1, PARIS, LYON };

static const char *const names[] = {"", "nantes", "paris", "lyon"};
static const struct vv nothing;
static uint64_t now; /* Of the scene: hlc and dots. */

static void open_record(struct record *r)
{
	record_init(r);
	assert_int_equal(record_new(r, ch_str("web")), 0);
}

static void put(struct record *r, const struct vv *ctx, struct entry e)
{
	e.hlc = ++now;
	assert_int_equal(write_entry(r, ctx, e, (unsigned int)(now % 4), now),
			 0);
	record_check(r);
}

static void make(struct record *r, unsigned int lineage)
{
	put(r, NULL,
	    (struct entry){.type = ENTRY_MADE, .lineage = site_of(lineage)});
}

static void put_spec(struct record *r, const struct vv *ctx,
		     const char *text, unsigned int lineage)
{
	put(r, ctx,
	    (struct entry){.type = ENTRY_SPEC,
			   .body = body_of(text),
			   .syntax = 1,
			   .lineage = site_of(lineage)});
}

static void put_site_value(struct record *r, const struct vv *ctx,
			   uint16_t type, unsigned int site, bool in)
{
	const struct site_value value = {.in = in,
					 .name = ch_str(names[site])};
	const struct ch_id id = site_of(site);
	struct strbuf v = STRBUF_INIT;

	site_value_encode(&value, &v);
	put(r, ctx,
	    (struct entry){.type = type,
			   .sub = id_bytes(&id),
			   .value = strbuf_bytes(&v)});
	strbuf_release(&v);
}

static void put_site(struct record *r, unsigned int site, bool in)
{
	put_site_value(r, NULL, ENTRY_SITE, site, in);
}

/* As the engine deletes: a tombstone with the image, and MADE and SPEC go. */
static void bury(struct record *r, const struct resource_site *also,
		 size_t n_also)
{
	struct strbuf image = STRBUF_INIT;

	image_make(r, also, n_also, &image);
	put(r, NULL,
	    (struct entry){.type = ENTRY_TOMB, .image = strbuf_bytes(&image)});
	record_drop(r, ENTRY_MADE, ch_str(""), NULL);
	record_drop(r, ENTRY_SPEC, ch_str(""), NULL);
	strbuf_release(&image);
}

static void join(struct record *to, const struct record *other)
{
	assert_int_equal(record_merge(to, other, to), 0);
	record_check(to);
}

static int add_site(void *arg, const struct resource_site *s)
{
	struct strbuf *sb = arg;

	strbuf_addf(sb, "%.*s%s%s%s ", (int)s->name.len,
		    (const char *)s->name.p, s->in ? "+" : "",
		    s->out ? "-" : "", s->witness ? "w" : "");
	return 0;
}

/* "nantes+w paris- ": in, out, witness; and the single questions agree. */
static void expect_sites(const struct record *r, const char *want)
{
	struct strbuf sb = STRBUF_INIT;

	assert_int_equal(resource_sites(r, add_site, &sb), 0);
	assert_string_equal(sb.buf, want);
	for (unsigned int site = NANTES; site <= LYON; site++) {
		struct ch_id id = site_of(site);
		const char *at = strstr(want, names[site]);
		const char *end = at ? strchr(at, ' ') : NULL;
		bool in = false, out = false, witness = false;

		for (at = at ? at + strlen(names[site]) : at; at < end; at++) {
			in |= *at == '+';
			out |= *at == '-';
			witness |= *at == 'w';
		}
		assert_int_equal(resource_site_in(r, &id), in);
		assert_int_equal(resource_site_out(r, &id), out);
		assert_int_equal(resource_is_witness(r, &id), witness);
		assert_int_equal(resource_is_holder(r, &id),
				 in || out || witness);
	}
	strbuf_release(&sb);
}

static void expect_spec(const struct record *r, const char *text)
{
	const struct entry *e = resource_spec(r);
	struct ch_hash h;

	if (!text) {
		assert_null(e);
		return;
	}
	h = hash_of_text(text);
	assert_non_null(e);
	assert_int_equal(hash_cmp(&e->body.hash, &h), 0);
}

static void made_or_specified_is_there(void **state)
{
	struct record r;
	struct ch_id id;

	(void)state;
	open_record(&r);
	assert_false(resource_is_there(&r));
	expect_spec(&r, NULL);
	assert_int_equal(resource_versions(&r), 0);
	assert_int_equal(resource_hlc(&r), 0);
	id = resource_lineage(&r);
	assert_true(id_is_zero(&id));
	expect_sites(&r, "");

	make(&r, 7);
	assert_true(resource_is_there(&r));
	expect_spec(&r, NULL);
	id = resource_lineage(&r);
	assert_int_equal(id.b[0], 7);
	assert_true(resource_hlc(&r) == now);

	put_spec(&r, NULL, "a", 7);
	put_spec(&r, NULL, "b", 7);
	expect_spec(&r, "b");
	assert_int_equal(resource_versions(&r), 1);
	assert_true(resource_has_lineage(&r, &id));
	id = site_of(8);
	assert_false(resource_has_lineage(&r, &id));
	record_drop(&r, ENTRY_MADE, ch_str(""), NULL);
	assert_true(resource_is_there(&r));
	record_release(&r);
}

static void a_deleted_resource_is_gone_and_its_sites_are_out(void **state)
{
	struct ch_id lineage = site_of(7);
	struct record r;

	(void)state;
	open_record(&r);
	make(&r, 7);
	put_site_value(&r, NULL, ENTRY_WITNESS, NANTES, true);
	put_site(&r, PARIS, true);
	put_spec(&r, NULL, "a", 7);
	expect_sites(&r, "nantesw paris+ ");
	bury(&r, NULL, 0);
	assert_false(resource_is_there(&r));
	assert_false(resource_has_lineage(&r, &lineage));
	expect_spec(&r, NULL);
	expect_sites(&r, "nantesw paris- ");
	/* Paris is clear of it, and says so: it holds it no more. */
	put_site(&r, PARIS, false);
	record_drop(&r, ENTRY_SITE, bytes_of(site_of(PARIS).b, 16), NULL);
	expect_sites(&r, "nantesw ");
	record_release(&r);
}

/* Rm -r on one side: sites withdrawn first, then the directory. A write on the
 * other, which knew of nothing: all is as before, and the write is kept. */
static void a_concurrent_write_wins_over_a_deletion(void **state)
{
	const struct resource_site also[] = {
		{.id = site_of(PARIS), .name = ch_str("paris")},
	};
	struct record r, other;

	(void)state;
	record_init(&other);
	open_record(&r);
	make(&r, 7);
	put_site_value(&r, NULL, ENTRY_WITNESS, NANTES, true);
	put_site(&r, PARIS, true);
	put_site(&r, LYON, true);
	put_spec(&r, NULL, "a", 7);
	assert_int_equal(record_copy(&other, &r), 0);

	put_site(&r, PARIS, false);
	bury(&r, also, 1);
	expect_sites(&r, "nantesw paris- lyon- ");
	put_spec(&other, NULL, "b", 7);
	join(&r, &other);
	join(&other, &r);
	assert_true(record_equal(&r, &other));
	assert_true(resource_is_there(&r));
	expect_spec(&r, "b");
	expect_sites(&r, "nantesw paris+ lyon+ ");

	/* And who deletes what he sees now deletes it. */
	bury(&r, NULL, 0);
	join(&r, &other);
	assert_false(resource_is_there(&r));
	expect_sites(&r, "nantesw paris- lyon- ");
	record_release(&r);
	record_release(&other);
}

static void a_deletion_that_was_seen_holds(void **state)
{
	struct record r, old;

	(void)state;
	record_init(&old);
	open_record(&r);
	make(&r, 7);
	put_spec(&r, NULL, "a", 7);
	assert_int_equal(record_copy(&old, &r), 0);
	bury(&r, NULL, 0);
	join(&r, &old);
	assert_false(resource_is_there(&r));
	join(&old, &r);
	assert_false(resource_is_there(&old));
	/* A new mkdir starts empty, in a new lineage. */
	make(&old, 8);
	join(&r, &old);
	assert_true(resource_is_there(&r));
	assert_int_equal(resource_lineage(&r).b[0], 8);
	expect_spec(&r, NULL);
	record_release(&r);
	record_release(&old);
}

static void adding_a_site_wins(void **state)
{
	struct record r, other;

	(void)state;
	record_init(&other);
	open_record(&r);
	make(&r, 7);
	put_site(&r, PARIS, true);
	assert_int_equal(record_copy(&other, &r), 0);
	put_site(&r, PARIS, false);
	expect_sites(&r, "paris- ");
	join(&other, &r); /* It was seen: out. */
	expect_sites(&other, "paris- ");
	put_site(&other, PARIS, true);
	put_site(&r, PARIS, false); /* Neither knows of the other. */
	join(&r, &other);
	join(&other, &r);
	expect_sites(&r, "paris+ ");
	expect_sites(&other, "paris+ ");
	put_site(&r, PARIS, false);
	expect_sites(&r, "paris- ");
	/* Witness and site are two things. */
	put_site_value(&r, NULL, ENTRY_WITNESS, PARIS, true);
	expect_sites(&r, "paris-w ");
	put_site(&r, PARIS, true);
	expect_sites(&r, "paris+w ");
	put_site_value(&r, NULL, ENTRY_WITNESS, PARIS, false);
	expect_sites(&r, "paris+ ");
	record_release(&r);
	record_release(&other);
}

static void sites_come_once_and_sorted(void **state)
{
	struct record r;

	(void)state;
	open_record(&r);
	make(&r, 7);
	put_site(&r, LYON, true);
	put_site(&r, NANTES, true);
	put_site_value(&r, &nothing, ENTRY_SITE, LYON, true);
	put_site_value(&r, &nothing, ENTRY_SITE, LYON, false);
	put_site_value(&r, NULL, ENTRY_WITNESS, LYON, true);
	put_site_value(&r, NULL, ENTRY_WITNESS, PARIS, true);
	expect_sites(&r, "nantes+ parisw lyon+w ");
	record_release(&r);
}

static int stop(void *arg, const struct resource_site *s)
{
	(void)s;
	return ++*(int *)arg == 2 ? -EIO : 0;
}

static void a_walk_ends_when_it_is_told_to(void **state)
{
	struct record r;
	int calls = 0;

	(void)state;
	open_record(&r);
	make(&r, 7);
	for (unsigned int site = NANTES; site <= LYON; site++)
		put_site(&r, site, true);
	assert_int_equal(resource_sites(&r, stop, &calls), -EIO);
	assert_int_equal(calls, 2);
	record_release(&r);
}

static void odd_entries_of_sites_are_passed_over(void **state)
{
	struct record r;

	(void)state;
	open_record(&r);
	make(&r, 7);
	put(&r, NULL,
	    (struct entry){.type = ENTRY_SITE,
			   .sub = ch_str("short"),
			   .value = bytes_of("\x01\0\0", 3)});
	put(&r, NULL,
	    (struct entry){.type = ENTRY_SITE,
			   .sub = bytes_of(site_of(PARIS).b, 16),
			   .value = bytes_of("\x01\0\x09", 3)});
	put(&r, NULL,
	    (struct entry){.type = ENTRY_SITE,
			   .sub = bytes_of(site_of(LYON).b, 16),
			   .value = bytes_of("\x01\0\x03../", 6)});
	expect_sites(&r, "");
	record_release(&r);
}

static void equal_bytes_are_one_version(void **state)
{
	struct record r;

	(void)state;
	open_record(&r);
	make(&r, 7);
	put_spec(&r, &nothing, "a", 7);
	put_spec(&r, &nothing, "a", 7);
	assert_int_equal(resource_versions(&r), 1);
	put_spec(&r, &nothing, "b", 7);
	put_spec(&r, &nothing, "a", 7);
	assert_int_equal(resource_versions(&r), 2);
	assert_false(resource_is_split(&r));
	put_spec(&r, &nothing, "c", 7);
	assert_int_equal(resource_versions(&r), 3);
	put_spec(&r, NULL, "d", 7);
	assert_int_equal(resource_versions(&r), 1);
	record_release(&r);
}

static void two_lineages_are_split(void **state)
{
	struct record r;

	(void)state;
	open_record(&r);
	put_spec(&r, &nothing, "a", 7);
	put_spec(&r, &nothing, "a", 8);
	assert_false(resource_is_split(&r)); /* The same bytes. */
	assert_int_equal(resource_lineage(&r).b[0], 8);
	put_spec(&r, &nothing, "b", 8);
	assert_true(resource_is_split(&r));
	assert_true(resource_has_lineage(&r, &(struct ch_id){{0}}) == false);
	put_spec(&r, NULL, "c", 7);
	assert_false(resource_is_split(&r));
	assert_int_equal(resource_lineage(&r).b[0], 7);
	record_release(&r);
}

static void driver_and_mode_are_registers(void **state)
{
	struct mode_value m = {
		.mode = 0750, .owner = ch_str("ann"), .group = ch_str("ops")};
	struct strbuf v = STRBUF_INIT;
	struct record r;

	(void)state;
	open_record(&r);
	assert_int_equal(resource_driver(&r).len, 0);
	assert_int_equal(resource_mode(&r, false).mode, 0755);
	assert_int_equal(resource_mode(&r, true).mode, 0644);
	put(&r, NULL, (struct entry){.type = ENTRY_DRIVER,
				     .value = ch_str("kubernetes")});
	expect_bytes(resource_driver(&r), ch_str("kubernetes"));

	mode_value_encode(&m, &v);
	put(&r, NULL, (struct entry){.type = ENTRY_MODE,
				     .value = strbuf_bytes(&v)});
	assert_int_equal(resource_mode(&r, false).mode, 0750);
	assert_int_equal(resource_mode(&r, true).mode, 0640);
	expect_bytes(resource_mode(&r, true).owner, ch_str("ann"));
	expect_bytes(resource_mode(&r, false).group, ch_str("ops"));
	m.mode = 0600;
	strbuf_reset(&v);
	mode_value_encode(&m, &v);
	put(&r, NULL, (struct entry){.type = ENTRY_MODE,
				     .sub = ch_str("spec"),
				     .value = strbuf_bytes(&v)});
	assert_int_equal(resource_mode(&r, true).mode, 0600);
	assert_int_equal(resource_mode(&r, false).mode, 0750);
	/* A value that cannot be read: as if nobody had said. */
	put(&r, NULL, (struct entry){.type = ENTRY_MODE,
				     .value = ch_str("x")});
	assert_int_equal(resource_mode(&r, false).mode, 0755);
	strbuf_release(&v);
	record_release(&r);
}

static size_t hidden(const struct record *r, uint16_t type)
{
	const struct entry *e;
	size_t pos = 0, n = 0;

	while ((e = resource_hidden(r, &pos)))
		n += e->type == type;
	return n;
}

static void what_is_not_shown_can_be_walked(void **state)
{
	struct ch_id paris = site_of(PARIS), lyon = site_of(LYON);
	struct entry word = {.type = ENTRY_DRIVER, .value = ch_str("none")};
	struct entry mode = {.type = ENTRY_MODE, .value = ch_str("x")};
	struct entry patch = {.type = ENTRY_PATCH,
			      .sub = id_bytes(&paris),
			      .body = body_of("a")};
	struct record r;

	(void)state;
	open_record(&r);
	make(&r, 7);
	put_spec(&r, &nothing, "a", 7);
	put(&r, &nothing, word);
	put(&r, &nothing, word);
	put(&r, &nothing, mode);
	put(&r, &nothing, patch);
	assert_int_equal(resource_conflicts(&r), 0);
	/* Of another register; then of the same. */
	patch.sub = id_bytes(&lyon);
	patch.body = body_of("b");
	put(&r, &nothing, patch);
	assert_int_equal(resource_conflicts(&r), 0);
	mode.value = ch_str("y");
	put(&r, &nothing, mode);
	assert_int_equal(hidden(&r, ENTRY_MODE), 1);
	assert_true(resource_is_torn(&r, ENTRY_MODE, ch_str("")));
	assert_false(resource_is_torn(&r, ENTRY_MODE, ch_str("spec")));
	assert_int_equal(resource_conflicts(&r), 0);
	word.value = ch_str("exec");
	put(&r, &nothing, word);
	assert_int_equal(hidden(&r, ENTRY_DRIVER), 1); /* Twins are one. */
	assert_int_equal(resource_conflicts(&r), 2);
	patch.body = body_of("c");
	put(&r, &nothing, patch);
	put_spec(&r, &nothing, "b", 7);
	put_spec(&r, &nothing, "c", 7);
	assert_int_equal(hidden(&r, ENTRY_PATCH), 1);
	assert_int_equal(hidden(&r, ENTRY_SPEC), 2);
	assert_int_equal(resource_conflicts(&r), 5);
	/* One goes: the clock has seen it all the same. */
	for (size_t pos = 0; resource_hidden(&r, &pos); pos = 0) {
		struct dot dot = r.v[pos - 1].dot;

		record_drop_dot(&r, dot);
		record_check(&r);
		assert_true(vv_covers(&r.clock, &dot));
	}
	assert_int_equal(resource_conflicts(&r), 0);
	expect_spec(&r, "c");
	expect_bytes(resource_driver(&r), ch_str("exec"));
	record_release(&r);
}

static void secrets_are_private_modes_and_flags(void **state)
{
	static const uint32_t modes[][2] = {
		{0755, 0}, {0700, 1}, {0701, 0}, {0710, 0}, {0, 1},
	};
	struct record r;

	(void)state;
	open_record(&r);
	assert_false(resource_is_secret(&r));
	for (size_t i = 0; i < COUNT(modes); i++) {
		struct mode_value m = {.mode = modes[i][0]};
		struct strbuf v = STRBUF_INIT;

		mode_value_encode(&m, &v);
		put(&r, NULL, (struct entry){.type = ENTRY_MODE,
					     .value = strbuf_bytes(&v)});
		assert_int_equal(resource_is_secret(&r), modes[i][1]);
		strbuf_release(&v);
	}
	record_drop(&r, ENTRY_MODE, ch_str(""), NULL);
	put(&r, NULL, (struct entry){.type = ENTRY_SPEC,
				     .flags = ENTRY_SECRET,
				     .body = body_of("s")});
	assert_true(resource_is_secret(&r));
	record_release(&r);
}

static void desired_is_spec_and_patch_where_a_site_is_in(void **state)
{
	const struct ch_id nantes = site_of(NANTES), paris = site_of(PARIS);
	struct ch_hash vid, patch_vid;
	struct desired d;
	struct record r;

	(void)state;
	open_record(&r);
	make(&r, 7);
	put_site(&r, PARIS, true);
	put_site_value(&r, NULL, ENTRY_WITNESS, NANTES, true);
	resource_desired(&r, &paris, &d);
	assert_false(d.any);
	put_spec(&r, NULL, "a", 7);
	resource_desired(&r, &nantes, &d);
	assert_false(d.any); /* A witness drives nothing. */
	assert_true(hash_is_zero(&d.vid));
	resource_desired(&r, &paris, &d);
	assert_true(d.any);
	entry_vid(resource_spec(&r), &vid);
	assert_int_equal(hash_cmp(&d.vid, &vid), 0);
	assert_int_equal(d.lineage.b[0], 7);
	assert_int_equal(d.spec.len, 1);
	assert_int_equal(d.syntax, 1);
	assert_false(d.secret);
	assert_true(hash_is_zero(&d.patch_vid));
	assert_int_equal(d.patch.len, 0);

	put(&r, NULL, (struct entry){.type = ENTRY_PATCH,
				     .sub = id_bytes(&paris),
				     .flags = ENTRY_SECRET,
				     .body = body_of("pp")});
	resource_desired(&r, &paris, &d);
	entry_vid(resource_patch(&r, &paris), &patch_vid);
	assert_int_equal(hash_cmp(&d.patch_vid, &patch_vid), 0);
	assert_int_equal(d.patch.len, 2);
	assert_true(d.secret);
	assert_null(resource_patch(&r, &nantes));

	/* A body of length 0: no patch. */
	put(&r, NULL, (struct entry){.type = ENTRY_PATCH,
				     .sub = id_bytes(&paris)});
	assert_null(resource_patch(&r, &paris));
	resource_desired(&r, &paris, &d);
	assert_true(d.any);
	assert_true(hash_is_zero(&d.patch_vid));
	put_site(&r, PARIS, false);
	resource_desired(&r, &paris, &d);
	assert_false(d.any);
	record_release(&r);
}

static int count_body(void *arg, const struct body_ref *body)
{
	struct strbuf *sb = arg;

	strbuf_addf(sb, "%zu ", (size_t)body->len);
	return sb->len > 20 ? 1 : 0;
}

static void bodies_are_those_of_all_entries(void **state)
{
	const struct ch_id paris = site_of(PARIS);
	struct strbuf sb = STRBUF_INIT;
	struct record r;

	(void)state;
	open_record(&r);
	make(&r, 7);
	put(&r, NULL, (struct entry){.type = ENTRY_SPEC,
				     .body = body_of("1"),
				     .has_base = true,
				     .base = body_of("22")});
	put(&r, NULL, (struct entry){.type = ENTRY_PATCH,
				     .sub = id_bytes(&paris),
				     .body = body_of("333")});
	assert_int_equal(resource_bodies(&r, count_body, &sb), 0);
	assert_string_equal(sb.buf, "1 2 3 ");
	/* Deleted: those of the image, so that it can be restored. */
	bury(&r, NULL, 0);
	strbuf_reset(&sb);
	assert_int_equal(resource_bodies(&r, count_body, &sb), 0);
	assert_string_equal(sb.buf, "1 3 3 ");
	strbuf_add_str(&sb, "stop after this one");
	assert_int_equal(resource_bodies(&r, count_body, &sb), 1);
	strbuf_release(&sb);
	record_release(&r);
}

static void images_hold_what_was_there(void **state)
{
	const struct resource_site also[] = {
		{.id = site_of(PARIS), .name = ch_str("paris")},
	};
	const struct ch_id nantes = site_of(NANTES), paris = site_of(PARIS);
	const struct ch_id lyon = site_of(LYON);
	struct strbuf image = STRBUF_INIT, seen = STRBUF_INIT;
	struct site_value value;
	struct entry e;
	struct record r;
	size_t pos = 0;
	struct wire w;
	int rc;

	(void)state;
	open_record(&r);
	make(&r, 7);
	put(&r, NULL, (struct entry){.type = ENTRY_TOMB});
	put_site(&r, NANTES, true);
	put_site(&r, PARIS, false);
	put_site(&r, LYON, false);
	put_spec(&r, &nothing, "a", 7);
	put_spec(&r, &nothing, "b", 7);
	put(&r, NULL, (struct entry){.type = 99, .sub = ch_str("new")});
	image_make(&r, also, 1, &image);
	assert_int_equal(strbuf_error(&image), 0);

	while ((rc = image_next(strbuf_bytes(&image), &pos, &e)) > 0) {
		strbuf_addf(&seen, "%u", e.type);
		assert_int_equal(e.dot.seq, 0);
		if (e.type == ENTRY_SITE) {
			assert_int_equal(site_value_decode(e.value, &value),
					 0);
			assert_true(value.in);
			strbuf_add(&seen, value.name.p, value.name.len);
		}
		strbuf_add_char(&seen, ' ');
	}
	assert_int_equal(rc, 0);
	assert_int_equal(image_next(strbuf_bytes(&image), &pos, &e), 0);
	assert_string_equal(seen.buf, "1 2 2 99 6nantes 6paris ");
	w = wire_of(strbuf_bytes(&image));
	assert_int_equal(wire_u32(&w), 6);
	assert_true(image_has_site(strbuf_bytes(&image), &nantes));
	assert_true(image_has_site(strbuf_bytes(&image), &paris));
	assert_false(image_has_site(strbuf_bytes(&image), &lyon));
	assert_false(image_has_site(bytes_of(NULL, 0), &nantes));

	/* The payloads are the writers', byte for byte. */
	pos = 0;
	assert_int_equal(image_next(strbuf_bytes(&image), &pos, &e), 1);
	expect_bytes(e.payload, r.v[0].payload);
	strbuf_release(&image);
	strbuf_release(&seen);
	record_release(&r);
}

static void images_cut_short_are_refused(void **state)
{
	struct strbuf image = STRBUF_INIT;
	struct record r;
	size_t whole = 0;

	(void)state;
	open_record(&r);
	make(&r, 7);
	put_site(&r, PARIS, true);
	put_spec(&r, NULL, "a", 7);
	image_make(&r, NULL, 0, &image);
	for (size_t len = 0; len <= image.len; len++) {
		char *cut = mem_dup(image.buf, len);
		char *exact = mem_realloc(cut, len);
		struct ch_bytes b = bytes_of(exact, len);
		size_t pos = 0;
		struct entry e;
		int rc;

		while ((rc = image_next(b, &pos, &e)) > 0)
			;
		assert_true(rc == 0 || rc == -EPROTO);
		whole += rc == 0;
		/* After an error there is nothing more. */
		assert_int_equal(image_next(b, &pos, &e), 0);
		mem_free(exact);
	}
	/* Right are: less than its count, and the end of each entry. */
	assert_int_equal(whole, 5 + 3);
	strbuf_release(&image);
	record_release(&r);
}

static void values_are_encoded(void **state)
{
	static const char *const bad[] = {"Paris", "a/b", "..", "a\n", "-a",
					  "spec"};
	struct site_value s = {.in = true, .name = ch_str("paris")}, t;
	struct mode_value m = {.mode = 0107777, .owner = ch_str("ann")}, n;
	struct strbuf sb = STRBUF_INIT;

	(void)state;
	mode_value_encode(&m, &sb);
	assert_int_equal(mode_value_decode(strbuf_bytes(&sb), &n), 0);
	assert_int_equal(n.mode, 07777);
	expect_bytes(n.owner, ch_str("ann"));
	assert_int_equal(n.group.len, 0);
	for (size_t len = 0; len < sb.len; len++)
		assert_int_equal(mode_value_decode(bytes_of(sb.buf, len), &n),
				 -EPROTO);
	strbuf_add_str(&sb, "of a later version");
	assert_int_equal(mode_value_decode(strbuf_bytes(&sb), &n), 0);

	strbuf_reset(&sb);
	site_value_encode(&s, &sb);
	assert_int_equal(site_value_decode(strbuf_bytes(&sb), &t), 0);
	assert_true(t.in);
	expect_bytes(t.name, ch_str("paris"));
	for (size_t len = 0; len < sb.len; len++)
		assert_int_equal(site_value_decode(bytes_of(sb.buf, len), &t),
				 -EPROTO);
	strbuf_add_str(&sb, "of a later version");
	assert_int_equal(site_value_decode(strbuf_bytes(&sb), &t), 0);
	for (size_t i = 0; i < COUNT(bad); i++) {
		s.name = ch_str(bad[i]);
		strbuf_reset(&sb);
		site_value_encode(&s, &sb);
		assert_int_equal(site_value_decode(strbuf_bytes(&sb), &t),
				 -EPROTO);
	}
	s.name = ch_str("");
	strbuf_reset(&sb);
	site_value_encode(&s, &sb);
	assert_int_equal(site_value_decode(strbuf_bytes(&sb), &t), 0);
	strbuf_release(&sb);
}

static void without_memory_it_says_so(void **state)
{
	const struct resource_site also[] = {
		{.id = site_of(99), .name = ch_str("late")},
	};
	struct record r;
	long n;

	(void)state;
	open_record(&r);
	make(&r, 7);
	for (unsigned int site = 10; site < 30; site++) {
		struct ch_id id = site_of(site);

		put(&r, NULL,
		    (struct entry){.type = ENTRY_SITE,
				   .sub = id_bytes(&id),
				   .value = bytes_of("\x01\0\x01x", 4)});
	}
	for (n = 0;; n++) {
		struct strbuf sb = STRBUF_INIT;
		long held = mem_outstanding();
		int rc;

		mem_fail_after(n);
		image_make(&r, also, 1, &sb);
		mem_fail_after(-1);
		rc = strbuf_error(&sb);
		strbuf_release(&sb);
		assert_int_equal(mem_outstanding(), held);
		if (rc == 0)
			break;
		assert_int_equal(rc, -ENOMEM);
	}
	assert_true(n > 10);
	for (n = 0;; n++) {
		long held = mem_outstanding();
		int calls = 2, rc;

		mem_fail_after(n);
		rc = resource_sites(&r, stop, &calls);
		mem_fail_after(-1);
		assert_int_equal(mem_outstanding(), held);
		if (rc == 0)
			break;
		assert_int_equal(rc, -ENOMEM);
		assert_int_equal(calls, 2);
	}
	assert_true(n > 1);
	record_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(made_or_specified_is_there),
		TEST(a_deleted_resource_is_gone_and_its_sites_are_out),
		TEST(a_concurrent_write_wins_over_a_deletion),
		TEST(a_deletion_that_was_seen_holds),
		TEST(adding_a_site_wins),
		TEST(sites_come_once_and_sorted),
		TEST(a_walk_ends_when_it_is_told_to),
		TEST(odd_entries_of_sites_are_passed_over),
		TEST(equal_bytes_are_one_version),
		TEST(two_lineages_are_split),
		TEST(driver_and_mode_are_registers),
		TEST(what_is_not_shown_can_be_walked),
		TEST(secrets_are_private_modes_and_flags),
		TEST(desired_is_spec_and_patch_where_a_site_is_in),
		TEST(bodies_are_those_of_all_entries),
		TEST(images_hold_what_was_there),
		TEST(images_cut_short_are_refused),
		TEST(values_are_encoded),
		TEST(without_memory_it_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
