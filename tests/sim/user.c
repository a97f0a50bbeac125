/* user.c -- what users ask for, and what becomes of it; see world.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "tests/sim/world.h"

struct answer *world_answer(struct world *w, uint64_t token)
{
	struct answer *a = w->answers;

	while (a && a->token != token)
		a = a->next;
	return a;
}

void user_answered(struct world *w, uint64_t token, int err, const char *text)
{
	struct answer *a = world_answer(w, token);

	if (!a) {
		world_fail(w, "an answer to nobody: token %llu",
			   (unsigned long long)token);
		return;
	}
	if (a->done)
		world_fail(w, "a second answer to token %llu",
			   (unsigned long long)token);
	if ((err != 0) != (text[0] != '\0'))
		world_fail(w, "answer %d with the text '%s'", err, text);
	a->done = true;
	a->err = err;
	w->tally[TALLY_REFUSED_OPS] += err < 0;
	if (err < 0)
		world_note(w, a->site, a->site, " refused: %s", text);
	(void)snprintf(a->text, sizeof(a->text), "%s", text);
}

void user_begins(struct world *w, const struct ch_submit *s)
{
	world_answer(w, s->token)->until_ms = w->now + s->timeout_ms;
}

void user_ended(const struct site *s)
{
	for (struct answer *a = s->w->answers; a; a = a->next)
		if (a->site == s->no && !a->done && a->life < s->life) {
			a->done = true;
			a->err = -EIO;
		}
}

static struct ch_bytes keep(char **to, struct ch_bytes b)
{
	struct ch_bytes kept = {*to, b.len};

	if (b.len)
		memcpy(*to, b.p, b.len);
	*to += b.len + 1;
	return kept;
}

static void note_op(struct world *w, size_t site, const struct ch_submit *s)
{
	static const char *const op[] = {
		"mkdir",   "rmdir",  "add site", "del site", "write",   "chmod",
		"restore", "forget", "address",  "labels",   "wait for"};
	static const char *const file[] = {"spec", "driver", "sites", "patch"};
	bool write = s->op == CH_WRITE;
	struct ch_bytes name = s->name.len ? s->name : s->trash;

	if ((size_t)s->op < sizeof(op) / sizeof(op[0]))
		world_note(w, site, site, "USER %s %.*s %.*s%s", op[s->op],
			   (int)(name.len < 40 ? name.len : 40),
			   (const char *)name.p, (int)s->site.len,
			   s->site.len ? (const char *)s->site.p : "",
			   write && (size_t)s->file < 4 ? file[s->file] : "");
}

uint64_t world_submit(struct world *w, size_t site,
		      const struct ch_submit *submit)
{
	struct item *it = calloc(1, sizeof(*it));
	struct answer *a = calloc(1, sizeof(*a));
	struct site *s = &w->site[site];
	struct ch_submit *to;
	char *mem;

	CHECK(it && a);
	it->ev.type = CH_SUBMIT;
	to = &it->ev.u.submit;
	*to = *submit;
	to->token = ++w->last_token;
	mem = calloc(1, submit->name.len + submit->site.len +
				submit->trash.len + submit->to.len +
				submit->context.len +
				submit->body.len + submit->user.len +
				submit->owner.len + submit->group.len + 8);
	CHECK(mem);
	it->mem = mem;
	to->name = keep(&mem, submit->name);
	to->site = keep(&mem, submit->site);
	to->trash = keep(&mem, submit->trash);
	to->to = keep(&mem, submit->to);
	to->context = keep(&mem, submit->context);
	to->body = keep(&mem, submit->body);
	to->user = keep(&mem, submit->user);
	to->owner = keep(&mem, submit->owner);
	to->group = keep(&mem, submit->group);
	a->token = to->token;
	a->site = site;
	a->op = submit->op;
	a->life = s->life;
	w->tally[TALLY_OPS]++;
	note_op(w, site, submit);
	a->next = w->answers;
	w->answers = a;
	if (!s->engine) {
		a->done = true;
		a->err = -EIO;
	}
	site_post(s, it);
	return a->token;
}

void world_quiet(struct world *w, size_t site, const char *name)
{
	struct item *it = calloc(1, sizeof(*it));

	CHECK(it);
	it->ev.type = CH_QUIET;
	it->mem = strdup(name);
	it->ev.u.quiet.name = ch_str(it->mem);
	site_post(&w->site[site], it);
}
