/*
 * member.c -- which sites there are, and whose heartbeat is heard.
 *
 *	          heard                 3 T silent             10 T more
 *	(start) --------> alive <------------------> suspect ----------> dead
 *	                    ^          heard                               |
 *	                    +----------------------------------------------+
 *	                                       heard
 *
 * T is the heartbeat's period. Each site is beaten by three others, chosen by
 * rendezvous hashing (Thaler, Ravishankar: A Name-Based Mapping Scheme for
 * Rendezvous, 1996), and by all that have something for it. Beats carry how
 * long ago their sender itself had an answer from each site: so a site is
 * silent only when nobody hears it. Only first-hand knowledge is passed on:
 * what went round would never grow old.
 */
#include <errno.h>
#include <string.h>

#include "core/check.h"
#include "core/gone.h"
#include "core/mem.h"
#include "core/name.h"
#include "core/peer.h"
#include "core/place.h"
#include "core/wire.h"

#define SUSPECT_BEATS 3
#define DEAD_BEATS 13
#define WATCHERS 3
#define ADDRESS_MAX 260 /* Else a hello could not carry it. */
#define LABELS_MAX 4096

void peer_set(char **to, struct ch_bytes value, struct ch_engine *e)
{
	char *fresh = mem_dup(value.p, value.len);

	if (!fresh) {
		e->u->arena->bad = true;
		return;
	}
	mem_free(*to);
	*to = fresh;
}

struct peer *member_find(const struct ch_engine *e, const struct ch_id *site)
{
	if (id_is_zero(site))
		return NULL;
	for (size_t i = 0; i < e->n_peers; i++)
		if (id_cmp(&e->peers[i]->id, site) == 0)
			return e->peers[i];
	return NULL;
}

struct peer *member_named(const struct ch_engine *e, struct ch_bytes name)
{
	for (size_t i = 0; i < e->n_peers; i++)
		if (ch_bytes_equal(ch_str(e->peers[i]->name), name))
			return e->peers[i];
	return NULL;
}

int member_id(const struct ch_engine *e, struct ch_bytes name,
	      struct ch_id *ret_site)
{
	const struct peer *p;

	if (ch_bytes_equal(name, engine_name(e))) {
		*ret_site = e->cfg.self;
		return 0;
	}
	p = member_named(e, name);
	if (!p || id_is_zero(&p->id))
		return -ENOENT;
	*ret_site = p->id;
	return 0;
}

void member_unknown(const struct ch_engine *e, struct ch_bytes name,
		    struct strbuf *out)
{
	int len = (int)name.len;
	const char *site = name.p;

	if (member_named(e, name))
		strbuf_addf(out,
			    "site '%.*s': its identity is not known before it "
			    "was heard once; .sites/%.*s/status says why it "
			    "was not",
			    len, site, len, site);
	else
		strbuf_addf(out, "no site '%.*s' is known here: see .sites/",
			    len, site);
}

struct ch_bytes member_name(const struct ch_engine *e, const struct ch_id *site)
{
	const struct peer *p;

	if (id_cmp(site, &e->cfg.self) == 0)
		return engine_name(e);
	p = member_find(e, site);
	return ch_str(p ? p->name : "");
}

enum ch_heartbeat member_heartbeat(const struct ch_engine *e,
				   const struct ch_id *site)
{
	const struct peer *p;

	if (id_cmp(site, &e->cfg.self) == 0)
		return HB_ALIVE;
	p = member_find(e, site);
	return p ? p->heartbeat : HB_DEAD;
}

static void peer_free(struct peer *p)
{
	if (!p)
		return;
	outbox_release(p);
	strbuf_release(&p->answer_from);
	mem_free(p->name);
	mem_free(p->address);
	mem_free(p->labels);
	mem_free(p->version);
	mem_free(p->said);
	mem_free(p->why);
	mem_free(p);
}

void member_release(struct ch_engine *e)
{
	for (size_t i = 0; i < e->n_peers; i++)
		peer_free(e->peers[i]);
	mem_free(e->peers);
	mem_free(e->labels);
}

int member_add(struct ch_engine *e, const struct ch_id *id,
	       struct ch_bytes name, struct ch_bytes address,
	       struct peer **ret_peer)
{
	struct peer *p;

	if (e->n_peers == e->alloc_peers) {
		size_t alloc = e->alloc_peers ? 2 * e->alloc_peers : 8;
		struct peer **v = mem_realloc(e->peers, alloc * sizeof(*v));

		if (!v)
			return -ENOMEM;
		e->peers = v;
		e->alloc_peers = alloc;
	}
	p = mem_alloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->id = *id;
	strbuf_init(&p->answer_from);
	p->heartbeat = HB_SUSPECT;
	p->next_beat_ms = e->now_ms;
	p->name = mem_dup(name.p, name.len);
	p->address = mem_dup(address.p, address.len);
	p->labels = mem_dup("", 0);
	p->version = mem_dup("", 0);
	p->said = mem_dup(address.p, address.len);
	p->why = mem_dup("", 0);
	if (!p->name || !p->address || !p->labels || !p->version || !p->said ||
	    !p->why) {
		peer_free(p);
		return -ENOMEM;
	}
	e->peers[e->n_peers++] = p;
	*ret_peer = p;
	return 0;
}

static void key_acked(struct strbuf *sb, const struct peer *p)
{
	strbuf_add(sb, p->id.b, sizeof(p->id.b));
	strbuf_add_char(sb, 'a');
}

/* The site that the config names and nobody has met yet. */
static int add_unmet(struct ch_engine *e, const struct ch_peer *c)
{
	static const struct ch_id unknown;
	struct peer *p;

	return member_add(e, &unknown, ch_str(c->name), ch_str(c->address), &p);
}

int member_drop(struct ch_engine *e, struct peer *p)
{
	const struct ch_bytes id = {p->id.b, sizeof(p->id.b)};
	struct strbuf live = STRBUF_INIT, acked = STRBUF_INIT;
	size_t i = 0;
	int rc;

	key_live(&live, &p->id);
	rc = strbuf_error(&live);
	if (rc == 0)
		rc = db_del(e, COL_LIVE, strbuf_bytes(&live));
	if (rc == 0)
		rc = db_del(e, COL_SITE, id);
	if (rc == 0)
		rc = db_del(e, COL_PEER, id);
	key_acked(&acked, p);
	if (rc == 0)
		rc = strbuf_error(&acked);
	if (rc == 0)
		rc = db_del(e, COL_PEER, strbuf_bytes(&acked));
	strbuf_release(&acked);
	strbuf_release(&live);
	if (rc == 0 && p->held_token && !update_reply(e, p->held_token, 410))
		rc = -ENOMEM;
	/* Its name may come back with another key. */
	for (size_t k = 0; rc == 0 && k < e->cfg.n_peers; k++)
		if (strcmp(e->cfg.peers[k].name, p->name) == 0)
			rc = add_unmet(e, &e->cfg.peers[k]);
	if (rc < 0)
		return rc;
	while (e->peers[i] != p)
		i++;
	e->n_peers--;
	memmove(e->peers + i, e->peers + i + 1,
		(e->n_peers - i) * sizeof(struct peer *));
	peer_free(p);
	return 0;
}

static int store_site(struct ch_engine *e, const struct ch_id *id,
		      const struct stored_site *site)
{
	struct strbuf value = STRBUF_INIT;
	int rc;

	stored_site_encode(site, &value);
	rc = strbuf_error(&value);
	if (rc == 0)
		rc = db_put(e, COL_SITE, (struct ch_bytes){id->b, 16},
			    strbuf_bytes(&value));
	strbuf_release(&value);
	return rc;
}

int member_store(struct ch_engine *e, const struct peer *p)
{
	const struct stored_site s = {
		.name = ch_str(p->name),
		.address = ch_str(p->address),
		.labels = ch_str(p->labels),
		.version = ch_str(p->version),
		.address_by_hand = p->address_by_hand,
		.epoch = p->epoch,
		.nonce = p->nonce,
		.incarnation = p->incarnation,
		.heard_ms = p->heard_wall_ms,
		.not_after = p->not_after,
		.prev = p->prev,
		.said = ch_str(p->said),
	};

	return id_is_zero(&p->id) ? 0 : store_site(e, &p->id, &s);
}

static int store_self(struct ch_engine *e)
{
	const struct stored_site s = {
		.name = engine_name(e),
		.address = ch_str(e->cfg.address),
		.labels = ch_str(e->cfg.labels),
		.version = ch_str(e->cfg.version),
		.epoch = e->me.epoch,
		.nonce = e->me.nonce,
		.incarnation = e->me.epoch,
		.heard_ms = e->wall_ms,
		.not_after = e->cfg.cert_not_after,
		.said = ch_str(e->cfg.address),
	};

	return store_site(e, &e->cfg.self, &s);
}

int member_show(struct ch_engine *e, struct peer *p)
{
	bool met = !id_is_zero(&p->id);
	const struct stored_live s = {
		/* Who was never heard may not be there at all. */
		.heartbeat = met ? (uint8_t)p->heartbeat : HB_DEAD,
		.heard_ms = p->heard_wall_ms,
		.rtt_ms = p->rtt_ms,
		.backlog = p->backlog,
		.skew_ms = p->skew_ms,
		.skew_known = p->skew_known,
		.rtt_known = p->rtt_known,
		.address = ch_str(p->address),
		.why = ch_str(p->why),
	};
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	int rc;

	p->to_show = false;
	p->shown_ms = e->now_ms;
	/* The config may name it still; until another comes by that name. */
	if (!met && gone_called(e, p->name))
		return 0;
	if (met)
		key_live(&key, &p->id);
	else
		key_unmet(&key, ch_str(p->name));
	stored_live_encode(&s, &value);
	rc = key.bad || value.bad ? -ENOMEM : 0;
	if (rc == 0)
		rc = db_put(e, COL_LIVE, strbuf_bytes(&key),
			    strbuf_bytes(&value));
	strbuf_release(&value);
	strbuf_release(&key);
	return rc;
}

static const char *const heartbeat_word[] = {"alive", "suspect", "dead",
					     "left"};

/* FNV-1a. */
static uint64_t hash_of(const char *text)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3u;
	return h;
}

/* Has .events this reason since it was last heard? From now on it has. */
static bool was_told(struct peer *p)
{
	uint64_t h = hash_of(p->why);

	for (size_t i = 0; i < p->n_told && i < PEER_TOLD_MAX; i++)
		if (p->told[i] == h)
			return true;
	p->told[p->n_told++ % PEER_TOLD_MAX] = h;
	return false;
}

/*
 * Reasons come and go with each attempt, and those of a push are not those of
 * a beat: each is told once. While others hear it there is nothing to tell but
 * that it is not who it should be. Who was never heard has not died: where
 * sites start one after the other, that is no alarm.
 */
static void tell_why(struct ch_engine *e, struct peer *p, int err)
{
	bool met = !id_is_zero(&p->id);
	const char *event = heartbeat_word[met ? p->heartbeat : HB_SUSPECT];

	if (err == -EACCES)
		event = "refused";
	else if (met && p->heartbeat == HB_ALIVE)
		return;
	if (!was_told(p))
		update_notice(e, event, ch_str(""), ch_str(p->name), NULL,
			      ch_str(""), "%s", p->why);
}

int member_dialled(struct ch_engine *e, struct peer *p, int err,
		   const char *why)
{
	if (err == 0) {
		p->n_told = 0;
		why = "";
	}
	if (strcmp(p->why, why) == 0)
		return 0;
	peer_set(&p->why, ch_str(why), e);
	p->to_show = true;
	update_stale(e, CH_STALE_MEMBER, ch_str(""), ch_str(p->name), false);
	if (p->why[0])
		tell_why(e, p, err);
	return 0;
}

int member_met(struct ch_engine *e, struct peer *p, const struct ch_id *id)
{
	struct strbuf key = STRBUF_INIT;
	int rc;

	key_unmet(&key, ch_str(p->name));
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_del(e, COL_LIVE, strbuf_bytes(&key));
	strbuf_release(&key);
	p->id = *id;
	p->to_show = true;
	return rc;
}

static int set_heartbeat(struct ch_engine *e, struct peer *p,
			 enum ch_heartbeat heartbeat)
{
	int rc;

	if (p->heartbeat == heartbeat)
		return 0;
	p->heartbeat = heartbeat;
	update_stale(e, CH_STALE_MEMBER, ch_str(""), ch_str(p->name), false);
	if (!id_is_zero(&p->id)) {
		bool silent = heartbeat != HB_ALIVE;

		update_notice(e, heartbeat_word[heartbeat], ch_str(""),
			      ch_str(p->name), NULL, ch_str(""), "%s",
			      silent ? p->why : "");
		if (silent && p->why[0])
			(void)was_told(p);
	}
	rc = member_show(e, p);
	if (rc == 0 && heartbeat == HB_DEAD) /* last-heard outlives us. */
		rc = member_store(e, p);
	return rc;
}

int member_heard(struct ch_engine *e, struct peer *p)
{
	p->heard_ms = e->now_ms;
	p->heard_wall_ms = e->wall_ms;
	p->to_show = true;
	if (p->heartbeat != HB_ALIVE) {
		/* It is back: what waits for it need not wait longer. */
		p->next_push_ms = e->now_ms;
		p->next_beat_ms = e->now_ms;
		p->backoff_ms = 0;
	}
	return set_heartbeat(e, p, HB_ALIVE);
}

int member_cursor(struct ch_engine *e, const struct peer *p)
{
	struct strbuf value = STRBUF_INIT;
	int rc;

	wire_put_u32(&value, p->got_epoch);
	wire_put_u32(&value, p->got_nonce);
	wire_put_u64(&value, p->got_no);
	wire_put_u64(&value, p->seen_seq);
	wire_put_u32(&value, p->answered_life);
	rc = strbuf_error(&value);
	if (rc == 0)
		rc = db_put(e, COL_PEER, (struct ch_bytes){p->id.b, 16},
			    strbuf_bytes(&value));
	strbuf_release(&value);
	return rc;
}

int member_acked(struct ch_engine *e, struct peer *p, uint64_t no)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	int rc;

	p->acked_epoch = e->me.epoch;
	p->acked_nonce = e->me.nonce;
	p->acked_no = no;
	p->acker_epoch = p->epoch;
	p->acker_nonce = p->nonce;
	key_acked(&key, p);
	wire_put_u32(&value, p->acked_epoch);
	wire_put_u32(&value, p->acked_nonce);
	wire_put_u64(&value, p->acked_no);
	wire_put_u32(&value, p->acker_epoch);
	wire_put_u32(&value, p->acker_nonce);
	rc = key.bad || value.bad ? -ENOMEM : 0;
	if (rc == 0)
		rc = db_jot(e, COL_PEER, strbuf_bytes(&key),
			    strbuf_bytes(&value));
	strbuf_release(&value);
	strbuf_release(&key);
	return rc;
}

static int load_acked(struct ch_engine *e, struct peer *p)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	int rc;

	key_acked(&key, p);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_get(e, COL_PEER, strbuf_bytes(&key), &value);
	if (rc == 0) {
		struct wire w = wire_of(strbuf_bytes(&value));

		p->acked_epoch = wire_u32(&w);
		p->acked_nonce = wire_u32(&w);
		p->acked_no = wire_u64(&w);
		p->acker_epoch = wire_u32(&w);
		p->acker_nonce = wire_u32(&w);
	}
	strbuf_release(&value);
	strbuf_release(&key);
	return rc == -ENOENT ? 0 : rc;
}

/* A site that speaks as of an earlier life than we know has lost what it knew:
 * it is told of the later one, and takes one that is later still. */
static int see_life(struct ch_engine *e, struct peer *p, uint32_t epoch,
		    uint32_t nonce, bool *ret_changed)
{
	p->is_behind = false;
	if (p->epoch == epoch && p->nonce == nonce)
		return 0;
	p->n_sent = 0;
	p->is_behind = p->epoch >= epoch;
	if (p->is_behind)
		return 0;
	/* A life that sent nothing has perhaps not heard yet what we know of
	 * the one before: that is what the next one is told. What we sent it,
	 * and it lost, is seen by has_less(). */
	if (p->seen_seq || !p->prev.epoch)
		p->prev = (struct ch_life){p->epoch, p->nonce, p->seen_seq};
	p->epoch = epoch;
	p->nonce = nonce;
	p->seen_seq = 0;
	*ret_changed = true;
	return member_cursor(e, p);
}

/* Has it lost a batch that an earlier life of it had acknowledged? Of the same
 * life a hello may only be late. */
static bool has_less(const struct peer *p, const struct ch_frame *hello)
{
	uint32_t epoch = hello->u.hello.got_epoch;

	if (hello->u.hello.epoch == p->acker_epoch &&
	    hello->u.hello.nonce == p->acker_nonce)
		return false;
	if (epoch != p->acked_epoch)
		return epoch < p->acked_epoch;
	return hello->u.hello.got_nonce == p->acked_nonce &&
	       hello->u.hello.got_no < p->acked_no;
}

int member_hello(struct ch_engine *e, struct peer *p,
		 const struct ch_frame *hello, const struct ch_from *from)
{
	const char *address = hello->u.hello.address;
	bool changed = false;
	int rc;

	if (strcmp(p->said, address) != 0) {
		peer_set(&p->said, ch_str(address), e);
		changed = true;
	}
	if (!p->address_by_hand && strcmp(p->address, address) != 0) {
		peer_set(&p->address, ch_str(address), e);
		peer_set(&p->why, ch_str(""), e);
		changed = true;
	}
	if (strcmp(p->labels, hello->u.hello.labels) != 0) {
		peer_set(&p->labels, ch_str(hello->u.hello.labels), e);
		changed = true;
	}
	if (strcmp(p->version, hello->u.hello.version) != 0) {
		peer_set(&p->version, ch_str(hello->u.hello.version), e);
		changed = true;
	}
	rc = see_life(e, p, hello->u.hello.epoch, hello->u.hello.nonce,
		      &changed);
	p->incarnation = hello->u.hello.incarnation;
	/* One that comes late says less, and counts for nothing. */
	if (hello->u.hello.epoch > p->sent_epoch ||
	    (hello->u.hello.epoch == p->sent_epoch &&
	     (hello->u.hello.nonce != p->sent_nonce ||
	      hello->u.hello.sent_no > p->sent_no))) {
		p->sent_epoch = hello->u.hello.epoch;
		p->sent_nonce = hello->u.hello.nonce;
		p->sent_no = hello->u.hello.sent_no;
	}
	if (p->not_after != from->not_after) {
		p->not_after = from->not_after;
		changed = true;
	}
	p->skew_known = true;
	p->skew_ms = (int64_t)(hello->u.hello.wall_ms - e->wall_ms);
	if (changed)
		update_stale(e, CH_STALE_MEMBER, ch_str(""), ch_str(p->name),
			     false);
	if (rc == 0 && changed)
		rc = member_store(e, p);
	p->is_lower = has_less(p, hello);
	/* Who knows of no lives has nothing to say of ours. */
	p->is_vetted |= !hello->u.hello.knows_lives ||
			(hello->u.hello.your_epoch == e->me.epoch &&
			 hello->u.hello.your_nonce == e->me.nonce);
	p->is_unreachable = false;
	return rc < 0 ? rc : rejoin_hello(e, p, &hello->u.hello.known);
}

static int news_of_one(struct ch_engine *e, const struct ch_member_news *news)
{
	struct ch_bytes name = ch_str(news->name);
	struct peer *p = member_find(e, &news->site);
	uint64_t then;
	int rc = 0;

	if (news->heartbeat == HB_LEFT)
		return gone_news(e, news);
	if (id_cmp(&news->site, &e->cfg.self) == 0 || id_is_zero(&news->site) ||
	    gone_has(e, &news->site))
		return 0;
	if (!p) {
		p = member_named(e, name);
		if ((p && !id_is_zero(&p->id)) || e->n_peers >= PEERS_MAX ||
		    ch_bytes_equal(name, engine_name(e)) ||
		    name_check_site(name, NULL) < 0)
			return 0; /* A name belongs to one living site. */
		if (p)
			rc = member_met(e, p, &news->site);
		else
			rc = member_add(e, &news->site, name,
					ch_str(news->address), &p);
		if (rc == 0)
			rc = outbox_count(e, p);
		if (rc < 0)
			return rc;
		p->more = true;
		update_stale(e, CH_STALE_MEMBER, ch_str(""), name, true);
		update_notice(e, "joined", ch_str(""), name, NULL, ch_str(""),
			      "%s", "");
		rc = member_store(e, p);
		if (rc == 0)
			rc = member_show(e, p);
		if (rc == 0)
			rc = rejoin_met(e);
	} else if (!p->heard_ms && news->address[0] &&
		   (strcmp(p->said, news->address) != 0 ||
		    (!p->address_by_hand &&
		     strcmp(p->address, news->address) != 0))) {
		/* Hearsay, until the site itself says where it is. */
		peer_set(&p->said, ch_str(news->address), e);
		if (!p->address_by_hand)
			peer_set(&p->address, ch_str(news->address), e);
		p->to_show = true;
		rc = member_store(e, p);
	}
	if (rc < 0 || news->heard_ago_ms == UINT64_MAX ||
	    news->heard_ago_ms > e->now_ms)
		return rc;
	then = e->now_ms - news->heard_ago_ms;
	if (then > p->news_ms)
		p->news_ms = then;
	if (news->heard_ago_ms <= e->wall_ms &&
	    e->wall_ms - news->heard_ago_ms > p->heard_wall_ms) {
		p->heard_wall_ms = e->wall_ms - news->heard_ago_ms;
		p->to_show = true;
	}
	return 0;
}

int member_news(struct ch_engine *e, const struct peer *from,
		const struct ch_member_news *news, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int rc;

		if (id_cmp(&news[i].site, &from->id) == 0)
			continue; /* That it says by its hello. */
		rc = news_of_one(e, &news[i]);

		if (rc < 0)
			return rc;
	}
	return 0;
}

/* FNV-1a over both ids: the same on all sites. */
static uint64_t weight(const struct ch_id *who, const struct ch_id *whom)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < sizeof(who->b); i++)
		h = (h ^ who->b[i]) * 0x100000001b3u;
	for (size_t i = 0; i < sizeof(whom->b); i++)
		h = (h ^ whom->b[i]) * 0x100000001b3u;
	return h ^ h >> 31;
}

bool member_is_watched(const struct ch_engine *e, const struct peer *p)
{
	uint64_t mine = weight(&e->cfg.self, &p->id);
	size_t before = 0;

	/* What we have for it, or it for us, keeps the pair warm. A site that
	 * only dials out beats to all that listen. */
	if (id_is_zero(&p->id) || p->backlog || !e->cfg.address[0] ||
	    p->answered_life < e->amnesia)
		return true;
	for (size_t i = 0; i < e->n_peers; i++) {
		const struct peer *q = e->peers[i];

		if (q != p && q->address[0] && q->heartbeat != HB_DEAD &&
		    !id_is_zero(&q->id) && weight(&q->id, &p->id) > mine)
			before++;
	}
	return before < WATCHERS;
}

static int see_stored(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct ch_engine *e = arg;
	struct stored_site s;
	struct ch_id id;
	struct peer *p;
	int rc;

	if (key.len != sizeof(id.b) || stored_site_decode(value, &s) < 0)
		return -EIO;
	memcpy(id.b, key.p, sizeof(id.b));
	if (id_cmp(&id, &e->cfg.self) == 0)
		return 0;
	rc = member_add(e, &id, s.name, s.address, &p);
	if (rc < 0)
		return rc;
	peer_set(&p->labels, s.labels, e);
	peer_set(&p->version, s.version, e);
	peer_set(&p->said, s.said, e);
	p->address_by_hand = s.address_by_hand;
	p->epoch = s.epoch;
	p->nonce = s.nonce;
	p->incarnation = s.incarnation;
	p->heard_wall_ms = s.heard_ms;
	p->not_after = s.not_after;
	p->prev = s.prev;
	return 0;
}

static int load_cursor(struct ch_engine *e, struct peer *p)
{
	struct strbuf value = STRBUF_INIT;
	int rc = db_get(e, COL_PEER, (struct ch_bytes){p->id.b, 16}, &value);

	if (rc == 0) {
		struct wire w = wire_of(strbuf_bytes(&value));

		p->got_epoch = wire_u32(&w);
		p->got_nonce = wire_u32(&w);
		p->got_no = wire_u64(&w);
		if (w.len) { /* The first version had no more. */
			p->seen_seq = wire_u64(&w);
			p->answered_life = wire_u32(&w);
		}
	}
	strbuf_release(&value);
	return rc == -ENOENT ? 0 : rc;
}

/* Labels that a user wrote outlive those of the config. */
static int load_labels(struct ch_engine *e)
{
	struct strbuf value = STRBUF_INIT;
	int rc = db_get(e, COL_SYS, ch_str("labels"), &value);

	if (rc == 0) {
		peer_set(&e->labels, strbuf_bytes(&value), e);
		e->cfg.labels = e->labels;
	}
	strbuf_release(&value);
	return rc == -ENOENT ? 0 : rc;
}

int member_start(struct ch_engine *e)
{
	int rc = db_scan(e, COL_SITE, ch_str(""), ch_str(""), see_stored, e);

	if (rc == 0)
		rc = load_labels(e);
	for (size_t i = 0; rc == 0 && i < e->n_peers; i++) {
		struct peer *p = e->peers[i];

		rc = load_cursor(e, p);
		if (rc == 0)
			rc = load_acked(e, p);
		if (rc == 0)
			rc = outbox_count(e, p);
		p->more = p->backlog > 0;
		if (rc == 0)
			rc = member_show(e, p);
	}
	for (size_t i = 0; rc == 0 && i < e->cfg.n_peers; i++) {
		const struct ch_peer *c = &e->cfg.peers[i];
		struct peer *p = member_named(e, ch_str(c->name));

		if (!p) /* Met only now and then: its id comes with hello. */
			rc = add_unmet(e, c);
		else if (!p->address_by_hand)
			peer_set(&p->address, ch_str(c->address), e);
		p = member_named(e, ch_str(c->name));
		if (rc == 0 && p)
			rc = member_show(e, p);
	}
	return rc < 0 ? rc : store_self(e);
}

int member_tick(struct ch_engine *e)
{
	const uint64_t t = e->cfg.heartbeat_ms;

	for (size_t i = 0; i < e->n_peers; i++) {
		struct peer *p = e->peers[i];
		uint64_t last =
			p->heard_ms > p->news_ms ? p->heard_ms : p->news_ms;
		uint64_t silent;
		int rc = 0;

		/* Nothing heard in this life: as if at its start. */
		silent = e->now_ms - (last ? last : e->start_ms);
		if (silent >= DEAD_BEATS * t) {
			rc = set_heartbeat(e, p, HB_DEAD);
		} else if (!last || silent >= SUSPECT_BEATS * t) {
			if (p->heartbeat != HB_DEAD)
				rc = set_heartbeat(e, p, HB_SUSPECT);
			update_by(e, e->now_ms - silent + DEAD_BEATS * t);
		} else {
			rc = set_heartbeat(e, p, HB_ALIVE);
			update_by(e, e->now_ms - silent + SUSPECT_BEATS * t);
		}
		if (rc == 0 &&
		    (p->to_show || (e->now_ms - p->shown_ms >= t && last)))
			rc = member_show(e, p);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Where a site is, but for what a user wrote: in its own words; else as the
 * config says; else as others do. */
static const char *address_of(const struct ch_engine *e, const struct peer *p)
{
	for (size_t i = 0; !p->heard_ms && i < e->cfg.n_peers; i++)
		if (strcmp(e->cfg.peers[i].name, p->name) == 0)
			return e->cfg.peers[i].address;
	return p->said;
}

int member_set_address(struct ch_engine *e, const struct ch_submit *s)
{
	struct ch_bytes address = place_trim(s->body);
	struct peer *p = member_named(e, s->site);
	int rc;

	if (!p) {
		update_done(e, s->token, -EPERM,
			    "its own address stands in its config");
		return 0;
	}
	if (address.len > ADDRESS_MAX || !name_is_text(address)) {
		update_done(e, s->token, -EINVAL,
			    "an address is one line, HOST:PORT");
		return 0;
	}
	p->address_by_hand = address.len > 0;
	if (!address.len)
		address = ch_str(address_of(e, p));
	peer_set(&p->address, address, e);
	peer_set(&p->why, ch_str(""), e);
	p->to_show = true;
	p->next_beat_ms = e->now_ms;
	p->next_push_ms = e->now_ms;
	rc = member_store(e, p);
	if (rc == 0)
		update_done(e, s->token, 0, "%s", "");
	update_stale(e, CH_STALE_MEMBER, ch_str(""), s->site, false);
	return rc;
}

/* Text, in lines. */
static bool are_lines(struct ch_bytes text)
{
	const char *p = text.p, *end = p + text.len;

	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = nl ? (size_t)(nl - p) : (size_t)(end - p);

		if (!name_is_text((struct ch_bytes){p, n}))
			return false;
		p += n + (nl != NULL);
	}
	return true;
}

int member_set_labels(struct ch_engine *e, const struct ch_submit *s)
{
	struct ch_bytes labels = place_trim(s->body);
	int rc;

	if (labels.len > LABELS_MAX || !are_lines(labels)) {
		update_done(e, s->token, -EINVAL,
			    "labels are lines key=value, %u bytes at most",
			    LABELS_MAX);
		return 0;
	}
	rc = db_put(e, COL_SYS, ch_str("labels"), labels);
	if (rc == 0) {
		peer_set(&e->labels, labels, e);
		e->cfg.labels = e->labels;
		rc = store_self(e);
	}
	if (rc == 0)
		update_done(e, s->token, 0, "%s", "");
	update_stale(e, CH_STALE_MEMBER, ch_str(""), engine_name(e), false);
	return rc;
}
