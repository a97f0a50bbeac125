/* policy.c -- see policy.h. */
#include "core/policy.h"

#include <errno.h>
#include <string.h>

#include "core/place.h"

#define WORDS_MAX 3

/* The first word is the one in force by default. */
static const struct {
	const char *name;
	const char *word[WORDS_MAX];
} policies[POLICIES] = {
	[POLICY_ADOPT] = {"adopt", {"fail", "take"}},
	[POLICY_DRIFT] = {"drift", {"repair", "report", "ignore"}},
	[POLICY_MERGE] = {"merge", {"fields", "never"}},
	[POLICY_ON_REMOVE] = {"on-remove", {"withdraw", "keep"}},
};

const char *policy_name(enum policy_key key)
{
	return policies[key].name;
}

const char *policy_default(enum policy_key key)
{
	return policies[key].word[0];
}

bool policy_takes(enum policy_key key, struct ch_bytes word)
{
	for (size_t i = 0; i < WORDS_MAX && policies[key].word[i]; i++)
		if (ch_bytes_equal(ch_str(policies[key].word[i]), word))
			return true;
	return false;
}

static int no_such_key(struct ch_bytes key, unsigned int line,
		       struct err *reterr)
{
	struct strbuf known = STRBUF_INIT;
	int rc;

	for (size_t i = 0; i < POLICIES; i++)
		strbuf_addf(&known, "%s%s", i ? ", " : "", policies[i].name);
	rc = err_set(reterr, -EINVAL,
		     "line %u: '%.*s' is no key of policy; there are: %s", line,
		     (int)(key.len > 60 ? 60 : key.len), (const char *)key.p,
		     known.buf);
	strbuf_release(&known);
	return rc;
}

static int no_such_word(enum policy_key key, struct ch_bytes word,
			unsigned int line, struct err *reterr)
{
	const char *const *v = policies[key].word;
	struct strbuf known = STRBUF_INIT;
	int rc;

	for (size_t i = 0; i < WORDS_MAX && v[i]; i++)
		strbuf_addf(&known, "%s%s", i ? " or " : "", v[i]);
	rc = err_set(reterr, -EINVAL, "line %u: %s takes %s, not '%.*s'", line,
		     policies[key].name, known.buf,
		     (int)(word.len > 60 ? 60 : word.len),
		     (const char *)word.p);
	strbuf_release(&known);
	return rc;
}

static size_t word_len(struct ch_bytes s)
{
	const char *p = s.p;
	size_t n = 0;

	while (n < s.len && p[n] != ' ' && p[n] != '\t')
		n++;
	return n;
}

static int parse_line(struct ch_bytes s, unsigned int line, policy_fn *fn,
		      void *arg, struct err *reterr)
{
	struct ch_bytes key = {s.p, word_len(s)}, word;

	word = place_trim((struct ch_bytes){(const char *)s.p + key.len,
					    s.len - key.len});
	for (size_t i = 0; i < POLICIES; i++) {
		enum policy_key k = (enum policy_key)i;

		if (!ch_bytes_equal(ch_str(policies[i].name), key))
			continue;
		return policy_takes(k, word)
			       ? fn(arg, k, word)
			       : no_such_word(k, word, line, reterr);
	}
	return no_such_key(key, line, reterr);
}

int policy_parse(struct ch_bytes text, policy_fn *fn, void *arg,
		 struct err *reterr)
{
	const char *p = text.p;
	unsigned int line = 1;

	for (size_t left = text.len; left; line++) {
		const char *nl = memchr(p, '\n', left);
		size_t n = nl ? (size_t)(nl - p) + 1 : left;
		struct ch_bytes s = place_trim((struct ch_bytes){p, n});
		int rc = s.len ? parse_line(s, line, fn, arg, reterr) : 0;

		if (rc)
			return rc;
		p += n;
		left -= n;
	}
	return 0;
}

static const struct {
	const char *name;
	uint64_t ms;
} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};

int hold_parse(struct ch_bytes text, uint64_t *ret_ms, struct err *reterr)
{
	struct ch_bytes s = place_trim(text), unit;
	const char *p = s.p;
	uint64_t n = 0;
	size_t i = 0;

	for (; i < s.len && p[i] >= '0' && p[i] <= '9'; i++)
		if (n <= HOLD_MS_MAX)
			n = n * 10 + (uint64_t)(p[i] - '0');
	unit = (struct ch_bytes){p + i, s.len - i};
	for (size_t k = 0; i && k < sizeof(units) / sizeof(units[0]); k++) {
		if (!ch_bytes_equal(ch_str(units[k].name), unit))
			continue;
		if (n > HOLD_MS_MAX / units[k].ms)
			return err_set(reterr, -EINVAL,
				       "'%.*s' is too long; 8784h is the most",
				       (int)(s.len > 60 ? 60 : s.len), p);
		*ret_ms = n * units[k].ms;
		return 0;
	}
	return err_set(reterr, -EINVAL,
		       "'%.*s' is no duration; write a number and a unit, as "
		       "in 90s, 30m or 2h, or 0s to end the hold",
		       (int)(s.len > 60 ? 60 : s.len), p);
}

void hold_text(uint64_t ms, struct strbuf *sb)
{
	size_t k = 1;

	/* Two of a unit at least: 90s, 90m, 2h. */
	while (k + 1 < sizeof(units) / sizeof(units[0]) &&
	       ms >= 2 * units[k + 1].ms)
		k++;
	strbuf_addf(sb, "%llu%s",
		    (unsigned long long)((ms + units[k].ms - 1) / units[k].ms),
		    units[k].name);
}
