/*
 * gone.c -- sites that were declared gone for good: rmdir .sites/NAME.
 *
 * A site that is merely dead is waited for: what it has to be told is kept,
 * and a record of a deletion stays until it has acknowledged that. One that is
 * gone is owed nothing. Who learns of it, by hand or from a beat, remembers
 * its UUID for ever, drops what was to be sent to it, and takes it out of each
 * record that it holds: in passing, as plan.c looks at all of them again, and
 * whenever one comes that names it. All do the same, and none of these writes
 * has a dot of its own: it removes what its clock covers, so they agree.
 *
 * Its name is free. Under its old identity it is refused, should it return.
 */
#include "core/gone.h"

#include <errno.h>
#include <string.h>

#include "core/check.h"
#include "core/mem.h"
#include "core/name.h"
#include "core/wire.h"

#define GONE_FORMAT 1
#define GONE_PREFIX "gone/"
#define GONE_SPREAD 32     /* In one beat; the next has others. */
#define REFUSED_MS 600000u /* Between two events of one site's refusal. */

static struct gone *find(const struct ch_engine *e, const struct ch_id *site)
{
	for (size_t i = 0; i < e->n_gone; i++)
		if (id_cmp(&e->gone[i].site, site) == 0)
			return &e->gone[i];
	return NULL;
}

bool gone_has(const struct ch_engine *e, const struct ch_id *site)
{
	return find(e, site) != NULL;
}

bool gone_called(const struct ch_engine *e, const char *name)
{
	for (size_t i = 0; i < e->n_gone; i++)
		if (strcmp(e->gone[i].name, name) == 0)
			return true;
	return false;
}

static int add(struct ch_engine *e, const struct ch_id *site,
	       struct ch_bytes name)
{
	struct gone *g;

	if (e->n_gone == e->alloc_gone) {
		size_t alloc = e->alloc_gone ? 2 * e->alloc_gone : 8;
		struct gone *v = mem_realloc(e->gone, alloc * sizeof(*v));

		if (!v)
			return -ENOMEM;
		e->gone = v;
		e->alloc_gone = alloc;
	}
	g = &e->gone[e->n_gone];
	memset(g, 0, sizeof(*g));
	g->site = *site;
	memcpy(g->name, name.p, name.len);
	e->n_gone++;
	return 0;
}

static int load_one(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	const size_t prefix = strlen(GONE_PREFIX);
	struct wire w = wire_of(value);
	struct ch_bytes name;
	struct ch_id site;

	if (key.len != prefix + sizeof(site.b) || wire_u8(&w) != GONE_FORMAT)
		return -EIO;
	memcpy(site.b, (const char *)key.p + prefix, sizeof(site.b));
	name = wire_b16(&w);
	(void)wire_u64(&w);
	if (!wire_done(&w) || name.len > NAME_SITE_MAX)
		return -EIO;
	return add(arg, &site, name);
}

int gone_start(struct ch_engine *e)
{
	return db_scan(e, COL_SYS, ch_str(GONE_PREFIX), ch_str(""), load_one,
		       e);
}

void gone_release(struct ch_engine *e)
{
	mem_free(e->gone);
}

static int store(struct ch_engine *e, const struct ch_id *site,
		 struct ch_bytes name)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	int rc;

	strbuf_add_str(&key, GONE_PREFIX);
	strbuf_add(&key, site->b, sizeof(site->b));
	wire_put_u8(&value, GONE_FORMAT);
	wire_put_b16(&value, name);
	wire_put_u64(&value, e->wall_ms);
	rc = key.bad || value.bad ? -ENOMEM : 0;
	if (rc == 0)
		rc = db_put(e, COL_SYS, strbuf_bytes(&key),
			    strbuf_bytes(&value));
	strbuf_release(&value);
	strbuf_release(&key);
	return rc;
}

static int del_out(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	(void)value;
	return db_del(arg, COL_OUT, key);
}

/* It is gone, as @user or another site says. */
static int learn(struct ch_engine *e, const struct ch_id *site,
		 struct ch_bytes name, struct ch_bytes user)
{
	const struct ch_bytes id = {site->b, sizeof(site->b)};
	struct peer *p = member_find(e, site);
	int rc = add(e, site, name);

	if (rc == 0)
		rc = store(e, site, name);
	if (rc == 0)
		rc = db_scan(e, COL_OUT, id, ch_str(""), del_out, e);
	if (rc < 0)
		return rc;
	update_notice(e, "left", ch_str(""), name, NULL, user, "%s",
		      "declared gone: it is owed nothing, and is refused "
		      "should it return");
	if (p)
		rc = member_drop(e, p);
	update_stale(e, CH_STALE_MEMBER, ch_str(""), name, true);
	/* All records are looked at again, as fast as at the start. */
	strbuf_reset(&e->scrub);
	e->scrub_ms = e->now_ms;
	e->scrubbed = false;
	return rc;
}

int gone_declare(struct ch_engine *e, const struct ch_submit *s)
{
	const struct peer *p = member_named(e, s->site);
	char name[NAME_SITE_MAX + 1];
	struct ch_id site;
	const char *why = NULL;
	int rc;

	if (ch_bytes_equal(s->site, engine_name(e)))
		why = "this is that site: declare it gone elsewhere";
	else if (p && !id_is_zero(&p->id) && p->heartbeat != HB_DEAD)
		why = "it is not dead: end its agent, and wait until its "
		      "heartbeat says so";
	else if (e->n_gone >= GONE_MAX)
		why = "too many sites were declared gone";
	if (why) {
		update_notice(e, "refused", ch_str(""), s->site, NULL, s->user,
			      "%s", why);
		update_done(e, s->token, -EBUSY, "%s", why);
		return 0;
	}
	if (!p || id_is_zero(&p->id)) {
		update_done(e, s->token, -ENOENT, "no such site is known here");
		return 0;
	}
	CHECK(strlen(p->name) <= NAME_SITE_MAX);
	site = p->id; /* @p goes. */
	memcpy(name, p->name, strlen(p->name) + 1);
	rc = learn(e, &site, ch_str(name), s->user);
	if (rc == 0)
		update_done(e, s->token, 0, "%s", "");
	return rc;
}

int gone_news(struct ch_engine *e, const struct ch_member_news *news)
{
	struct ch_bytes name = ch_str(news->name);

	if (gone_has(e, &news->site) || e->n_gone >= GONE_MAX ||
	    id_is_zero(&news->site) || id_cmp(&news->site, &e->cfg.self) == 0 ||
	    name_check_site(name, NULL) < 0)
		return 0;
	return learn(e, &news->site, name, ch_str(""));
}

size_t gone_spread(struct ch_engine *e, struct ch_member_news *v, size_t max)
{
	size_t n = 0;

	for (; n < e->n_gone && n < GONE_SPREAD && n < max; n++) {
		const struct gone *g = &e->gone[(e->next_gone + n) % e->n_gone];

		v[n] = (struct ch_member_news){
			.site = g->site,
			.name = arena_str(e->u->arena, ch_str(g->name)),
			.address = "",
			.heartbeat = HB_LEFT,
			.heard_ago_ms = UINT64_MAX,
		};
	}
	if (n)
		e->next_gone = (e->next_gone + n) % e->n_gone;
	return n;
}

void gone_refuse(struct ch_engine *e, const struct ch_from *from)
{
	struct gone *g = find(e, &from->site);

	if (g->told_ms && e->now_ms - g->told_ms < REFUSED_MS)
		return;
	g->told_ms = e->now_ms;
	update_notice(e, "refused", ch_str(""), from->name, NULL, ch_str(""),
		      "%s",
		      "it was declared gone, and has come back under its old "
		      "identity: to let it in, give it a new key and an empty "
		      "store");
}

struct seeker {
	const struct ch_engine *e;
	struct ch_id site; /* The first one that is gone. */
};

static int seek(void *arg, const struct resource_site *s)
{
	struct seeker *k = arg;

	if (!gone_has(k->e, &s->id))
		return 0;
	k->site = s->id;
	return 1;
}

int gone_named(const struct ch_engine *e, const struct record *r,
	       struct ch_id *ret_site)
{
	struct seeker k = {.e = e};
	int rc = e->n_gone ? resource_sites(r, seek, &k) : 0;

	if (rc > 0)
		*ret_site = k.site;
	return rc;
}
