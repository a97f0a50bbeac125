/* place.c -- see place.h. */
#include "core/place.h"

#include <errno.h>
#include <string.h>

#include "core/name.h"

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct ch_bytes place_trim(struct ch_bytes b)
{
	const char *p = b.p;

	while (b.len && is_space(p[b.len - 1]))
		b.len--;
	while (b.len && is_space(*p)) {
		p++;
		b.len--;
	}
	return (struct ch_bytes){p, b.len};
}

static int parse_line(struct ch_bytes s, unsigned int line, place_fn *fn,
		      void *arg, struct err *reterr)
{
	enum place_kind kind = PLACE_SITE;
	const char *p = s.p;
	int rc;

	if (p[0] == '!' && s.len > 1 && p[1] == '+') {
		kind = PLACE_NO_WITNESS;
		s = (struct ch_bytes){p + 2, s.len - 2};
	} else if (p[0] == '+') {
		kind = PLACE_WITNESS;
		s = (struct ch_bytes){p + 1, s.len - 1};
	} else if (p[0] == '*' || p[0] == '!' || memchr(p, '=', s.len)) {
		return err_set(reterr, -EINVAL,
			       "line %u: '%.*s': this version takes names of "
			       "sites, +NAME and !+NAME; no patterns",
			       line, (int)(s.len > 80 ? 80 : s.len), p);
	}
	rc = name_check_site(s, reterr);
	if (rc < 0)
		return err_wrap(reterr, rc, "line %u", line);
	return fn(arg, kind, s, line);
}

int place_parse(struct ch_bytes text, place_fn *fn, void *arg,
		struct err *reterr)
{
	const char *p = text.p;
	unsigned int line = 1;

	for (size_t left = text.len; left; line++) {
		const char *nl = memchr(p, '\n', left);
		size_t n = nl ? (size_t)(nl - p) + 1 : left;
		struct ch_bytes s = place_trim((struct ch_bytes){p, n});

		if (s.len) {
			int rc = parse_line(s, line, fn, arg, reterr);

			if (rc)
				return rc;
		}
		p += n;
		left -= n;
	}
	return 0;
}
