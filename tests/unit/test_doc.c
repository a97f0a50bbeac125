/* test_doc.c -- JSON and YAML as one: parsing, prefixes, patches, JSON out. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/doc.h"
#include "core/mem.h"

static struct doc *parsed(const char *s)
{
	struct err e = ERR_INIT;
	struct doc *d = NULL;

	if (doc_parse(ch_str(s), &d, &e) != 0)
		fail_msg("%s\n%s", e.text, s);
	return d;
}

static void expect_json(const char *in, const char *json)
{
	struct strbuf sb = STRBUF_INIT;
	struct doc *d = parsed(in);

	assert_int_equal(doc_to_json(d, &sb), 0);
	assert_string_equal(sb.buf, json);
	strbuf_release(&sb);
	doc_free(d);
}

/* {"v": JSON} is what "v: TEXT" means. */
static void expect_type(const char *text, const char *json)
{
	struct strbuf in = STRBUF_INIT, want = STRBUF_INIT;

	strbuf_addf(&in, "v: %s\n", text);
	strbuf_addf(&want, "{\n  \"v\": %s\n}\n", json);
	expect_json(in.buf, want.buf);
	strbuf_release(&in);
	strbuf_release(&want);
}

static void expect_refusal(struct ch_bytes in, const char *sentence)
{
	struct err e = ERR_INIT;
	struct doc *d = NULL;

	assert_int_equal(doc_parse(in, &d, &e), -EINVAL);
	assert_null(d);
	if (!strstr(e.text, sentence))
		fail_msg("'%s' is not in '%s'", sentence, e.text);
	assert_true(strlen(e.text) <= 200);
}

static void expect_patch(const char *spec, const char *patch, const char *want)
{
	struct doc *s = parsed(spec), *p = parsed(patch);
	struct strbuf sb = STRBUF_INIT;
	struct err e = ERR_INIT;

	strbuf_add_str(&sb, "+");
	if (doc_patch(s, p, &sb, &e) != 0)
		fail_msg("%s", e.text);
	assert_string_equal(sb.buf + 1, want);
	strbuf_release(&sb);
	doc_free(s);
	doc_free(p);
}

static void expect_no_patch(const char *spec, const char *patch,
			    const char *sentence)
{
	struct doc *s = parsed(spec), *p = parsed(patch);
	struct strbuf sb = STRBUF_INIT;
	struct err e = ERR_INIT;

	strbuf_add_str(&sb, "+");
	assert_int_equal(doc_patch(s, p, &sb, &e), -EINVAL);
	if (!strstr(e.text, sentence))
		fail_msg("'%s' is not in '%s'", sentence, e.text);
	assert_string_equal(sb.buf, "+");
	strbuf_release(&sb);
	doc_free(s);
	doc_free(p);
}

static char no_doc;

/* NULL, or the document that failed. */
static void *parse_and_patch(void *arg)
{
	const struct doc *shared = arg;

	for (int i = 0; i < 100; i++) {
		struct doc *s = NULL, *p = NULL;
		struct strbuf sb = STRBUF_INIT;
		struct err e;
		int r;

		r = doc_parse(ch_str("{\"a\": {\"b\": [1, 2]}}"), &s, &e);
		if (r == 0)
			r = doc_parse(ch_str("a: {b: 2, c: null}\n"), &p, &e);
		if (r == 0)
			r = doc_patch(shared ? shared : s, p, &sb, &e);
		doc_free(s);
		doc_free(p);
		strbuf_release(&sb);
		if (r != 0)
			return arg ? arg : &no_doc;
	}
	return NULL;
}

/* First of all tests: the threads race for jansson's setup as well. */
static void threads_share_what_is_parsed(void **state)
{
	struct doc *shared = NULL;

	(void)state;
	for (int round = 0; round < 2; round++) {
		pthread_t t[4];

		for (int i = 0; i < 4; i++)
			assert_int_equal(pthread_create(&t[i], NULL,
							parse_and_patch,
							shared),
					 0);
		for (int i = 0; i < 4; i++) {
			void *failed = NULL;

			assert_int_equal(pthread_join(t[i], &failed), 0);
			assert_null(failed);
		}
		if (!shared)
			shared = parsed("a: {b: 1, c: 2}\nd: 3\n");
	}
	doc_free(shared);
}

static void scalars_are_typed_as_kubectl(void **state)
{
	static const char *const v[][2] = {
		{"y", "true"},
		{"No", "false"},
		{"ON", "true"},
		{"off", "false"},
		{"yEs", "\"yEs\""},
		{"~", "null"},
		{"", "null"},
		{"Null", "null"},
		{"nULL", "\"nULL\""},
		{"0777", "511"},
		{"-0777", "-511"},
		{"0o17", "15"},
		{"09", "9"},
		{"0x1F", "31"},
		{"0x_1_F", "31"},
		{"-0b101", "-5"},
		{"+12", "12"},
		{"1_000", "1000"},
		{"_1", "\"_1\""},
		{"1e3", "1e3"},
		{".5", "0.5"},
		{"5.", "5"},
		{"-.5E+2", "-0.5E+2"},
		{"007.50", "7.50"},
		{"1.10", "1.10"},
		{"1e400", "1e400"},
		{"-0", "-0"},
		{"12345678901234567890123", "12345678901234567890123"},
		{".inf", "\".inf\""},
		{"-.INF", "\"-.INF\""},
		{"0x", "\"0x\""},
		{"1e", "\"1e\""},
		{"1.2.3", "\"1.2.3\""},
		{"1:30", "\"1:30\""},
		{"-", "null"},
		{"2020-01-02", "\"2020-01-02\""},
		{".", "\".\""},
		{"0xffffffffffffffff", "18446744073709551615"},
		{"0x10000000000000000", "\"0x10000000000000000\""},
		{"-0x8000000000000000", "-9223372036854775808"},
		{"'1'", "\"1\""},
		{"\"y\"", "\"y\""},
		{"!!str 1", "\"1\""},
		{"!!int '7'", "7"},
		{"!!float 1", "1"},
		{"!!bool 'y'", "true"},
		{"!!binary aGk=", "\"aGk=\""},
		{"!local 1", "\"1\""},
		{"! 12", "\"12\""},
		{"\"a\\0b\"", "\"a\\u0000b\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		if (strcmp(v[i][0], "-") != 0)
			expect_type(v[i][0], v[i][1]);
}

static void keys_become_strings(void **state)
{
	(void)state;
	expect_json("on: 1\n0777: 2\n? x\n: 3\n\"1\": 4\n",
		    "{\n  \"true\": 1,\n  \"511\": 2,\n  \"x\": 3,\n"
		    "  \"1\": 4\n}\n");
	expect_refusal(ch_str("1: a\n'1': b\n"), "line 2, column 1: the key 1");
	expect_refusal(ch_str("y: a\ntrue: b\n"), "stands twice");
}

static void json_keeps_its_numbers(void **state)
{
	(void)state;
	expect_json("{\"a\":[1.10,1e400,12345678901234567890,-0,1E-5]}",
		    "{\n  \"a\": [\n    1.10,\n    1e400,\n"
		    "    12345678901234567890,\n    -0,\n    1E-5\n  ]\n}\n");
	expect_json("[]", "[]\n");
	expect_json("\xef\xbb\xbf{}", "{}\n");
	expect_json("{\"\\u00e9\\n\": \"\\ud83d\\ude00\"}",
		    "{\n  \"\\u00e9\\n\": \"\\ud83d\\ude00\"\n}\n");
}

static void syntax_and_documents(void **state)
{
	struct doc *d;

	(void)state;
	d = parsed("{\"a\": 1}");
	assert_int_equal(doc_syntax(d), DOC_JSON);
	assert_int_equal(doc_count(d), 1);
	doc_free(d);
	d = parsed("{a: 1}");
	assert_int_equal(doc_syntax(d), DOC_YAML);
	doc_free(d);
	d = parsed("\xef\xbb\xbf%YAML 1.1\n---\n# none\n---\na: 1\n---\n"
		   "- b\n---\n~\n...\n");
	assert_int_equal(doc_syntax(d), DOC_YAML);
	assert_int_equal(doc_count(d), 2);
	doc_free(d);
	expect_json("---\na: 1\n---\n[b]\n",
		    "[\n  {\n    \"a\": 1\n  },\n  [\n    \"b\"\n  ]\n]\n");
	doc_free(NULL);
}

static void aliases_and_merges_are_written_out(void **state)
{
	(void)state;
	expect_json("a: &x {k: 1}\nb: *x\nc: &y v\n*y : *y\n",
		    "{\n  \"a\": {\n    \"k\": 1\n  },\n  \"b\": {\n"
		    "    \"k\": 1\n  },\n  \"c\": \"v\",\n  \"v\": \"v\"\n}\n");
	expect_json("- &a {x: 1, w: 2}\n- &b {w: 3, z: 4}\n"
		    "- {p: 0, <<: [*a, *b], z: 5}\n",
		    "[\n  {\n    \"x\": 1,\n    \"w\": 2\n  },\n  {\n"
		    "    \"w\": 3,\n    \"z\": 4\n  },\n  {\n    \"p\": 0,\n"
		    "    \"x\": 1,\n    \"w\": 2,\n    \"z\": 5\n  }\n]\n");
	expect_json("\"<<\": {a: 1}\n",
		    "{\n  \"<<\": {\n    \"a\": 1\n  }\n}\n");
	expect_patch("b: &b {x: 1}\nc:\n  <<: *b\n  y: 2\n", "{\"z\": 1}",
		     "b: {x: 1}\nc:\n  x: 1\n  y: 2\nz: 1\n");
	/* Small lists of sources and large ones take different paths. */
	expect_json("- &a {a: 1, b: 1, c: 1, d: 1, e: 1, f: 1}\n"
		    "- &b {f: 2, e: 2, d: 2, c: 2, b: 2, a: 2, g: 2}\n"
		    "- <<: [*a, *b]\n",
		    "[\n  {\n    \"a\": 1,\n    \"b\": 1,\n    \"c\": 1,\n"
		    "    \"d\": 1,\n    \"e\": 1,\n    \"f\": 1\n  },\n  {\n"
		    "    \"f\": 2,\n    \"e\": 2,\n    \"d\": 2,\n"
		    "    \"c\": 2,\n    \"b\": 2,\n    \"a\": 2,\n"
		    "    \"g\": 2\n  },\n  {\n    \"a\": 1,\n    \"b\": 1,\n"
		    "    \"c\": 1,\n    \"d\": 1,\n    \"e\": 1,\n"
		    "    \"f\": 1,\n    \"g\": 2\n  }\n]\n");
}

static void wrong_texts_are_refused_with_their_place(void **state)
{
	static const char *const v[][2] = {
		{"", "line 1, column 1: no map and no list"},
		{"# only this\n", "no map and no list"},
		{"nonsense\n", "line 1, column 1: neither JSON nor"},
		{"server {\n  listen 80;\n}\n", "neither JSON nor"},
		{"a: b: c\n", "line 1, column 5: mapping values"},
		{"a: 1\n\tb: 2\n", "indent with spaces, not with tabs"},
		{"]", "line 1, column 1:"},
		{"{\"a\" 1}", "line 1, column 6: not JSON: ':' expected"},
		{"{\"a\": 1,\n \"a\": 2}", "line 2, column 2: the key \"a\""},
		{"{\"a\": \"\\q\"}", "invalid escape"},
		{"{\"a\": 1} {\"b\": 2}", "end of file expected"},
		{"[1, 2", "the JSON text ends too early"},
		{"[a, b", "a comma or a bracket is missing"},
		/* Cut: the last line there is, or where it began. */
		{"{\"a\":\n [1,\n\n",
		 "line 2, column 5: the JSON text ends too"},
		{"a: 1\nb: {c: 2,\n\n", "line 2, column 10: did not find"},
		{"a: 1\nb: \"c\n\n", "line 2, column 4: found unexpected end"},
		{"a: 1\nb: [c,\n d\ne: f\n", "line 4, column 2: did"},
		{"\xc3\xa9: 1\nb: 2\n\xc3\xa9: 3\n", "line 3, column 1: the"},
		{"\xc3\xa9\xc3\xa9: @x\n", "line 1, column 5: found"},
		{"a: *x\n", "line 1, column 4: *x is an alias of nothing"},
		{"a: &x [*x]\n", "*x stands within"},
		{"[a]: b\n", "a key is a map or a list"},
		{"? {a: b}\n: c\n", "a key is a map or a list"},
		{"a: {{ .Values.x }}\n", "in need of quotes"},
		{"~: a\n", "a key is empty or null"},
		{"<<: 3\n", "<< merges maps"},
		{"a: !!int b\n", "line 1, column 4: this is no value for"},
		{"a: \"b\n", "something in quotes never ends"},
		{"a: \xff\n", "line 1, column 4: byte 0xff is not UTF-8"},
		{"\xff\xfe"
		 "a",
		 "UTF-16"},
		{"a: \x01\n", "control characters are not allowed"},
		{"a: 1\n---\nb\n", "line 3, column 1: neither"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		expect_refusal(ch_str(v[i][0]), v[i][1]);
	expect_refusal((struct ch_bytes){"a: \0", 4}, "column 4: a NUL byte");
	expect_refusal((struct ch_bytes){"\0a\0:", 4}, "UTF-16");
}

static void nested(struct strbuf *sb, size_t n, const char *left,
		   const char *mid, const char *right)
{
	strbuf_reset(sb);
	for (size_t i = 0; i < n; i++)
		strbuf_add_str(sb, left);
	strbuf_add_str(sb, mid);
	for (size_t i = 0; i < n; i++)
		strbuf_add_str(sb, right);
}

static void limits_hold(void **state)
{
	struct strbuf sb = STRBUF_INIT;

	(void)state;
	nested(&sb, DOC_NESTING_MAX, "[", "1", "]");
	doc_free(parsed(sb.buf));
	nested(&sb, DOC_NESTING_MAX + 1, "[", "1", "]");
	expect_refusal(strbuf_bytes(&sb), "column 65: nested more than 64");
	nested(&sb, DOC_NESTING_MAX, "[", "x", "]");
	doc_free(parsed(sb.buf));
	nested(&sb, DOC_NESTING_MAX + 1, "[", "x", "]");
	expect_refusal(strbuf_bytes(&sb), "nested more than 64");
	nested(&sb, DOC_NESTING_MAX + 1, "- ", "x", "");
	expect_refusal(strbuf_bytes(&sb), "nested more than 64");
	nested(&sb, 1u << 20, "[", "", "");
	expect_refusal(strbuf_bytes(&sb), "nested more than 64");
	/* An alias is as deep as what it stands for. */
	nested(&sb, 40, "[", "1", "]");
	{
		struct strbuf deep = STRBUF_INIT;

		strbuf_addf(&deep, "a: &a %s\nb: ", sb.buf);
		nested(&sb, 40, "[", "*a", "]");
		strbuf_add_str(&deep, sb.buf);
		strbuf_add_char(&deep, '\n');
		expect_refusal(strbuf_bytes(&deep), "nested more than 64");
		strbuf_release(&deep);
	}

	strbuf_reset(&sb);
	strbuf_add_str(&sb, "a: &a 1\nl:\n");
	for (size_t i = 0; i < DOC_ALIASES_MAX; i++)
		strbuf_add_str(&sb, "- *a\n");
	doc_free(parsed(sb.buf));
	strbuf_add_str(&sb, "- *a\n");
	expect_refusal(strbuf_bytes(&sb), "more than 100 aliases");

	/* A billion laughs, and a few large ones. */
	strbuf_reset(&sb);
	strbuf_add_str(&sb, "a0: &a0 lol\n");
	for (int i = 1; i <= 9; i++)
		strbuf_addf(&sb,
			    "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, "
			    "*a%d, *a%d, *a%d, *a%d]\n",
			    i, i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1,
			    i - 1, i - 1, i - 1, i - 1);
	expect_refusal(strbuf_bytes(&sb), "aliases expanded");
	strbuf_reset(&sb);
	strbuf_add_str(&sb, "a: &a ");
	for (int i = 0; i < 100000; i++)
		strbuf_add_str(&sb, "0123456789");
	strbuf_add_str(&sb, "\nb: [");
	for (int i = 0; i < 50; i++)
		strbuf_add_str(&sb, "*a, ");
	strbuf_add_str(&sb, "]\n");
	expect_refusal(strbuf_bytes(&sb), "MiB of text");
	nested(&sb, 1u << 20, "1,", "", "");
	{
		struct strbuf list = STRBUF_INIT;

		strbuf_addf(&list, "[%s1]", sb.buf);
		expect_refusal(strbuf_bytes(&list), "more than 1048576 values");
		strbuf_release(&list);
	}
	strbuf_release(&sb);
}

static void large_maps_are_searched(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	struct doc *s, *p;
	struct strbuf out = STRBUF_INIT;

	(void)state;
	for (int i = 0; i < 20000; i++)
		strbuf_addf(&sb, "k%d: %d\n", i * 7919 % 20000, i);
	s = parsed(sb.buf);
	p = parsed("k19999: null\nk0: changed\nnew: 1\n");
	assert_int_equal(doc_patch(s, p, &out, NULL), 0);
	assert_non_null(strstr(out.buf, "k0: changed\n"));
	assert_null(strstr(out.buf, "k19999:"));
	assert_non_null(strstr(out.buf, "\nnew: 1\n"));
	doc_free(s);
	doc_free(p);
	strbuf_add_str(&sb, "k777: again\n");
	expect_refusal(strbuf_bytes(&sb), "line 20001, column 1: the key k777");
	strbuf_release(&sb);
	strbuf_release(&out);
}

/* RFC 7396, appendix A, where both are documents of ours. */
static void merge_patch_as_in_the_rfc(void **state)
{
	static const char *const v[][3] = {
		{"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
		{"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
		{"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
		{"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
		{"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
		{"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
		{"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}",
		 "{\"a\":{\"b\":\"d\"}}"},
		{"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
		{"[\"a\",\"b\"]", "{\"a\":\"b\"}", "{\"a\":\"b\"}"},
		{"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
		{"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
		{"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}",
		 "{\"a\":{\"bb\":{}}}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		expect_patch(v[i][0], v[i][1], v[i][2]);
	expect_no_patch("{}", "[1]", "a merge patch is a map");
}

static void patched_yaml_keeps_what_it_can(void **state)
{
	(void)state;
	expect_patch("# gone\n"
		     "name:   web # too\n"
		     "mode: 0777\n"
		     "on: yes\n"
		     "quoted: 'it''s'\n"
		     "double: \"a\\tb\"\n"
		     "empty:\n"
		     "list:\n"
		     "- a\n"
		     "- - b\n"
		     "  - c\n"
		     "- x: 1\n"
		     "  y: [1.10, {z: 0x1F}]\n"
		     "-\n"
		     "text: |\n"
		     "   one\n"
		     "     two\n"
		     "\n"
		     "   three\n"
		     "lead: |1-\n"
		     "   x\n"
		     "fold: >+\n"
		     "    some\n"
		     "    words\n"
		     "\n"
		     "next: many\n"
		     "  words\n",
		     "{\"name\": \"1\", \"new\": {\"a\": [\"y\", true, 1.0]}}",
		     "name: \"1\"\n"
		     "mode: 0777\n"
		     "on: yes\n"
		     "quoted: 'it''s'\n"
		     "double: \"a\\tb\"\n"
		     "empty:\n"
		     "list:\n"
		     "  - a\n"
		     "  - - b\n"
		     "    - c\n"
		     "  - x: 1\n"
		     "    y: [1.10, {z: 0x1F}]\n"
		     "  -\n"
		     "text: |\n"
		     "  one\n"
		     "    two\n"
		     "\n"
		     "  three\n"
		     "lead: |2-\n"
		     "    x\n"
		     "fold: >+\n"
		     "  some\n"
		     "  words\n"
		     "\n"
		     "next: many\n"
		     "  words\n"
		     "new:\n"
		     "  a:\n"
		     "    - \"y\"\n"
		     "    - true\n"
		     "    - 1.0\n");
	/* Tags stay; a text of several lines from JSON becomes a block. */
	expect_patch("a: !Sub \"${x}\"\nb: !GetAtt [c, d]\ne: !Join\n  f: 1\n",
		     "{\"t\": \"one\\ntwo\\n\"}",
		     "a: !Sub \"${x}\"\nb: !GetAtt [c, d]\ne: !Join\n  f: 1\n"
		     "t: |\n  one\n  two\n");
	expect_patch("a: 1\n", "a: {}\nb: []\nc: {d: {}}\n",
		     "a: {}\nb: []\nc: {d: {}}\n");
	expect_patch(
		"{\n\"a\": 1}\n", "b: [x, 0777]\n",
		"{\n  \"a\": 1,\n  \"b\": [\n    \"x\",\n    511\n  ]\n}\n");
	expect_patch("{\"a\": [1, 2]}", "b: y\n",
		     "{\"a\": [1, 2], \"b\": true}");
}

static void patches_find_their_document(void **state)
{
	static const char spec[] = "kind: A\nmetadata: {name: x}\n---\n"
				   "kind: B\nmetadata: {name: x}\nv: 1\n";

	(void)state;
	expect_patch(spec, "kind: B\nmetadata: {name: x}\nv: 2\n",
		     "kind: A\nmetadata: {name: x}\n---\n"
		     "kind: B\nmetadata: {name: x}\nv: 2\n");
	expect_patch(spec,
		     "kind: B\nmetadata: {name: x}\nv: null\n---\n"
		     "kind: A\nmetadata: {name: x}\nw: 3\n",
		     "kind: A\nmetadata: {name: x}\nw: 3\n---\n"
		     "kind: B\nmetadata: {name: x}\n");
	expect_no_patch(spec, "v: 2\n", "does not say which");
	expect_no_patch(spec, "kind: C\nmetadata: {name: x}\n",
			"no document of kind C");
	expect_no_patch("a: 1\n---\na: 2\n", "- 1\n", "a merge patch is a map");
	expect_no_patch("kind: A\nmetadata: {name: x, namespace: p}\n---\n"
			"kind: A\nmetadata: {name: x, namespace: q}\n",
			"kind: A\nmetadata: {name: x}\n", "metadata.namespace");
}

static bool is_manifest(const char *s)
{
	struct doc *d = parsed(s);
	bool is = doc_is_manifest(d);

	doc_free(d);
	return is;
}

static bool has_secret(const char *s)
{
	struct doc *d = parsed(s);
	bool has = doc_has_secret(d);

	doc_free(d);
	return has;
}

static void manifests_and_secrets(void **state)
{
	(void)state;
	assert_true(is_manifest("apiVersion: v1\nkind: Pod\n"));
	assert_false(is_manifest("apiVersion: v1\nkind: ''\n"));
	assert_false(is_manifest("apiVersion: 1\nkind: Pod\n"));
	assert_false(is_manifest("apiVersion: v1\nkind: Pod\n---\na: 1\n"));
	assert_false(is_manifest("[]"));
	assert_true(has_secret("a: 1\n---\nkind: Secret\n"));
	assert_true(has_secret("kind: List\nitems:\n- kind: Pod\n"
			       "- {kind: Secret}\n"));
	assert_true(has_secret("[{\"kind\": \"Secret\"}]"));
	assert_false(has_secret("kind: Pod\nspec: {kind: Secret}\n"));
	assert_true(doc_claims_manifest(ch_str("a\napiVersion: v1")));
	assert_true(doc_claims_manifest(ch_str("\xef\xbb\xbf"
					       "apiVersion:")));
	assert_false(doc_claims_manifest(ch_str(" apiVersion: v1\n")));
	assert_false(doc_claims_manifest(ch_str("apiVersion")));
	assert_false(doc_claims_manifest(ch_str("")));
}

static const char *const valid[] = {
	"a: 1\nb:\n  - x\n  - {y: [1, 2], \"z\": 'q'}\nc: |\n  text\n\nd: 1\n",
	"%YAML 1.1\n%TAG !e! tag:example.org,2000:\n---\na: !e!x y\n...\n",
	"--- \n- &a one\n- *a\n- !!str 2\n- \"\\x41 \\u00e9 \\U0001F600\"\n",
	"? key\n: value\n? [\n",
	"{\"a\": [true, null, -1.5e-3, \"\\ud83d\\ude00\\n\"], \"b\": {}}\n",
	"[1,\n {\"a\": \"\\\"\"}, tru, nope]\n",
	"{a: b, 'c': d, ? e : f}\n",
	"# comment\n\n---\n# another\n---\na: b # c\n",
	"\xef\xbb\xbf\xc3\xa9: \xe2\x82\xac \xf0\x9f\x98\x80\n",
	"a: &x\n  k: v\nb:\n  <<: *x\n  <<x: 1\nc:\n- d\n-\n",
	"a: \"two\n  lines\"\nb: 'three\n\n  lines'\nc: plain\n  lines\n",
	"a: >-\n  folded\n  text\n\n  more\nb: |2+\n    x\n\n\n",
	"a: !<tag:yaml.org,2002:str> 1\nb: !x%41y z\nc: ! 1\n",
	"a: 1\na2: 2\naa: 3\n--- {a: 1}\n--- [x]\n",
	"null\n---\na: 1\n",
	"- - - a\n    - b\n  - c\n- ? x\n  : y\n",
	"\"quoted key\": 1\n'another': 2\n*a : 3\n",
	"a:\r\n  - b\r\n  - c\r\n",
	"- --x\n- ..\n- .5\n- -1\n- ---a\n",
	"{\"a\" : 1\n, \"ab\" :2}",
};

static void every_prefix_of_what_is_valid_passes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++) {
		size_t len = strlen(valid[i]);

		/* The last line of some is there for its prefixes alone. */
		for (size_t k = 0; k <= len; k++) {
			struct err e = ERR_INIT;
			struct ch_bytes in = {valid[i], k};

			if (strstr(valid[i], "*a : 3") && k > len - 5)
				break;
			if (doc_check_prefix(in, &e) != 0)
				fail_msg("%zu bytes: %s\n%.*s", k, e.text,
					 (int)k, valid[i]);
		}
	}
}

static void no_continuation_mends_these(void **state)
{
	static const char *const v[] = {
		"a: b: c\n",
		"a: b: c",
		"{\"a\" 1",
		"{\"a\" 1}",
		"]",
		"\ta: 1\n",
		"a:\n\tb: 1\n",
		"a: 1\n\tb: 2\n",
		"nonsense\n",
		"a: @x\n",
		"a: 1\n b: 2\n",
		"- a\nb: c\n",
		"a: 1\na: 2\n",
		"{\"a\":1,\"a\":",
		"a: *x\n",
		"a: \xff\n",
		"{\"a\": 1} x\n",
		"a: {{ x }}\n",
		"{\"a\": 1}{",
		"server {\n  listen 80;\n",
	};
	struct strbuf sb = STRBUF_INIT;
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		e = (struct err)ERR_INIT;
		if (doc_check_prefix(ch_str(v[i]), &e) != -EINVAL)
			fail_msg("passed: %s", v[i]);
		assert_memory_equal(e.text, "line ", 5);
		assert_int_equal(doc_check_prefix(ch_str(v[i]), NULL), -EINVAL);
	}
	assert_int_equal(doc_check_prefix((struct ch_bytes){"a\0b", 3}, NULL),
			 -EINVAL);
	/* Only the beginning of a large file is looked at. */
	for (int i = 0; i < 100000; i++)
		strbuf_addf(&sb, "k%d: v\n", i);
	assert_int_equal(doc_check_prefix(strbuf_bytes(&sb), NULL), 0);
	strbuf_add_str(&sb, "a: b: c\n");
	assert_int_equal(doc_check_prefix(strbuf_bytes(&sb), NULL), 0);
	strbuf_release(&sb);
}

/* Every allocation failed in turn, all of jansson's included. */
/* NULL: {}. Where it is no good, @want is in the sentence. */
static void merge3_gives(bool good, const char *base, const char *a,
			 const char *b, const char *want)
{
	const char *const text[] = {base, a, b};
	struct doc *d[3] = {NULL};
	struct strbuf sb = STRBUF_INIT;
	struct err e = ERR_INIT;
	int r;

	for (size_t i = 0; i < 3; i++)
		d[i] = text[i] ? parsed(text[i]) : NULL;
	strbuf_add_str(&sb, "+");
	r = doc_merge3(d[0], (const struct doc *const *)d + 1, 2, &sb, &e);
	if (good && r < 0)
		fail_msg("%s", e.text);
	if (good) {
		assert_string_equal(sb.buf + 1, want);
	} else {
		assert_int_equal(r, -EINVAL);
		assert_string_equal(sb.buf, "+");
		if (!strstr(e.text, want))
			fail_msg("'%s' is not in '%s'", want, e.text);
	}
	strbuf_release(&sb);
	for (size_t i = 0; i < 3; i++)
		doc_free(d[i]);
}

static void versions_are_merged_field_by_field(void **state)
{
	(void)state;
	/* The base's order and text; comments are lost; new keys behind. */
	merge3_gives(true, "a: 0x1F # n\nb: 'two'\nc: {d: 1, e: 2}\n",
		     "n: 1\na: 0x1F\nb: 'two'\nc: {d: 1, e: 3}\n",
		     "a: 0x1F\nc: {d: 9, e: 2}\nm: 1\nb: 'two'\n",
		     "a: 0x1F\nb: 'two'\nc: {d: 9, e: 3}\nn: 1\nm: 1\n");
	/* A removal, a value that is null, and no change at all. */
	merge3_gives(true, "{\"a\":1,\"b\":2,\"c\":3}\n", "{\"b\":2,\"c\":3}",
		     "{\"a\":1,\"b\":null,\"c\":3}", "{\"b\":null,\"c\":3}\n");
	merge3_gives(true, "a: 1\n", "a: 1\n", "a: 2\n", "a: 2\n");
	/* The same change, written in two ways; and both remove it. */
	merge3_gives(true, "a: 1\nb: 1\n", "a: 0x10\n", "a: 16\n", "a: 0x10\n");
	/* Both add a map. */
	merge3_gives(true, "a: 1\n", "a: 1\nx: {b: 1}\n", "a: 1\nx: {c: {}}\n",
		     "a: 1\nx: {b: 1, c: {}}\n");
	/* NULL is {}: what a patch that is not there says. */
	merge3_gives(true, NULL, "a: 1\n", "b: 1\n", "a: 1\nb: 1\n");
	merge3_gives(true, "a: 1\nb: 2\n", NULL, "a: 1\nb: 2\nc: 3\n",
		     "c: 3\n");
	/* Syntax: the base's, unless both left it. */
	merge3_gives(true, "{\"a\": 1}", "a: 1\nb: x\n", "{\"a\": 2}",
		     "{\"a\": 2,\"b\": \"x\"}");
	merge3_gives(true, "{\"a\": 1}", "a: 1\nb: x\n", "a: 2\n",
		     "a: 2\nb: x\n");
}

static void contradictions_are_told(void **state)
{
	(void)state;
	merge3_gives(false, "a: {b: 1}\n", "a: {b: 2}\n", "a: {b: 3}\n",
		     ".a.b is changed in two ways");
	/* Lists are changed whole. */
	merge3_gives(false, "a: [1, 2]\n", "a: [0, 2]\n", "a: [1, 3]\n", ".a ");
	/* A removal against a change below it. */
	merge3_gives(false, "a: {b: 1, c: 2}\n", "x: 1\n", "a: {b: 1, c: 3}\n",
		     ".a ");
	merge3_gives(false, "a: 1\n", "a: {b: 1}\n", "a: {c: 1}\n", ".a ");
	merge3_gives(false, "[1]", "[2]", "[3]", "the whole");
	/* 1 and "1" are two. */
	merge3_gives(false, "b: 1\n", "a: 1\n", "a: '1'\n", ".a ");
	/* An application's tag is part of the value. */
	merge3_gives(false, "a: !x {b: 1}\n", "a: !y {b: 1}\n",
		     "a: !x {b: 2}\n", ".a ");
}

static void documents_are_merged_one_by_one(void **state)
{
#define DOC(name, v) "kind: A\nmetadata: {name: " name "}\nv: " v "\n"
	(void)state;
	/* By kind and name, wherever they stand. */
	merge3_gives(true, DOC("p", "1") "---\n" DOC("q", "1"),
		     DOC("q", "1") "---\n" DOC("p", "2"),
		     DOC("p", "1") "---\n" DOC("q", "3"),
		     DOC("p", "2") "---\n" DOC("q", "3"));
	merge3_gives(false, DOC("p", "1") "---\n" DOC("q", "1"),
		     DOC("p", "1") "---\n" DOC("r", "1"),
		     DOC("p", "1") "---\n" DOC("q", "3"), "documents");
	merge3_gives(false, DOC("p", "1"), DOC("p", "1") "---\n" DOC("q", "1"),
		     DOC("p", "2"), "documents");
	/* One document is that one, whatever it is called. */
	merge3_gives(true, DOC("p", "1"), DOC("q", "1"), DOC("p", "2"),
		     DOC("q", "2"));
	/* Else by place, where the same ones stand there. */
	merge3_gives(true, "a: 1\n---\nb: 1\n", "a: 2\n---\nb: 1\n",
		     "a: 1\n---\nb: 2\n", "a: 2\n---\nb: 2\n");
	merge3_gives(false, "a: 1\n---\n" DOC("p", "1"),
		     "a: 1\n---\n" DOC("q", "1"), "a: 2\n---\n" DOC("p", "1"),
		     "documents");
	merge3_gives(false, "a: 1\n", NULL, "a: 1\n---\nb: 1\n", "documents");
#undef DOC
}

static void no_memory_is_an_answer(void **state)
{
	static const char *const specs[] = {
		"{\"a\": [1, 1.10, \"x\\n\", {\"b\": null}], \"c\": \"\"}",
		"kind: A\nmetadata: {name: web}\nx: &x {a: 1, b: 2, c: 3, d: "
		"4, "
		"e: 5, f: 6, g: 7, h: 8, i: 9}\ny:\n  <<: *x\n  z: >\n    t\n"
		"long: 0x1_F\nl: |\n  x\n---\nb: \"q\\n\"\n",
	};
	static const char patch[] = "kind: A\nmetadata: {name: web}\n"
				    "x: {a: null, n: [1, 2]}\n";

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct ch_bytes in = ch_str(specs[i]);
		struct doc *p = parsed(i ? patch : "{\"a\": {\"b\": \"y\"}}");
		struct doc *q = parsed("q: 1\nx: {m: 1}\na: {c: 1}\n");
		const struct doc *const both[] = {p, q};
		int failed = 0, r = -ENOMEM;

		for (long n = 0; r == -ENOMEM; n++) {
			struct strbuf out = STRBUF_INIT, json = STRBUF_INIT;
			struct doc *d = NULL;
			struct err e = ERR_INIT;
			long held = mem_outstanding();

			mem_fail_after(n);
			r = doc_check_prefix(in, &e);
			if (r == 0)
				r = doc_parse(in, &d, &e);
			if (r == 0)
				r = doc_patch(d, p, &out, &e);
			if (r == 0)
				r = doc_merge3(NULL, both, 2, &out, &e);
			if (r == 0)
				r = doc_to_json(d, &json);
			mem_fail_after(-1);
			if (r != 0) {
				if (r != -ENOMEM)
					fail_msg("allocation %ld: %s", n,
						 e.text);
				assert_int_equal(json.len, 0);
				failed++;
			}
			doc_free(d);
			strbuf_release(&out);
			strbuf_release(&json);
			assert_int_equal(mem_outstanding(), held);
		}
		assert_int_equal(r, 0);
		assert_true(failed > 20);
		doc_free(q);
		doc_free(p);
	}
	assert_int_equal(mem_outstanding(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_share_what_is_parsed),
		cmocka_unit_test(scalars_are_typed_as_kubectl),
		cmocka_unit_test(keys_become_strings),
		cmocka_unit_test(json_keeps_its_numbers),
		cmocka_unit_test(syntax_and_documents),
		cmocka_unit_test(aliases_and_merges_are_written_out),
		cmocka_unit_test(wrong_texts_are_refused_with_their_place),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(large_maps_are_searched),
		cmocka_unit_test(merge_patch_as_in_the_rfc),
		cmocka_unit_test(patched_yaml_keeps_what_it_can),
		cmocka_unit_test(patches_find_their_document),
		cmocka_unit_test(manifests_and_secrets),
		cmocka_unit_test(every_prefix_of_what_is_valid_passes),
		cmocka_unit_test(no_continuation_mends_these),
		cmocka_unit_test(versions_are_merged_field_by_field),
		cmocka_unit_test(contradictions_are_told),
		cmocka_unit_test(documents_are_merged_one_by_one),
		cmocka_unit_test(no_memory_is_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
