/* test_world_events.c -- the stream behind .events. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/events.h"

static void add(struct events *ev, const char *event, const char *message)
{
	struct ch_notice n = {.event = event,
			      .resource = "web",
			      .message = message,
			      .wall_ms = 1700000000123};

	events_add(ev, &n);
}

/* All that there is at @c, in pieces of @step bytes. Free it. */
static char *drain(struct events *ev, struct events_cursor *c, size_t step)
{
	char *text = calloc(1, 1 << 20);
	size_t len = 0, n;

	assert_non_null(text);
	while ((n = events_read(ev, c, text + len, step)) > 0)
		len += n;
	return text;
}

static size_t count(const char *text, const char *word)
{
	size_t n = 0;

	while ((text = strstr(text, word))) {
		n++;
		text += strlen(word);
	}
	return n;
}

static void one_line_has_its_fields(void **state)
{
	struct events *ev = events_new(4096);
	struct events_cursor c = {.seq = 0};
	struct ch_notice n = {.event = "version",
			      .resource = "a\"b\\c",
			      .site = "nantes",
			      .version = "0123456789abcdef",
			      .user = "root",
			      .message = "tab\there, \xc3\xa9, bad \xff\xc3",
			      .wall_ms = 1700000000123};
	char *text;

	(void)state;
	assert_non_null(ev);
	events_add(ev, &n);
	text = drain(ev, &c, 4096);
	assert_string_equal(
		text,
		"{\"seq\":1,\"time\":\"2023-11-14T22:13:20.123Z\","
		"\"event\":\"version\",\"resource\":\"a\\\"b\\\\c\","
		"\"site\":\"nantes\",\"version\":\"0123456789abcdef\","
		"\"user\":\"root\",\"message\":\"tab\\u0009here, \xc3\xa9, "
		"bad \xef\xbf\xbd\xef\xbf\xbd\"}\n");
	free(text);
	events_free(ev);
}

static void pieces_make_the_same_bytes(void **state)
{
	struct events *ev = events_new(1 << 20);
	char *whole;

	(void)state;
	for (int i = 0; i < 100; i++)
		add(ev, "applied", i % 2 ? "odd" : NULL);
	whole = drain(ev, &(struct events_cursor){.seq = 0}, 1 << 19);
	assert_int_equal(strlen(whole), events_size(ev, NULL));
	for (size_t step = 1; step < 300; step += 7) {
		struct events_cursor c = {.seq = 0};
		char *text = drain(ev, &c, step);

		assert_string_equal(text, whole);
		assert_int_equal(c.at, strlen(whole));
		free(text);
	}
	free(whole);
	events_free(ev);
}

static void any_offset_can_be_read(void **state)
{
	struct events *ev = events_new(1 << 20);
	char *whole;

	(void)state;
	for (int i = 0; i < 20; i++)
		add(ev, "ready", "x");
	whole = drain(ev, &(struct events_cursor){.seq = 0}, 1 << 19);
	for (size_t at = 0; at <= strlen(whole); at++) {
		struct events_cursor c = {.at = at};
		char *text = drain(ev, &c, 64);

		assert_string_equal(text, whole + at);
		free(text);
	}
	free(whole);
	events_free(ev);
}

static void the_end_is_followed(void **state)
{
	struct events *ev = events_new(4096);
	struct events_cursor c = {.seq = 0};
	uint64_t ms = 0;
	char *text;

	(void)state;
	assert_int_equal(events_size(ev, &ms), 0);
	free(drain(ev, &c, 4096));
	add(ev, "alive", NULL);
	text = drain(ev, &c, 4096);
	assert_int_equal(count(text, "\"seq\":1,"), 1);
	free(text);
	add(ev, "dead", NULL);
	text = drain(ev, &c, 4096);
	assert_int_equal(count(text, "\"event\""), 1);
	assert_int_equal(count(text, "\"seq\":2,"), 1);
	free(text);
	assert_true(events_size(ev, &ms) == c.at);
	assert_true(ms == 1700000000123);
	events_free(ev);
}

static void who_falls_behind_is_told_how_many(void **state)
{
	struct events *ev = events_new(1000);
	struct events_cursor c = {.seq = 0};
	char buf[64], *text;
	size_t n;

	(void)state;
	add(ev, "alive", NULL);
	n = events_read(ev, &c, buf, 10); /* In the middle of a line. */
	assert_int_equal(n, 10);
	for (int i = 0; i < 200; i++)
		add(ev, "alive", NULL);
	text = drain(ev, &c, 33);
	assert_int_equal(text[0], '\n'); /* The broken line ends. */
	assert_int_equal(count(text, "\"event\":\"lost\""), 1);
	/* What is kept, and what was lost, are all there were. */
	n = (size_t)strtoul(strstr(text, "\"message\":\"") + 11, NULL, 10);
	assert_int_equal(n + count(text, "\"event\":\"alive\""), 201);
	free(text);
	events_free(ev);
}

static void the_first_reader_gets_what_is_kept(void **state)
{
	struct events *ev = events_new(500);
	char *text;

	(void)state;
	for (int i = 0; i < 100; i++)
		add(ev, "alive", NULL);
	text = drain(ev, &(struct events_cursor){.seq = 0}, 4096);
	assert_true(strlen(text) <= 500);
	assert_int_equal(count(text, "lost"), 0);
	assert_int_equal(count(text, "\"seq\":100,"), 1);
	free(text);
	/* Sizes go on growing. */
	assert_true(events_size(ev, NULL) > 5000);
	events_free(ev);
}

static void *add_many(void *arg)
{
	for (int i = 0; i < 2000; i++)
		add(arg, "applied", "concurrently");
	return NULL;
}

static void threads_see_whole_lines_in_order(void **state)
{
	struct events *ev = events_new(1 << 22);
	struct events_cursor c = {.seq = 0};
	unsigned long last = 0, seen = 0;
	pthread_t t[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, add_many, ev), 0);
	while (seen < 4000) {
		char *text = drain(ev, &c, 5000), *line = text;

		for (; *line; line = strchr(line, '\n') + 1) {
			unsigned long seq = strtoul(line + 7, NULL, 10);

			assert_true(strncmp(line, "{\"seq\":", 7) == 0);
			assert_int_equal(seq, last + 1);
			last = seq;
			seen++;
		}
		free(text);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	events_free(ev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_line_has_its_fields),
		cmocka_unit_test(pieces_make_the_same_bytes),
		cmocka_unit_test(any_offset_can_be_read),
		cmocka_unit_test(the_end_is_followed),
		cmocka_unit_test(who_falls_behind_is_told_how_many),
		cmocka_unit_test(the_first_reader_gets_what_is_kept),
		cmocka_unit_test(threads_see_whole_lines_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
