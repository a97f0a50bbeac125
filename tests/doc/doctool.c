/*
 * doctool.c -- core/doc as a filter, for tests/doc/compare.
 *
 * Reads requests from stdin until its end, answers each on stdout:
 *
 *   json LEN\n<bytes>          the same as JSON
 *   patch LEN LEN\n<spec><patch>
 *   prefix LEN\n<bytes>        nothing, or what no continuation could mend
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

static int run(const char *verb, struct ch_bytes a, struct ch_bytes b,
	       struct strbuf *out, struct err *e)
{
	struct doc *spec = NULL, *patch = NULL;
	int r;

	if (strcmp(verb, "prefix") == 0)
		return doc_check_prefix(a, e);
	r = doc_parse(a, &spec, e);
	if (r == 0 && strcmp(verb, "json") == 0) {
		r = doc_to_json(spec, out);
	} else if (r == 0) {
		r = doc_parse(b, &patch, e);
		if (r == 0)
			r = doc_patch(spec, patch, out, e);
	}
	doc_free(spec);
	doc_free(patch);
	return r;
}

int main(void)
{
	char line[128], verb[16];
	size_t alen, blen;

	while (fgets(line, sizeof(line), stdin)) {
		struct strbuf out = STRBUF_INIT;
		struct err e = ERR_INIT;
		struct ch_bytes a, b;

		blen = 0;
		if (sscanf(line, "%15s %zu %zu", verb, &alen, &blen) < 2)
			return 2;
		a = read_bytes(alen);
		b = read_bytes(blen);
		answer(run(verb, a, b, &out, &e), &out, &e);
		strbuf_release(&out);
		free((void *)a.p);
		free((void *)b.p);
	}
	return 0;
}
