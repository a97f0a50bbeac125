/* test_name.c -- names, the lines of the file sites, and times as text. */
#include "core/name.h"
#include "core/place.h"
#include "core/text.h"
#include "tests/unit/core_help.h"

#define X16 "abcdefgh01234567"
#define X63 X16 X16 X16 "abcdefgh0123456"
#define X253 X63 X63 X63 X63 "x"

static void expect_site(struct ch_bytes name, int want)
{
	struct err e = ERR_INIT;
	int rc = name_check_site(name, &e);

	if (rc != want)
		fail_msg("'%.*s': %d: %s", (int)name.len,
			 (const char *)name.p, rc, e.text);
	assert_int_equal(e.text[0] != '\0', rc < 0);
	assert_int_equal(name_check_site(name, NULL), want);
}

static void sites_are_dns_labels(void **state)
{
	static const char *const good[] = {
		"a", "0", "nantes", "site-1", "xn--nms-gra", "a--b", "0-0",
		X63, "spec2", "specs", "anyone", "specjson",
	};
	static const char *const bad[] = {
		"",	 "-",	   "-a",    "a-",     "Nantes", "a.b",
		"a_b",	 "a b",	   "a\n",   "n\xc3\xa9", "*",	"!a",
		"+a",	 "a/b",	   "..",    X63 "x",  "a\x7f",	"\xff",
	};
	static const char *const reserved[] = {
		"spec",	  "driver", "sites",   "policy",      "hold",
		"after",  "plan",   "status",  "state",	      "error",
		"conflicts", "history", "matrix", "ops",      "rollout",
		"consistency", "self", "any",  "near",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++)
		expect_site(ch_str(good[i]), 0);
	for (size_t i = 0; i < COUNT(bad); i++)
		expect_site(ch_str(bad[i]), -EINVAL);
	expect_site(bytes_of("a\0b", 3), -EINVAL);
	for (size_t i = 0; i < COUNT(reserved); i++) {
		expect_site(ch_str(reserved[i]), -EINVAL);
		assert_true(name_is_reserved(ch_str(reserved[i])));
	}
	assert_false(name_is_reserved(ch_str("")));
	assert_false(name_is_reserved(ch_str("spe")));
	assert_false(name_is_reserved(ch_str("specs")));
}

static void resources_are_text(void **state)
{
	static const struct {
		const char *name;
		int rc;
	} cases[] = {
		{"web", 0},
		{"spec", 0},
		{"a b", 0},
		{"a.b", 0},
		{"*?[", 0},
		{"n\xc3\xa9mo", 0},
		{"\xe2\x82\xac", 0},
		{"\xf0\x9f\x90\xab", 0},
		{"\xf4\x8f\xbf\xbf", 0},
		{X253, 0},
		{"", -EINVAL},
		{X253 "y", -EINVAL},
		{X253 "yz", -EINVAL},
		{X253 "xyz", -ENAMETOOLONG},
		{".", -EPERM},
		{"..", -EPERM},
		{".hidden", -EPERM},
		{"a/b", -EINVAL},
		{"/", -EINVAL},
		{"a\n", -EINVAL},
		{"a\tb", -EINVAL},
		{"a\x1f", -EINVAL},
		{"a\x7f", -EINVAL},
		{"\xc2\x80", -EINVAL},	       /* U+0080 */
		{"\xc2\x9f", -EINVAL},	       /* U+009F */
		{"\xc2\xa0", 0},	       /* U+00A0 */
		{"\x80", -EINVAL},	       /* a continuation */
		{"a\xc3", -EINVAL},	       /* cut short */
		{"\xe2\x82", -EINVAL},
		{"\xf0\x9f\x90", -EINVAL},
		{"\xc0\xaf", -EINVAL},	       /* overlong / */
		{"\xc1\xbf", -EINVAL},
		{"\xe0\x80\xaf", -EINVAL},
		{"\xf0\x80\x80\xaf", -EINVAL},
		{"\xed\x9f\xbf", 0},	       /* U+D7FF */
		{"\xed\xa0\x80", -EINVAL},     /* U+D800 */
		{"\xed\xbf\xbf", -EINVAL},
		{"\xee\x80\x80", 0},	       /* U+E000 */
		{"\xf4\x90\x80\x80", -EINVAL}, /* U+110000 */
		{"\xf5\x80\x80\x80", -EINVAL},
		{"\xff", -EINVAL},
		{"\xc3(", -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct err e = ERR_INIT;
		int rc = name_check_resource(ch_str(cases[i].name), &e);

		if (rc != cases[i].rc)
			fail_msg("case %zu: %d: %s", i, rc, e.text);
		assert_int_equal(e.text[0] != '\0', rc < 0);
	}
	assert_int_equal(name_check_resource(bytes_of("a\0b", 3), NULL),
			 -EINVAL);
	assert_int_equal(name_check_resource(bytes_of(NULL, 0), NULL),
			 -EINVAL);
	assert_true(name_is_text(bytes_of(NULL, 0)));
}

/* What place_parse() found: "1=nantes 3+paris 4!lyon ". */
struct lines {
	struct strbuf sb;
	unsigned int stop_at;
	int stop_with;
};

static int see_line(void *arg, enum place_kind kind, struct ch_bytes name,
		    unsigned int line)
{
	static const char sign[] = "=+!";
	struct lines *l = arg;

	strbuf_addf(&l->sb, "%u%c%.*s ", line, sign[kind], (int)name.len,
		    (const char *)name.p);
	return line == l->stop_at ? l->stop_with : 0;
}

static void expect_lines(const char *text, const char *want, const char *error)
{
	struct lines l = {.sb = STRBUF_INIT};
	struct err e = ERR_INIT;
	int rc = place_parse(ch_str(text), see_line, &l, &e);

	if (rc != (error ? -EINVAL : 0))
		fail_msg("%d for '%s': %s", rc, text, e.text);
	assert_string_equal(l.sb.buf, want);
	assert_string_equal(e.text, error ? error : "");
	strbuf_release(&l.sb);
}

#define LABEL                                                        \
	"a site's name is a DNS label: 1 to 63 of a-z, 0-9 and -, no " \
	"- at either end"
#define PATTERN ": this version takes names of sites, +NAME and !+NAME; " \
	"no patterns"

static void lines_of_sites_are_read(void **state)
{
	(void)state;
	expect_lines("", "", NULL);
	expect_lines("\n \n\t\r\n", "", NULL);
	expect_lines("nantes", "1=nantes ", NULL);
	expect_lines("nantes\n", "1=nantes ", NULL);
	expect_lines("nantes\r\n\n  paris\t\n", "1=nantes 3=paris ", NULL);
	expect_lines("+nantes\n!+paris\nlyon", "1+nantes 2!paris 3=lyon ",
		     NULL);
	expect_lines("a\na\n", "1=a 2=a ", NULL);
	assert_int_equal(place_parse(bytes_of(NULL, 0), see_line, NULL, NULL),
			 0);
}

static void wrong_lines_are_named(void **state)
{
	(void)state;
	expect_lines("*\n", "", "line 1: '*'" PATTERN);
	expect_lines("a\n\nregion=west\n", "1=a ",
		     "line 3: 'region=west'" PATTERN);
	expect_lines("!paris", "", "line 1: '!paris'" PATTERN);
	expect_lines("!", "", "line 1: '!'" PATTERN);
	expect_lines("Paris", "", "line 1: " LABEL);
	expect_lines("a b", "", "line 1: " LABEL);
	expect_lines("a\n+", "1=a ", "line 2: " LABEL);
	expect_lines("!+", "", "line 1: " LABEL);
	expect_lines("+ a", "", "line 1: " LABEL);
	expect_lines("++a", "", "line 1: " LABEL);
	expect_lines("a\nspec\n", "1=a ",
		     "line 2: 'spec' is the name of a file in every "
		     "resource, so no site can have it");
}

static void the_callback_may_end_it(void **state)
{
	struct lines l = {.sb = STRBUF_INIT, .stop_at = 2, .stop_with = 7};
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(place_parse(ch_str("a\nb\nc"), see_line, &l, &e), 7);
	assert_string_equal(l.sb.buf, "1=a 2=b ");
	l.stop_with = -ENXIO;
	assert_int_equal(place_parse(ch_str("a\nb\nc"), see_line, &l, &e),
			 -ENXIO);
	strbuf_release(&l.sb);
}

static void white_space_is_trimmed(void **state)
{
	(void)state;
	expect_bytes(place_trim(ch_str(" \t a b \r\n")), ch_str("a b"));
	expect_bytes(place_trim(ch_str("a")), ch_str("a"));
	assert_int_equal(place_trim(ch_str(" \n")).len, 0);
	assert_int_equal(place_trim(ch_str("")).len, 0);
	assert_int_equal(place_trim(bytes_of(NULL, 0)).len, 0);
}

static void times_are_rfc_3339(void **state)
{
	static const struct {
		uint64_t s;
		const char *text;
	} cases[] = { /* By date -u -d @S. */
		{0, "1970-01-01T00:00:00Z"},
		{59, "1970-01-01T00:00:59Z"},
		{86399, "1970-01-01T23:59:59Z"},
		{5097599, "1970-02-28T23:59:59Z"},
		{5097600, "1970-03-01T00:00:00Z"},
		{31535999, "1970-12-31T23:59:59Z"},
		{68169599, "1972-02-28T23:59:59Z"},
		{68169600, "1972-02-29T00:00:00Z"},
		{68256000, "1972-03-01T00:00:00Z"},
		{94694399, "1972-12-31T23:59:59Z"},
		{951782400, "2000-02-29T00:00:00Z"},
		{951868800, "2000-03-01T00:00:00Z"},
		{1709164800, "2024-02-29T00:00:00Z"},
		{1000000000, "2001-09-09T01:46:40Z"},
		{2147483647, "2038-01-19T03:14:07Z"},
		{2147483648, "2038-01-19T03:14:08Z"},
		{4107542399, "2100-02-28T23:59:59Z"},
		{4107542400, "2100-03-01T00:00:00Z"},
		{4294967296, "2106-02-07T06:28:16Z"},
		{13574563200, "2400-02-29T00:00:00Z"},
		{253402300799, "9999-12-31T23:59:59Z"},
	};
	struct strbuf sb = STRBUF_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		strbuf_reset(&sb);
		text_time(cases[i].s * 1000 + 999, &sb);
		assert_string_equal(sb.buf, cases[i].text);
	}
	strbuf_reset(&sb);
	text_time(0, &sb);
	assert_string_equal(sb.buf, "-");
	strbuf_release(&sb);
}

/* Every day from 1970 to 2400, counted on the fingers. */
static void every_day_follows_the_last(void **state)
{
	static const unsigned int days[] = {31, 28, 31, 30, 31, 30,
					    31, 31, 30, 31, 30, 31};
	unsigned int year = 1970, month = 0, day = 1;
	struct strbuf sb = STRBUF_INIT;
	char want[32];

	(void)state;
	for (uint64_t n = 0; year <= 2400; n++) {
		bool leap = (year % 4 == 0 && year % 100 != 0) ||
			    year % 400 == 0;

		snprintf(want, sizeof(want), "%04u-%02u-%02uT12:34:56Z", year,
			 month + 1, day);
		strbuf_reset(&sb);
		text_time((n * 86400 + 45296) * 1000, &sb);
		if (strcmp(sb.buf, want) != 0)
			fail_msg("%s for %s", sb.buf, want);
		if (++day > days[month] + (month == 1 && leap)) {
			day = 1;
			month = (month + 1) % 12;
			year += month == 0;
		}
	}
	strbuf_release(&sb);
}

static void ages_have_one_unit(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} cases[] = {
		{0, "0s"},	  {999, "0s"},	      {1000, "1s"},
		{59999, "59s"},	  {60000, "1m"},      {3599999, "59m"},
		{3600000, "1h"},  {86399999, "23h"},  {86400000, "1d"},
		{864000000, "10d"}, {UINT64_MAX, "213503982334d"},
	};
	struct strbuf sb = STRBUF_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		strbuf_reset(&sb);
		text_age(cases[i].ms, &sb);
		assert_string_equal(sb.buf, cases[i].text);
	}
	strbuf_release(&sb);
}

static void text_without_memory_is_bad(void **state)
{
	struct strbuf sb = STRBUF_INIT;

	(void)state;
	mem_fail_after(0);
	text_time(1, &sb);
	assert_int_equal(strbuf_error(&sb), -ENOMEM);
	strbuf_reset(&sb);
	text_age(1, &sb);
	assert_int_equal(strbuf_error(&sb), -ENOMEM);
	mem_fail_after(-1);
	strbuf_release(&sb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sites_are_dns_labels),
		TEST(resources_are_text),
		TEST(lines_of_sites_are_read),
		TEST(wrong_lines_are_named),
		TEST(the_callback_may_end_it),
		TEST(white_space_is_trimmed),
		TEST(times_are_rfc_3339),
		TEST(every_day_follows_the_last),
		TEST(ages_have_one_unit),
		TEST(text_without_memory_is_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
