/* view_spec.c -- bodies: read, patched, checked before they are written. */
#include <errno.h>
#include <string.h>

#include "core/context.h"
#include "core/doc.h"
#include "core/place.h"
#include "core/policy.h"
#include "core/view_private.h"
#include "core/wire.h"

int view_body(const struct view *v, const struct body_ref *body,
	      struct strbuf *out)
{
	struct strbuf key = STRBUF_INIT, chunk = STRBUF_INIT;
	size_t start = out->len;
	int rc = 0;

	strbuf_grow(out, body->len);
	for (uint32_t no = 0; rc == 0 && out->len - start < body->len; no++) {
		strbuf_reset(&key);
		key_body(&key, &body->hash, no);
		rc = strbuf_error(&key);
		if (rc == 0)
			rc = v->store->get(v->store, COL_BODY,
					   strbuf_bytes(&key), &chunk);
		if (rc == -ENOENT || (rc == 0 && !chunk.len))
			rc = -EIO;
		if (rc == 0)
			strbuf_add(out, chunk.buf, chunk.len);
		if (rc == 0)
			rc = strbuf_error(out);
	}
	strbuf_release(&chunk);
	strbuf_release(&key);
	return rc;
}

#define HOPS_MAX 64 /* From name to name, as far as one looks. */

/* As it is stored, be it there or not. */
static int load_any(const struct view *v, struct ch_bytes name,
		    struct record *ret)
{
	struct strbuf value = STRBUF_INIT;
	struct wire w;
	int rc = v->store->get(v->store, COL_RECORD, name, &value);

	if (rc == 0) {
		w = wire_of(strbuf_bytes(&value));
		(void)wire_u64(&w);
		rc = record_decode((struct ch_bytes){w.p, w.len}, ret, NULL);
	}
	strbuf_release(&value);
	return rc == -EPROTO ? -EIO : rc;
}

int view_renamed(const struct view *v, struct ch_bytes name,
		 struct ch_bytes context, struct strbuf *ret_name)
{
	const struct entry *tomb = NULL;
	struct strbuf key = STRBUF_INIT;
	struct context ctx;
	struct record r;
	int rc;

	context_init(&ctx);
	record_init(&r);
	rc = context_decode(context, &ctx);
	strbuf_add(ret_name, name.p, name.len);
	for (int i = 0; rc == 0 && i < HOPS_MAX; i++) {
		rc = load_any(v, strbuf_bytes(ret_name), &r);
		tomb = rc == 0 ? resource_moved(&r, &ctx.lineage) : NULL;
		if (!tomb)
			break;
		strbuf_reset(ret_name);
		strbuf_add(ret_name, tomb->to.p, tomb->to.len);
		rc = strbuf_error(ret_name);
	}
	/* That record may be gone by now; but whose job it is, is known. */
	if (rc == -ENOENT) {
		strbuf_reset(ret_name);
		key_lineage(&key, &ctx.lineage);
		rc = strbuf_error(&key);
		if (rc == 0)
			rc = v->store->get(v->store, COL_SYS,
					   strbuf_bytes(&key), ret_name);
		if (rc == 0)
			rc = load_any(v, strbuf_bytes(ret_name), &r);
	}
	if (rc == 0 && (tomb || !resource_has_lineage(&r, &ctx.lineage)))
		rc = -ENOENT;
	strbuf_release(&key);
	record_release(&r);
	context_release(&ctx);
	return rc == -EPROTO ? -EIO : rc;
}

/* The body under a hash, however long it is. */
static int body_by_hash(const struct view *v, const struct ch_hash *hash,
			struct strbuf *out)
{
	struct strbuf key = STRBUF_INIT, chunk = STRBUF_INIT;
	int rc = 0;

	for (uint32_t no = 0; rc == 0; no++) {
		strbuf_reset(&key);
		key_body(&key, hash, no);
		rc = strbuf_error(&key);
		if (rc == 0)
			rc = v->store->get(v->store, COL_BODY,
					   strbuf_bytes(&key), &chunk);
		if (rc == -ENOENT && no > 0) {
			rc = 0;
			break;
		}
		if (rc == 0) {
			strbuf_add(out, chunk.buf, chunk.len);
			rc = strbuf_error(out);
			if (chunk.len < CHUNK_LEN)
				break;
		}
	}
	strbuf_release(&chunk);
	strbuf_release(&key);
	return rc == -ENOENT ? -EIO : rc;
}

static int patch_bytes(struct ch_bytes spec, struct ch_bytes patch,
		       struct strbuf *out, struct err *reterr)
{
	struct doc *s = NULL, *p = NULL;
	int rc = doc_parse(spec, &s, reterr);

	if (rc == -EINVAL)
		return err_wrap(reterr, rc,
				"a patch needs a spec in JSON or YAML");
	if (rc == 0)
		rc = doc_parse(patch, &p, reterr);
	if (rc == 0)
		rc = doc_patch(s, p, out, reterr);
	doc_free(p);
	doc_free(s);
	return rc;
}

int view_effective(const struct view *v, const struct ch_hash *spec,
		   const struct ch_hash *patch, struct strbuf *out,
		   struct err *reterr)
{
	struct strbuf s = STRBUF_INIT, p = STRBUF_INIT;
	int rc;

	if (hash_is_zero(patch))
		return body_by_hash(v, spec, out);
	rc = body_by_hash(v, spec, &s);
	if (rc == 0)
		rc = body_by_hash(v, patch, &p);
	if (rc == 0)
		rc = patch_bytes(strbuf_bytes(&s), strbuf_bytes(&p), out,
				 reterr);
	strbuf_release(&p);
	strbuf_release(&s);
	return rc;
}

int view_site_spec(const struct view *v, const struct record *r,
		   const struct ch_id *site, struct strbuf *out,
		   struct err *reterr)
{
	struct desired d;

	resource_desired(r, site, &d);
	if (!d.any)
		return -ENOENT;
	return view_effective(v, &d.spec.hash, &d.patch.hash, out, reterr);
}

int view_spec_json(const struct view *v, const struct record *r,
		   struct strbuf *out)
{
	struct strbuf body = STRBUF_INIT;
	struct doc *d = NULL;
	int rc = view_body(v, &resource_spec(r)->body, &body);

	if (rc == 0)
		rc = doc_parse(strbuf_bytes(&body), &d, NULL);
	if (rc == 0)
		rc = doc_to_json(d, out);
	doc_free(d);
	strbuf_release(&body);
	return rc == -EINVAL ? -EIO : rc;
}

static int prepare_spec(const struct view_spec *spec, struct ch_bytes body,
			struct ch_prepared *p)
{
	struct doc *d = NULL;
	int rc;

	if (spec->settled && hash_cmp(&spec->shown, &p->hash) == 0)
		return 1;
	rc = doc_parse(body, &d, NULL);
	if (rc == 0) {
		p->syntax = (uint8_t)doc_syntax(d);
		p->secret = doc_has_secret(d);
	}
	doc_free(d);
	return rc == -EINVAL ? 0 : rc;
}

static int prepare_patch(const struct view *v, const struct record *r,
			 struct ch_bytes site, struct ch_bytes body,
			 struct ch_prepared *p, struct err *reterr)
{
	const struct entry *old, *spec = resource_spec(r);
	struct strbuf s = STRBUF_INIT, out = STRBUF_INIT;
	struct doc *d = NULL;
	struct ch_id id;
	bool torn;
	int rc = view_site_id(v, r, site, &id);

	if (rc < 0)
		return rc == -ENOENT
			       ? err_set(reterr, rc, "there is no such site")
			       : rc;
	old = resource_patch(r, &id);
	torn = resource_is_torn(r, ENTRY_PATCH,
				(struct ch_bytes){id.b, sizeof(id.b)});
	if (!place_trim(body).len)
		return old || torn ? 0 : 1; /* An empty line clears it. */
	if (!torn && old && hash_cmp(&old->body.hash, &p->hash) == 0)
		return 1;
	rc = doc_parse(body, &d, reterr);
	if (rc == 0) {
		p->syntax = (uint8_t)doc_syntax(d);
		p->secret = doc_has_secret(d);
		if (spec)
			rc = view_body(v, &spec->body, &s);
		if (rc == 0 && spec)
			rc = patch_bytes(strbuf_bytes(&s), body, &out, reterr);
	}
	doc_free(d);
	strbuf_release(&out);
	strbuf_release(&s);
	return rc;
}

static int prepare_driver(const struct record *r, struct ch_bytes body,
			  const char *const *drivers, size_t n_drivers,
			  struct err *reterr)
{
	struct ch_bytes word = place_trim(body);
	struct strbuf known = STRBUF_INIT;
	bool good = ch_bytes_equal(word, ch_str("none"));
	int rc = 0;

	for (size_t i = 0; i < n_drivers; i++) {
		good |= ch_bytes_equal(word, ch_str(drivers[i]));
		strbuf_addf(&known, "%s, ", drivers[i]);
	}
	if (!good)
		rc = err_set(reterr, -EINVAL,
			     "'%.*s' is no driver of this site; there are: "
			     "%snone",
			     (int)(word.len > 60 ? 60 : word.len),
			     (const char *)word.p, known.buf);
	else if (r && ch_bytes_equal(resource_driver(r), word) &&
		 !resource_is_torn(r, ENTRY_DRIVER, ch_str("")))
		rc = 1;
	strbuf_release(&known);
	return rc;
}

struct policy_checker {
	const struct record *r;
	bool differs;
};

static int check_policy(void *arg, enum policy_key key, struct ch_bytes word)
{
	struct policy_checker *c = arg;

	c->differs |= !ch_bytes_equal(resource_policy(c->r, key), word);
	return 0;
}

static int prepare_policy(const struct record *r, struct ch_bytes body,
			  struct err *reterr)
{
	struct policy_checker c = {r, false};
	int rc = policy_parse(body, check_policy, &c, reterr);

	return rc < 0 ? rc : !c.differs;
}

static int prepare_hold(const struct record *r, struct ch_bytes body,
			struct err *reterr)
{
	uint64_t ms = 0, was;
	int rc = hold_parse(body, &ms, reterr);

	return rc < 0 ? rc : !ms && !resource_hold(r, &was);
}

struct site_checker {
	const struct view *v;
	struct err *reterr;
};

static int check_site(void *arg, enum place_kind kind, struct ch_bytes name,
		      unsigned int line)
{
	struct site_checker *c = arg;
	struct ch_id id;
	int rc = view_site_id(c->v, NULL, name, &id);

	(void)kind;
	if (rc == -ENOENT && view_member(c->v, name) == 0)
		return err_set(c->reterr, -ENXIO,
			       "line %u: site '%.*s': its identity is not "
			       "known before it was heard once; "
			       ".sites/%.*s/status says why it was not",
			       line, (int)name.len, (const char *)name.p,
			       (int)name.len, (const char *)name.p);
	if (rc == -ENOENT)
		return err_set(c->reterr, -ENXIO,
			       "line %u: no site '%.*s' is known here: see "
			       ".sites/",
			       line, (int)name.len, (const char *)name.p);
	return rc;
}

/* What is asked of the bytes of all files. 1: nothing to do. */
static int check_body(enum ch_file file, struct ch_bytes body,
		      struct err *reterr)
{
	if (!body.len)
		return 1;
	if (body.len > CH_SPEC_MAX)
		return err_set(reterr, -EFBIG, "more than %u bytes",
			       CH_SPEC_MAX);
	if (file != CH_FILE_PATCH && !place_trim(body).len)
		return err_set(reterr, -EINVAL, "there is nothing in it");
	return 0;
}

int view_prepare_spec(const struct view_spec *spec, struct ch_bytes body,
		      struct ch_prepared *ret_prepared, struct err *reterr)
{
	struct ch_prepared p = {.syntax = 0};
	int rc = check_body(CH_FILE_SPEC, body, reterr);

	if (rc != 0)
		return rc;
	hash_sum(&body, 1, &p.hash);
	rc = prepare_spec(spec, body, &p);
	if (rc >= 0)
		*ret_prepared = p;
	return rc;
}

int view_prepare(const struct view *v, struct ch_bytes name, enum ch_file file,
		 struct ch_bytes site, struct ch_bytes body,
		 const char *const *drivers, size_t n_drivers,
		 struct ch_prepared *ret_prepared, struct err *reterr)
{
	struct site_checker checker = {v, reterr};
	struct ch_prepared p = {.syntax = 0};
	struct view_spec spec;
	struct record r;
	int rc = check_body(file, body, reterr);

	if (rc != 0)
		return rc;
	record_init(&r);
	rc = view_load(v, name, &r);
	if (rc == 0 && (file == CH_FILE_SPEC || file == CH_FILE_PATCH))
		hash_sum(&body, 1, &p.hash);
	if (rc == 0) {
		switch (file) {
		case CH_FILE_SPEC:
			view_spec_of(&r, &spec);
			rc = prepare_spec(&spec, body, &p);
			break;
		case CH_FILE_PATCH:
			rc = prepare_patch(v, &r, site, body, &p, reterr);
			break;
		case CH_FILE_DRIVER:
			rc = prepare_driver(&r, body, drivers, n_drivers,
					    reterr);
			break;
		case CH_FILE_SITES:
			rc = place_parse(body, check_site, &checker, reterr);
			break;
		case CH_FILE_POLICY:
			rc = prepare_policy(&r, body, reterr);
			break;
		case CH_FILE_HOLD:
			rc = prepare_hold(&r, body, reterr);
			break;
		}
	}
	record_release(&r);
	if (rc >= 0)
		*ret_prepared = p;
	return rc;
}
