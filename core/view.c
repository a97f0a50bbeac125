/* view.c -- names and attributes, and which file is written by whom. */
#include "core/view.h"

#include <errno.h>
#include <string.h>

#include "core/context.h"
#include "core/mem.h"
#include "core/text.h"
#include "core/view_private.h"
#include "core/wire.h"

static int get(const struct view *v, enum ch_col col, struct ch_bytes key,
	       struct strbuf *ret_value)
{
	return v->store->get(v->store, col, key, ret_value);
}

static int scan(const struct view *v, enum ch_col col, struct ch_bytes from,
		ch_scan_fn *fn, void *arg)
{
	return v->store->scan(v->store, col, ch_str(""), from, fn, arg);
}

static int decode_record(struct ch_bytes value, struct record *ret)
{
	struct wire w = wire_of(value);
	int rc;

	(void)wire_u64(&w);
	rc = record_decode((struct ch_bytes){w.p, w.len}, ret, NULL);
	return rc == -EPROTO ? -EIO : rc;
}

int view_load(const struct view *v, struct ch_bytes name, struct record *ret)
{
	struct strbuf value = STRBUF_INIT;
	int rc = get(v, COL_RECORD, name, &value);

	if (rc == 0)
		rc = decode_record(strbuf_bytes(&value), ret);
	if (rc == 0 && !resource_is_there(ret))
		rc = -ENOENT;
	strbuf_release(&value);
	return rc;
}

static void put_text(char *to, struct ch_bytes from)
{
	size_t n = from.len < VIEW_OWNER_MAX ? from.len : VIEW_OWNER_MAX - 1;

	if (n)
		memcpy(to, from.p, n);
	to[n] = '\0';
}

static int see_in(void *arg, const struct resource_site *s)
{
	*(uint32_t *)arg += s->in;
	return 0;
}

static int describe(const struct record *r, struct view_resource *ret)
{
	const struct entry *spec = resource_spec(r), *made;
	struct mode_value m = resource_mode(r, false);
	struct mode_value n = resource_mode(r, true);
	const struct ch_id lineage = resource_lineage(r);
	struct view_resource x;
	size_t pos = 0;

	memset(&x, 0, sizeof(x));
	for (size_t i = 0; i < sizeof(x.lineage); i++)
		x.lineage = x.lineage << 8 | lineage.b[i];
	x.mode = m.mode;
	x.spec_mode = n.mode;
	put_text(x.owner, m.owner);
	put_text(x.group, m.group);
	put_text(x.spec_owner, n.owner);
	put_text(x.spec_group, n.group);
	x.changed_ms = resource_hlc(r) >> 16;
	x.made_ms = x.changed_ms;
	while ((made = record_next(r, ENTRY_MADE, &pos)))
		if (entry_is_alive(r, made) && made->hlc >> 16 < x.made_ms)
			x.made_ms = made->hlc >> 16;
	if (spec) {
		x.has_spec = true;
		x.spec_len = spec->body.len;
		x.spec_ms = spec->hlc >> 16;
		x.structured = spec->syntax != 0;
	}
	x.secret = resource_is_secret(r);
	x.versions = (uint32_t)resource_versions(r);
	*ret = x;
	return resource_sites(r, see_in, &ret->sites);
}

int view_resource(const struct view *v, struct ch_bytes name,
		  struct view_resource *ret_resource)
{
	struct record r;
	int rc;

	record_init(&r);
	rc = view_load(v, name, &r);
	if (rc == 0)
		rc = describe(&r, ret_resource);
	record_release(&r);
	return rc;
}

struct lister {
	const struct view *v;
	view_name_fn *fn;
	void *arg;
	struct ch_bytes after;
};

static int list_record(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct lister *l = arg;
	struct view_resource info;
	struct record r;
	int rc;

	if (ch_bytes_equal(key, l->after))
		return 0;
	record_init(&r);
	rc = decode_record(value, &r);
	if (rc == 0 && resource_is_there(&r)) {
		rc = describe(&r, &info);
		if (rc == 0)
			rc = l->fn(l->arg, key, &info);
	}
	record_release(&r);
	return rc;
}

int view_resources(const struct view *v, struct ch_bytes after,
		   view_name_fn *fn, void *arg)
{
	struct lister l = {v, fn, arg, after};

	return scan(v, COL_RECORD, after, list_record, &l);
}

int view_resource_count(const struct view *v, uint64_t *ret_count)
{
	struct strbuf value = STRBUF_INIT;
	int rc = get(v, COL_SYS, ch_str("count"), &value);

	*ret_count = 0;
	if (rc == 0) {
		struct wire w = wire_of(strbuf_bytes(&value));

		*ret_count = wire_u64(&w);
	}
	strbuf_release(&value);
	return rc == -ENOENT ? 0 : rc;
}

int view_site_stored(const struct view *v, const struct ch_id *site,
		     struct strbuf *buf, struct stored_site *ret)
{
	int rc = get(v, COL_SITE, (struct ch_bytes){site->b, 16}, buf);

	if (rc == 0 && stored_site_decode(strbuf_bytes(buf), ret) < 0)
		rc = -EIO;
	return rc;
}

void view_site_name(const struct view *v, const struct resource_site *s,
		    struct strbuf *sb)
{
	struct strbuf buf = STRBUF_INIT;
	struct stored_site site;

	if (view_site_stored(v, &s->id, &buf, &site) == 0)
		strbuf_add(sb, site.name.p, site.name.len);
	else
		strbuf_add(sb, s->name.p, s->name.len);
	strbuf_release(&buf);
}

struct seeker {
	struct ch_bytes name;
	struct ch_id id;
	bool found;
};

static int seek_member(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct seeker *k = arg;
	struct stored_site s;

	if (key.len != sizeof(k->id.b) || stored_site_decode(value, &s) < 0)
		return -EIO;
	if (!ch_bytes_equal(s.name, k->name))
		return 0;
	memcpy(k->id.b, key.p, sizeof(k->id.b));
	k->found = true;
	return 1;
}

static int seek_site(void *arg, const struct resource_site *s)
{
	struct seeker *k = arg;

	if (!ch_bytes_equal(s->name, k->name))
		return 0;
	k->id = s->id;
	k->found = true;
	return 1;
}

int view_site_id(const struct view *v, const struct record *r,
		 struct ch_bytes name, struct ch_id *ret_site)
{
	struct seeker k = {.name = name};
	int rc = scan(v, COL_SITE, ch_str(""), seek_member, &k);

	if (rc >= 0 && !k.found && r)
		rc = resource_sites(r, seek_site, &k);
	if (rc < 0)
		return rc;
	if (!k.found)
		return -ENOENT;
	*ret_site = k.id;
	return 0;
}

int view_site(const struct view *v, struct ch_bytes name, struct ch_bytes site)
{
	struct record r;
	struct ch_id id;
	int rc;

	record_init(&r);
	rc = view_load(v, name, &r);
	if (rc == 0)
		rc = view_site_id(v, &r, site, &id);
	if (rc == 0 && !resource_site_in(&r, &id))
		rc = -ENOENT;
	record_release(&r);
	return rc;
}

/* Names, sorted, before they are shown. */
struct names {
	const struct view *v;
	struct strbuf *buf; /* Name, NUL, name, NUL ... */
	const char **at;
	size_t n, alloc;
	bool witness;
};

static int name_cmp(const char *a, const char *b)
{
	return strcmp(a, b);
}

static int sort_names(struct names *n)
{
	size_t count = 0, i = 0;

	if (n->buf->bad)
		return -ENOMEM;
	for (size_t k = 0; k < n->buf->len; k++)
		count += n->buf->buf[k] == '\0';
	n->at = mem_alloc((count + 1) * sizeof(*n->at));
	if (!n->at)
		return -ENOMEM;
	for (size_t k = 0; i < count; i++) {
		const char *name = n->buf->buf + k;
		size_t place = i;

		while (place && name_cmp(n->at[place - 1], name) > 0) {
			n->at[place] = n->at[place - 1];
			place--;
		}
		n->at[place] = name;
		k += strlen(name) + 1;
	}
	n->n = count;
	return 0;
}

static int collect_site(void *arg, const struct resource_site *s)
{
	struct names *n = arg;

	if (n->witness ? s->witness : s->in) {
		view_site_name(n->v, s, n->buf);
		strbuf_add_char(n->buf, '\0');
	}
	return strbuf_error(n->buf);
}

/* For each site of @r (or each witness), by name. */
static int each_site(const struct view *v, const struct record *r, bool witness,
		     view_name_fn *fn, void *arg)
{
	struct strbuf buf = STRBUF_INIT;
	struct names n = {.v = v, .buf = &buf, .witness = witness};
	int rc = resource_sites(r, collect_site, &n);

	if (rc == 0)
		rc = sort_names(&n);
	for (size_t i = 0; rc == 0 && i < n.n; i++)
		rc = fn(arg, ch_str(n.at[i]), NULL);
	mem_free(n.at);
	strbuf_release(&buf);
	return rc;
}

int view_sites(const struct view *v, struct ch_bytes name, view_name_fn *fn,
	       void *arg)
{
	struct record r;
	int rc;

	record_init(&r);
	rc = view_load(v, name, &r);
	if (rc == 0)
		rc = each_site(v, &r, false, fn, arg);
	record_release(&r);
	return rc;
}

static int add_line(void *arg, struct ch_bytes name,
		    const struct view_resource *info)
{
	struct strbuf *out = arg;

	(void)info;
	strbuf_addf(out, "%.*s\n", (int)name.len, (const char *)name.p);
	return 0;
}

static int add_witness(void *arg, struct ch_bytes name,
		       const struct view_resource *info)
{
	strbuf_add_char(arg, '+');
	return add_line(arg, name, info);
}

static int sites_text(const struct view *v, const struct record *r,
		      struct strbuf *out)
{
	int rc = each_site(v, r, false, add_line, out);

	return rc == 0 ? each_site(v, r, true, add_witness, out) : rc;
}

int view_member(const struct view *v, struct ch_bytes site)
{
	struct ch_id id;
	int rc = view_site_id(v, NULL, site, &id);

	if (rc == -ENOENT) {
		struct strbuf buf = STRBUF_INIT;
		struct stored_live live;

		rc = view_unmet(v, site, &buf, &live);
		strbuf_release(&buf);
	}
	return rc;
}

int view_unmet(const struct view *v, struct ch_bytes name, struct strbuf *buf,
	       struct stored_live *ret)
{
	struct strbuf key = STRBUF_INIT;
	int rc;

	key_unmet(&key, name);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = get(v, COL_LIVE, strbuf_bytes(&key), buf);
	if (rc == 0 && stored_live_decode(strbuf_bytes(buf), ret) < 0)
		rc = -EIO;
	strbuf_release(&key);
	return rc;
}

static int collect_unmet(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct names *n = arg;

	(void)value;
	strbuf_add(n->buf, (const char *)key.p + 1, key.len - 1);
	strbuf_add_char(n->buf, '\0');
	return 0;
}

static int collect_member(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct names *n = arg;
	struct stored_site s;

	(void)key;
	if (stored_site_decode(value, &s) < 0)
		return -EIO;
	strbuf_add(n->buf, s.name.p, s.name.len);
	strbuf_add_char(n->buf, '\0');
	return 0;
}

int view_members(const struct view *v, view_name_fn *fn, void *arg)
{
	struct strbuf buf = STRBUF_INIT;
	struct names n = {.v = v, .buf = &buf};
	int rc = scan(v, COL_SITE, ch_str(""), collect_member, &n);

	if (rc == 0)
		rc = v->store->scan(v->store, COL_LIVE, ch_str("p"), ch_str(""),
				    collect_unmet, &n);
	if (rc == 0)
		rc = sort_names(&n);
	for (size_t i = 0; rc == 0 && i < n.n; i++)
		rc = fn(arg, ch_str(n.at[i]), NULL);
	mem_free(n.at);
	strbuf_release(&buf);
	return rc;
}

int view_trash_load(const struct view *v, struct ch_bytes trash,
		    struct strbuf *buf, struct stored_trash *ret)
{
	int rc = get(v, COL_TRASH, trash, buf);

	if (rc == 0 && stored_trash_decode(strbuf_bytes(buf), ret) < 0)
		rc = -EIO;
	return rc;
}

int view_trash(const struct view *v, struct ch_bytes trash,
	       struct view_resource *ret_resource)
{
	struct mode_value m = {.mode = 0755};
	struct strbuf buf = STRBUF_INIT;
	struct view_resource x;
	struct stored_trash t;
	struct entry e;
	size_t pos = 0;
	int rc = view_trash_load(v, trash, &buf, &t);

	if (rc < 0) {
		strbuf_release(&buf);
		return rc;
	}
	memset(&x, 0, sizeof(x));
	x.changed_ms = x.made_ms = t.deleted_ms;
	while (image_next(t.image, &pos, &e) > 0) {
		x.secret |= (e.flags & ENTRY_SECRET) != 0;
		if (e.type == ENTRY_MODE && e.sub.len == 0)
			(void)mode_value_decode(e.value, &m);
	}
	x.mode = m.mode;
	x.secret |= (m.mode & 077) == 0;
	put_text(x.owner, m.owner);
	put_text(x.group, m.group);
	strbuf_release(&buf);
	*ret_resource = x;
	return 0;
}

static int list_trash(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct lister *l = arg;

	(void)value;
	return l->fn(l->arg, key, NULL);
}

int view_trashes(const struct view *v, view_name_fn *fn, void *arg)
{
	struct lister l = {v, fn, arg, {NULL, 0}};

	return scan(v, COL_TRASH, ch_str(""), list_trash, &l);
}

static int held_load(const struct view *v, struct ch_bytes name,
		     struct strbuf *buf, struct stored_held *ret)
{
	struct strbuf key = STRBUF_INIT;
	int rc;

	key_held(&key, name);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = get(v, COL_SYS, strbuf_bytes(&key), buf);
	if (rc == 0 && stored_held_decode(strbuf_bytes(buf), ret) < 0)
		rc = -EIO;
	strbuf_release(&key);
	return rc;
}

int view_held(const struct view *v, struct ch_bytes name)
{
	struct strbuf buf = STRBUF_INIT;
	struct stored_held h;
	int rc = held_load(v, name, &buf, &h);

	strbuf_release(&buf);
	return rc;
}

static int list_held(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	const size_t prefix = strlen("held/");
	struct lister *l = arg;

	(void)value;
	return l->fn(l->arg,
		     (struct ch_bytes){(const char *)key.p + prefix,
				       key.len - prefix},
		     NULL);
}

int view_helds(const struct view *v, view_name_fn *fn, void *arg)
{
	struct lister l = {v, fn, arg, {NULL, 0}};

	return v->store->scan(v->store, COL_SYS, ch_str("held/"), ch_str(""),
			      list_held, &l);
}

static void add_field(struct strbuf *out, const char *key, struct ch_bytes text)
{
	strbuf_addf(out, "%s: %.*s\n", key, text.len ? (int)text.len : 1,
		    text.len ? (const char *)text.p : "-");
}

static int held_text(const struct view *v, struct ch_bytes name,
		     struct strbuf *out)
{
	struct strbuf buf = STRBUF_INIT, self = STRBUF_INIT;
	const struct resource_site here = {.id = v->self};
	struct stored_held h;
	int rc = held_load(v, name, &buf, &h);

	if (rc == 0) {
		view_site_name(v, &here, &self);
		add_field(out, "resource", name);
		add_field(out, "site", strbuf_bytes(&self));
		strbuf_add_str(out, "since: ");
		text_time(h.since_ms, out);
		strbuf_add_char(out, '\n');
		add_field(out, "cause", h.cause);
		add_field(out, "by", h.user);
		add_field(out, "at", h.at);
		add_field(out, "driver", h.driver);
		strbuf_addf(out, "gone: %u\nlineage: ", (unsigned)h.gone);
		id_to_text(&h.lineage, out);
		strbuf_add_char(out, '\n');
	}
	strbuf_release(&self);
	strbuf_release(&buf);
	return rc;
}

int view_image_get(struct ch_bytes image, uint16_t type, struct entry *ret)
{
	struct entry e;
	size_t pos = 0;
	bool found = false;

	while (image_next(image, &pos, &e) > 0)
		if (e.type == type && (!found || entry_rank(&e, ret) > 0)) {
			*ret = e;
			found = true;
		}
	return found ? 0 : -ENOENT;
}

static int trash_sites(struct ch_bytes image, struct strbuf *out)
{
	struct site_value value;
	struct entry e;
	size_t pos = 0;

	while (image_next(image, &pos, &e) > 0)
		if (e.type == ENTRY_SITE &&
		    site_value_decode(e.value, &value) == 0)
			strbuf_addf(out, "%.*s\n", (int)value.name.len,
				    (const char *)value.name.p);
	return 0;
}

static int trash_content(const struct view *v, enum view_file file,
			 struct ch_bytes trash, struct strbuf *out)
{
	struct strbuf buf = STRBUF_INIT;
	struct stored_trash t;
	struct entry e;
	int rc = view_trash_load(v, trash, &buf, &t);

	if (rc < 0) {
		strbuf_release(&buf);
		return rc;
	}
	if (file == VIEW_TRASH_SPEC) {
		rc = view_image_get(t.image, ENTRY_SPEC, &e);
		if (rc == 0)
			rc = view_body(v, &e.body, out);
	} else if (file == VIEW_TRASH_DRIVER) {
		if (view_image_get(t.image, ENTRY_DRIVER, &e) == 0)
			strbuf_addf(out, "%.*s\n", (int)e.value.len,
				    (const char *)e.value.p);
	} else if (file == VIEW_TRASH_SITES) {
		rc = trash_sites(t.image, out);
	} else {
		rc = view_trash_status(v, trash, &t, out);
	}
	strbuf_release(&buf);
	return rc;
}

static int site_content(const struct view *v, enum view_file file,
			const struct record *r, struct ch_bytes site,
			struct strbuf *out, struct err *reterr)
{
	struct strbuf buf = STRBUF_INIT;
	const struct entry *patch;
	struct ch_id id;
	int rc = view_site_id(v, r, site, &id);

	if (rc == 0 && !resource_site_in(r, &id))
		rc = -ENOENT;
	if (rc < 0)
		return rc;
	switch (file) {
	case VIEW_SITE_STATUS:
		rc = view_site_status_text(v, r, &id, false, out);
		break;
	case VIEW_SITE_STATE:
		rc = view_site_status_text(v, r, &id, true, out);
		break;
	case VIEW_SITE_PATCH:
		patch = resource_patch(r, &id);
		if (patch)
			rc = view_body(v, &patch->body, out);
		break;
	case VIEW_SITE_OBSERVED: {
		struct strbuf key = STRBUF_INIT;
		struct report report;

		key_report(&key, r->name, &id);
		rc = strbuf_error(&key);
		if (rc == 0)
			rc = get(v, COL_REPORT, strbuf_bytes(&key), &buf);
		if (rc == 0) {
			struct wire w = wire_of(strbuf_bytes(&buf));

			(void)wire_u64(&w);
			(void)wire_u64(&w);
			if (report_decode((struct ch_bytes){w.p, w.len},
					  &report) < 0)
				rc = -EIO;
			else if (report.observed.len)
				strbuf_addf(out, "%.*s\n",
					    (int)report.observed.len,
					    (const char *)report.observed.p);
		}
		if (rc == -ENOENT)
			rc = 0;
		strbuf_release(&key);
		break;
	}
	default:
		rc = view_site_spec(v, r, &id, out, reterr);
		break;
	}
	strbuf_release(&buf);
	return rc;
}

static int member_content(const struct view *v, enum view_file file,
			  struct ch_bytes site, struct strbuf *out)
{
	struct ch_id id;
	int rc = view_site_id(v, NULL, site, &id);

	if (rc < 0 && rc != -ENOENT)
		return rc;
	return view_member_text(v, file, rc == 0 ? &id : NULL, site, out);
}

static void policy_text(const struct record *r, struct strbuf *out)
{
	for (size_t i = 0; i < POLICIES; i++) {
		struct ch_bytes word = resource_policy(r, (enum policy_key)i);

		strbuf_addf(out, "%s %.*s\n", policy_name((enum policy_key)i),
			    (int)word.len, (const char *)word.p);
	}
}

/* What remains of it here; of one that this site has yet to begin: all. */
static int view_hold_text(const struct view *v, const struct record *r,
			  struct strbuf *out)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	uint64_t ms = 0;
	const struct entry *entry = resource_hold(r, &ms);
	struct stored_hold h;
	int rc = 0;

	if (entry) {
		key_hold(&key, r->name);
		rc = strbuf_error(&key);
		if (rc == 0)
			rc = get(v, COL_SYS, strbuf_bytes(&key), &value);
		if (rc == 0 && stored_hold_decode(strbuf_bytes(&value), &h) < 0)
			rc = -EIO;
		if (rc == 0 && dot_cmp(&h.dot, entry_origin(entry)) == 0)
			ms = h.end_ms > v->wall_ms ? h.end_ms - v->wall_ms : 0;
	}
	hold_text(ms, out);
	strbuf_add_char(out, '\n');
	strbuf_release(&value);
	strbuf_release(&key);
	return rc == -ENOENT ? 0 : rc;
}

struct orphans {
	size_t prefix;
	struct strbuf *out;
};

static int add_orphan(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct orphans *o = arg;
	struct stored_orphan s;

	if (stored_orphan_decode(value, &s) < 0)
		return -EIO;
	strbuf_add(o->out, (const char *)key.p + o->prefix,
		   key.len - o->prefix);
	strbuf_add_char(o->out, '\n');
	return 0;
}

static int orphans_text(const struct view *v, struct ch_bytes driver,
			struct strbuf *out)
{
	struct strbuf prefix = STRBUF_INIT;
	struct orphans o = {.out = out};
	int rc;

	key_orphan(&prefix, driver, ch_str(""));
	o.prefix = prefix.len;
	rc = strbuf_error(&prefix);
	if (rc == 0)
		rc = v->store->scan(v->store, COL_SYS, strbuf_bytes(&prefix),
				    ch_str(""), add_orphan, &o);
	strbuf_release(&prefix);
	return rc;
}

static int resource_content(const struct view *v, enum view_file file,
			    const struct record *r, struct ch_bytes site,
			    struct strbuf *out, struct err *reterr)
{
	const struct entry *spec = resource_spec(r);
	struct ch_bytes driver;

	switch (file) {
	case VIEW_SPEC:
		return spec ? view_body(v, &spec->body, out) : -ENOENT;
	case VIEW_SPEC_JSON:
		return spec && spec->syntax ? view_spec_json(v, r, out)
					    : -ENOENT;
	case VIEW_DRIVER:
		driver = resource_driver(r);
		if (driver.len)
			strbuf_addf(out, "%.*s\n", (int)driver.len,
				    (const char *)driver.p);
		return 0;
	case VIEW_SITES:
		return sites_text(v, r, out);
	case VIEW_POLICY:
		policy_text(r, out);
		return 0;
	case VIEW_HOLD:
		return view_hold_text(v, r, out);
	case VIEW_STATUS:
		return view_status_text(v, r, out);
	case VIEW_STATE:
		return view_state_text(v, r, out);
	case VIEW_CONFLICT:
		return view_conflict_text(v, r, site, out);
	default:
		return site_content(v, file, r, site, out, reterr);
	}
}

int view_content(const struct view *v, enum view_file file,
		 struct ch_bytes name, struct ch_bytes site, struct strbuf *out,
		 struct err *reterr)
{
	struct record r;
	int rc;

	if (file >= VIEW_TRASH_SPEC)
		rc = trash_content(v, file, name, out);
	else if (file >= VIEW_MEMBER_STATUS)
		rc = member_content(v, file, site, out);
	else if (file == VIEW_HELD_TEXT)
		rc = held_text(v, name, out);
	else if (file == VIEW_DRIVER_ORPHANED)
		rc = orphans_text(v, name, out);
	else {
		record_init(&r);
		rc = view_load(v, name, &r);
		if (rc == 0)
			rc = resource_content(v, file, &r, site, out, reterr);
		record_release(&r);
	}
	return rc < 0 ? rc : strbuf_error(out);
}

int view_length(const struct view *v, enum view_file file, struct ch_bytes name,
		struct ch_bytes site, uint64_t *ret_len)
{
	struct strbuf out = STRBUF_INIT;
	struct view_resource info;
	int rc;

	if (file == VIEW_SPEC) {
		rc = view_resource(v, name, &info);
		if (rc == 0 && !info.has_spec)
			rc = -ENOENT;
		if (rc == 0)
			*ret_len = info.spec_len;
		return rc;
	}
	rc = view_content(v, file, name, site, &out, NULL);
	if (rc == 0)
		*ret_len = out.len;
	strbuf_release(&out);
	return rc;
}

int view_context(const struct view *v, struct ch_bytes name, enum ch_file file,
		 struct ch_bytes site, struct strbuf *out)
{
	const struct entry *shown = NULL;
	struct record r;
	struct ch_id id;
	int rc;

	record_init(&r);
	rc = view_load(v, name, &r);
	if (rc == 0 && file == CH_FILE_SPEC)
		shown = resource_spec(&r);
	else if (rc == 0 && file == CH_FILE_PATCH &&
		 view_site_id(v, &r, site, &id) == 0)
		shown = record_get(&r, ENTRY_PATCH,
				   (struct ch_bytes){id.b, sizeof(id.b)});
	if (rc == 0)
		context_encode(&r, shown, out);
	record_release(&r);
	return rc < 0 ? rc : strbuf_error(out);
}

void view_spec_of(const struct record *r, struct view_spec *ret)
{
	const struct entry *shown = resource_spec(r);
	struct ch_bytes word = resource_driver(r);
	struct view_spec s = {.settled = false};
	const struct entry *tomb;
	size_t pos = 0;

	if (shown) {
		s.shown = shown->body.hash;
		s.settled = resource_versions(r) < 2;
		/* Has it outlived a deletion that is to be written off? */
		while ((tomb = record_next(r, ENTRY_TOMB, &pos)))
			s.settled &= tomb->to.len != 0;
	}
	/* A longer one is no driver's of any site. */
	if (word.len && word.len < sizeof(s.driver))
		memcpy(s.driver, word.p, word.len);
	else if (word.len)
		s.driver[0] = '?';
	*ret = s;
}

int view_spec(const struct view *v, struct ch_bytes name,
	      struct view_spec *ret_spec, struct strbuf *context)
{
	struct record r;
	int rc;

	record_init(&r);
	rc = view_load(v, name, &r);
	if (rc == 0) {
		if (context)
			context_encode(&r, resource_spec(&r), context);
		view_spec_of(&r, ret_spec);
	}
	record_release(&r);
	return rc == 0 && context ? strbuf_error(context) : rc;
}
