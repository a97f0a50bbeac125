/*
 * doctool.c -- core/doc as a filter, for tests/doc/compare.
 *
 * Reads requests from stdin until its end, answers each on stdout:
 *
 *   json LEN\n<bytes>          the same as JSON
 *   patch LEN LEN\n<spec><patch>
 *   prefix LEN\n<bytes>        nothing, or what no continuation could mend
 *   merge3 LEN LEN LEN\n<base><version><version>
 *
 * An answer is "ok LEN\n<bytes>", or "no LEN\n<sentence>".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/doc.h"

static struct ch_bytes read_bytes(size_t len)
{
	char *p = malloc(len + 1);

	if (!p || fread(p, 1, len, stdin) != len)
		exit(2);
	return (struct ch_bytes){p, len};
}

static void answer(int r, const struct strbuf *out, const struct err *e)
{
	struct ch_bytes b = r < 0 ? ch_str(e->text) : strbuf_bytes(out);

	printf("%s %zu\n", r < 0 ? "no" : "ok", b.len);
	fwrite(b.p, 1, b.len, stdout);
	fflush(stdout);
}

#define TEXTS_MAX 3

static int run(const char *verb, const struct ch_bytes *text,
	       struct strbuf *out, struct err *e)
{
	struct doc *d[TEXTS_MAX] = {NULL};
	size_t n = strcmp(verb, "json") == 0    ? 1
		   : strcmp(verb, "patch") == 0 ? 2
						: 3;
	int r = 0;

	if (strcmp(verb, "prefix") == 0)
		return doc_check_prefix(text[0], e);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = doc_parse(text[i], &d[i], e);
	if (r == 0 && n == 1)
		r = doc_to_json(d[0], out);
	else if (r == 0 && n == 2)
		r = doc_patch(d[0], d[1], out, e);
	else if (r == 0)
		r = doc_merge3(d[0], (const struct doc *const *)d + 1, 2, out,
			       e);
	for (size_t i = 0; i < n; i++)
		doc_free(d[i]);
	return r;
}

int main(void)
{
	char line[128], verb[16];

	while (fgets(line, sizeof(line), stdin)) {
		struct strbuf out = STRBUF_INIT;
		struct err e = ERR_INIT;
		struct ch_bytes text[TEXTS_MAX];
		size_t len[TEXTS_MAX] = {0};

		if (sscanf(line, "%15s %zu %zu %zu", verb, &len[0], &len[1],
			   &len[2]) < 2)
			return 2;
		for (size_t i = 0; i < TEXTS_MAX; i++)
			text[i] = read_bytes(len[i]);
		answer(run(verb, text, &out, &e), &out, &e);
		strbuf_release(&out);
		for (size_t i = 0; i < TEXTS_MAX; i++)
			free((void *)text[i].p);
	}
	return 0;
}
