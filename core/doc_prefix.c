/*
 * doc_prefix.c -- can what is wrong in the beginning of a YAML text still be
 * mended by its end? libyaml cannot be asked; but it can be shown some ends.
 */
#include <errno.h>
#include <string.h>

#include "core/doc_tree.h"

/*
 * Continuations to try. libyaml looks but a few characters ahead of where it
 * complains, and a token that has begun may grow, close, or turn out to be a
 * key: an error that stands before the end and stays the same whatever of this
 * follows stays for ever. Blanks come first: most errors end there.
 */
static const char *const futures[] = {
	"    ",
	"\n",
	"aaaa",
	/* A key; the end of quotes; a line at some depth. */
	": x\n",
	"\": x\n",
	"': x\n",
	"\n  a",
	"\n                    a",
	/* The end of a document, or its beginning. */
	"-\n",
	"--\n",
	"---\n",
	".\n",
	"..\n",
	"----",
	/* The rest of an escape in quotes, or in a tag. */
	"00000041",
	"9%A9%A9 x",
	"A9%A9%A9 x",
	"%A9%A9%A9 x",
	":::::",
	",,,,,",
	"]\n",
	"}\n",
	"\"\"\"\"",
	"\n\n\n",
	"| x\n",
	"#",
};

static int try_future(struct ch_bytes in, const char *more, struct doc_fail *f)
{
	struct strbuf sb = STRBUF_INIT;
	struct doc d = {0};
	int r;

	strbuf_add(&sb, in.p, in.len);
	strbuf_add_str(&sb, more);
	r = strbuf_error(&sb);
	if (r == 0) {
		d.in = strbuf_bytes(&sb);
		r = doc_read_yaml(&d, true, f);
	}
	doc_arena_release(&d.arena);
	strbuf_release(&sb);
	return r;
}

int doc_prefix_yaml(struct ch_bytes in, struct doc_fail *f)
{
	struct doc_fail first = {0};

	for (size_t i = 0; i < sizeof(futures) / sizeof(futures[0]); i++) {
		int r = try_future(in, futures[i], f);

		if (r != -EINVAL)
			return r;
		if (f->settled >= in.len)
			return 0;
		if (i == 0)
			first = *f;
		/* To become a key is no way out for a map or a list. */
		if (strcmp(f->what, "key") == 0)
			continue;
		if (strcmp(f->what, first.what) != 0 || f->at != first.at)
			return 0;
	}
	return -EINVAL;
}
