/*
 * merge.c -- concurrent versions that touch different fields become one.
 *
 * What they come to is a function of their bytes and those of their common base
 * alone (doc_merge3() of the versions in the order of their hashes), so that
 * any two sites that merge the same versions write the same bytes; and equal
 * bytes are one version. The merged version names the common base as its own:
 * so a version that arrives later is merged with it in turn.
 *
 * One site writes it down: the author of the shown version, where it is in or
 * a witness; MERGE_TURN_MS later the next of those by id, and so on. Each
 * counts from when it saw these versions first.
 *
 * What a site has found out about a set of versions hangs on its act, which
 * lives as long as they are several.
 */
#include <errno.h>
#include <string.h>

#include "core/act.h"
#include "core/doc.h"
#include "core/mem.h"
#include "core/policy.h"

#define MERGE_TURN_MS 30000ull
/* What is more takes too long here, where everything waits for it: half a
 * second for so many bytes. */
#define MERGE_VERSIONS_MAX 32
#define MERGE_BYTES_MAX (4u * 1024u * 1024u)

struct merge {
	struct ch_hash set; /* Of which versions this is. */
	uint64_t seen_ms;   /* When they were seen first. */
	bool some;          /* Some of them can be merged. */
	bool apart;         /* Some cannot. */
	struct err why;     /* That is so. */
};

/* One register with several versions: entries of @r from @lo to @hi. */
struct tear {
	const struct record *r;
	size_t lo, hi;
};

/* From @t->hi on. */
static bool next_tear(const struct record *r, struct tear *t)
{
	const struct entry *e;
	size_t pos = t->hi;

	while ((e = resource_hidden(r, &pos))) {
		size_t lo = pos - 1;

		if (e->type != ENTRY_SPEC && e->type != ENTRY_PATCH)
			continue;
		while (lo && r->v[lo - 1].type == e->type &&
		       ch_bytes_equal(r->v[lo - 1].sub, e->sub))
			lo--;
		while (pos < r->n && r->v[pos].type == e->type &&
		       ch_bytes_equal(r->v[pos].sub, e->sub))
			pos++;
		*t = (struct tear){r, lo, pos};
		return true;
	}
	return false;
}

/* Whether policy lets versions of @r be merged. */
static bool may_merge(const struct record *r)
{
	return ch_bytes_equal(resource_policy(r, POLICY_MERGE),
			      ch_str("fields"));
}

/* The versions, each content once, by hash. */
struct versions {
	const struct entry *v[MERGE_VERSIONS_MAX];
	size_t n;
};

static bool add_version(struct versions *to, const struct entry *e)
{
	size_t i = 0;
	int c = 1;

	while (i < to->n &&
	       (c = hash_cmp(&to->v[i]->body.hash, &e->body.hash)) < 0)
		i++;
	if (i < to->n && c == 0)
		return true;
	if (to->n == MERGE_VERSIONS_MAX)
		return false;
	memmove(to->v + i + 1, to->v + i, (to->n - i) * sizeof(to->v[0]));
	to->v[i] = e;
	to->n++;
	return true;
}

/* Of one lineage, and made of one base. */
static bool are_siblings(const struct tear *t, struct versions *ret)
{
	const struct entry *first = &t->r->v[t->lo];
	uint64_t len = first->base.len;

	ret->n = 0;
	for (size_t i = t->lo; i < t->hi; i++) {
		const struct entry *e = &t->r->v[i];

		len += e->body.len;
		if (!e->has_base ||
		    hash_cmp(&e->base.hash, &first->base.hash) != 0 ||
		    id_cmp(&e->lineage, &first->lineage) != 0 ||
		    len > MERGE_BYTES_MAX || !add_version(ret, e))
			return false;
	}
	return true;
}

/* NULL: a patch that says nothing. -EINVAL when it cannot be parsed. */
static int parse_body(struct ch_engine *e, const struct body_ref *body,
		      struct doc **ret_doc)
{
	struct strbuf sb = STRBUF_INIT;
	int rc = body->len ? body_read(e, body, &sb) : 0;

	if (rc == 0 && body->len)
		rc = doc_parse(strbuf_bytes(&sb), ret_doc, NULL);
	strbuf_release(&sb);
	return rc == -ENOENT ? -EINVAL : rc;
}

static int merge_bodies(struct ch_engine *e, const struct versions *all,
			struct strbuf *out, struct err *reterr)
{
	struct doc *v[MERGE_VERSIONS_MAX] = {NULL}, *base = NULL;
	int rc = parse_body(e, &all->v[0]->base, &base);

	for (size_t i = 0; rc == 0 && i < all->n; i++)
		rc = parse_body(e, &all->v[i]->body, &v[i]);
	if (rc == 0)
		rc = doc_merge3(base, (const struct doc *const *)v, all->n, out,
				reterr);
	for (size_t i = 0; i < all->n; i++)
		doc_free(v[i]);
	doc_free(base);
	return rc;
}

/* What the versions come to: 0, @out and @ret but for what only its writer
 * knows; 1: they stay apart, @why says it where there is more to say; below. */
static int unite(struct ch_engine *e, const struct tear *t, struct strbuf *out,
		 struct entry *ret, struct err *why)
{
	struct ch_bytes body;
	struct versions all = {.n = 0};
	struct doc *d = NULL;
	int rc;

	if (!may_merge(t->r) || !are_siblings(t, &all))
		return 1;
	rc = merge_bodies(e, &all, out, why);
	body = strbuf_bytes(out);
	if (rc == 0)
		rc = body.len <= CH_SPEC_MAX ? doc_parse(body, &d, NULL)
					     : -EINVAL;
	if (rc < 0)
		return rc == -EINVAL ? 1 : rc;
	*ret = (struct entry){
		.type = all.v[0]->type,
		.sub = all.v[0]->sub,
		.lineage = all.v[0]->lineage,
		.body.len = body.len,
		.has_base = true,
		.base_vid = all.v[0]->base_vid,
		.base = all.v[0]->base,
		.base_syntax = all.v[0]->base_syntax,
		.syntax = (uint8_t)doc_syntax(d),
		.flags = ENTRY_MERGED | (doc_has_secret(d) ? ENTRY_SECRET : 0),
	};
	hash_sum(&body, 1, &ret->body.hash);
	doc_free(d);
	return 0;
}

/* Which versions there are, where there are several. Zeros: nowhere. */
static int set_of(const struct record *r, struct ch_hash *ret_set)
{
	struct strbuf all = STRBUF_INIT;
	struct tear t = {.hi = 0};
	struct ch_bytes bytes;
	int rc;

	while (next_tear(r, &t))
		for (size_t i = t.lo; i < t.hi; i++)
			dot_encode(&r->v[i].dot, &all);
	*ret_set = (struct ch_hash){{0}};
	bytes = strbuf_bytes(&all);
	if (bytes.len)
		hash_sum(&bytes, 1, ret_set);
	rc = strbuf_error(&all);
	strbuf_release(&all);
	return rc;
}

static void forget(struct act *a)
{
	mem_free(a->merge);
	a->merge = NULL;
}

/* Find out what can be said of the versions in @r, unless that is known.
 * a->merge is NULL where there are none. */
static int judge(struct ch_engine *e, const struct record *r, struct act *a)
{
	struct merge m = {.seen_ms = e->now_ms, .why = ERR_INIT};
	struct tear t = {.hi = 0};
	int rc = set_of(r, &m.set);

	if (rc < 0 || (a->merge && hash_cmp(&m.set, &a->merge->set) == 0))
		return rc;
	forget(a);
	if (hash_is_zero(&m.set))
		return 0;
	while (rc >= 0 && next_tear(r, &t)) {
		struct strbuf out = STRBUF_INIT;
		struct entry made;

		rc = unite(e, &t, &out, &made, &m.why);
		strbuf_release(&out);
		m.some |= rc == 0;
		m.apart |= rc > 0;
	}
	if (rc < 0)
		return rc;
	a->merge = mem_dup(&m, sizeof(m));
	return a->merge ? 0 : -ENOMEM;
}

int merge_apart(struct ch_engine *e, const struct record *r, bool *ret_apart,
		const char **ret_why)
{
	struct act *a;
	int rc;

	*ret_apart = false;
	*ret_why = "";
	if (!resource_is_there(r) || !resource_conflicts(r))
		return 0;
	rc = act_get(e, r->name, &a);
	if (rc == 0)
		rc = judge(e, r, a);
	if (rc < 0 || !a->merge)
		return rc;
	*ret_apart = a->merge->apart;
	/* A secret has its fields' names for itself. */
	if (!resource_is_secret(r))
		*ret_why = a->merge->why.text;
	return 0;
}

struct turn {
	struct ch_id author, self;
	bool author_holds, we_hold;
	size_t before; /* Holders between the author and us, by id. */
};

static int count_turn(void *arg, const struct resource_site *s)
{
	struct turn *t = arg;
	int site_author = id_cmp(&s->id, &t->author);
	int self_author = id_cmp(&t->self, &t->author);
	int site_self = id_cmp(&s->id, &t->self);

	if (!s->in && !s->witness)
		return 0;
	t->author_holds |= site_author == 0;
	t->we_hold |= site_self == 0;
	if (site_author == 0 || site_self == 0)
		return 0;
	/* From the author up, around, and up to us. */
	if (self_author > 0)
		t->before += site_author > 0 && site_self < 0;
	else
		t->before += site_author > 0 || site_self < 0;
	return 0;
}

/* How many may write it down before us. 1: it is not for us at all. */
static int turn_of(struct ch_engine *e, const struct tear *t, size_t *ret_turn)
{
	const struct entry *first = &t->r->v[t->lo];
	const struct entry *shown =
		first->type == ENTRY_SPEC
			? resource_spec(t->r)
			: record_get(t->r, first->type, first->sub);
	struct turn turn = {
		.author = entry_origin(shown)->actor.site,
		.self = e->cfg.self,
	};
	int rc = resource_sites(t->r, count_turn, &turn);

	*ret_turn = id_cmp(&turn.author, &turn.self) == 0
			    ? 0
			    : turn.before + turn.author_holds;
	return rc < 0 ? rc : !turn.we_hold;
}

/* Write down what the versions of @t come to. 1: done; 0: it cannot be; below.
 */
static int write_down(struct ch_engine *e, const struct tear *t, uint64_t seq)
{
	struct strbuf out = STRBUF_INIT;
	struct err why = ERR_INIT;
	struct entry made;
	struct record r;
	int rc = unite(e, t, &out, &made, &why);

	record_init(&r);
	if (rc == 0)
		rc = record_copy(&r, t->r);
	if (rc == 0)
		rc = body_put(e, &made.body.hash, strbuf_bytes(&out));
	if (rc == 0)
		rc = change_put(e, &r, &made);
	if (rc == 0 && !keep_fits(&r, 1))
		rc = 1;
	if (rc == 0)
		rc = keep_save(e, &r, t->r, seq, NULL, NULL);
	record_release(&r);
	strbuf_release(&out);
	return rc < 0 ? rc : !rc;
}

/* The first register whose turn it is. @r is old then: the others are looked at
 * in the next round. */
static int run(struct ch_engine *e, struct act *a, const struct record *r,
	       uint64_t seq)
{
	struct tear t = {.hi = 0};
	int rc = 0;

	while (rc == 0 && next_tear(r, &t)) {
		uint64_t due_ms;
		size_t turn;

		rc = turn_of(e, &t, &turn);
		if (rc > 0)
			rc = 0;
		else if (rc == 0) {
			due_ms = a->merge->seen_ms + turn * MERGE_TURN_MS;
			rc = e->now_ms < due_ms ? act_due(e, a, due_ms)
						: write_down(e, &t, seq);
		}
	}
	return rc < 0 ? rc : 0;
}

int merge_run(struct ch_engine *e, struct act *a, const struct record *seen)
{
	struct record r;
	uint64_t seq = 0;
	int rc;

	if (seen && !resource_conflicts(seen)) {
		forget(a);
		return 0;
	}
	record_init(&r);
	rc = keep_load(e, a->name, &r, &seq);
	if (rc == -ENOENT || (rc == 0 && !resource_is_there(&r)))
		forget(a);
	else if (rc == 0)
		rc = judge(e, &r, a);
	/* What a user discards here does not go into a merge; and what may be
	 * older than a deletion is not written by itself. */
	if (rc == 0 && a->merge && a->merge->some && !a->discards &&
	    !rejoin_is_unconfirmed(e, a->name, seq, &rc) && rc == 0)
		rc = run(e, a, &r, seq);
	record_release(&r);
	return rc == -ENOENT ? 0 : rc;
}
