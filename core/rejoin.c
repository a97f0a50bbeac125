/*
 * rejoin.c -- a site whose store is older than what others know of it.
 *
 * A store that was restored from a backup, repaired, or lost holds records of
 * which newer ones may be gone: deletions that all others have forgotten
 * since, for one. Spread, such a record would bring back what was deleted. So
 * what such a store holds is unconfirmed: it can be read and written, is
 * joined with what others send, but it is sent to nobody and no driver acts on
 * it, until all who should hold it have been asked, twice:
 *
 *	(amnesia) --> round 1 --all answered--> round 2 --all answered--> judged
 *
 * Two rounds, because one site may answer before it hears of a deletion, and
 * another after it has forgotten it; after the first round whatever is known
 * of a deletion is known here, or nowhere. A record is confirmed once a site,
 * in its second answer, holds a version that this record had seen when it was
 * restored: then the same life of the resource goes on. What nobody else knows
 * any more is set aside in .trash, from where a person may bring it back; but
 * what was written here since it was restored stays.
 * Where nobody else should hold it, or all who should were restored
 * themselves, nobody can know better: it stays.
 *
 * Amnesia is found by whoever opened the store, or by what another
 * site's hello says of our earlier lives: each life is noted here with its
 * last dot, so a life that is not noted, or a later dot, was lost.
 *
 * replication.md, D6 and 1.4; tests/model proves it in a bounded scope. An
 * answer to a question (FRAME_ASK) is all records that the asked site shares
 * with us, through its outbox, and a mark behind them.
 *
 * In COL_SYS: "restored" u64, not 0: whoever opened the store found it older
 * than it was; "amnesia" the life since which all earlier ones are known to be
 * incomplete; "whole" the life since which nothing of this store was lost;
 * "rejoin" the sequence below which records are unconfirmed;
 * "unconfirmed/NAME" the clock that a record had when it was restored, once
 * it has changed since; "life/EPOCH" a life's nonce and last dot.
 */
#include <errno.h>
#include <string.h>

#include "core/engine.h"
#include "core/peer.h"
#include "core/wire.h"

#define ANSWER_STEP 512 /* Records looked at in a round, for an answer. */
#define REBORN_STEP 16  /* Lives that one site knows of, and another not. */
#define TRASH_STEP 100  /* Deletions in a life. */

static void key_life(struct strbuf *sb, uint32_t epoch)
{
	strbuf_add_str(sb, "life/");
	wire_put_u32(sb, epoch);
}

static void key_unconfirmed(struct strbuf *sb, struct ch_bytes name)
{
	strbuf_add_str(sb, "unconfirmed/");
	strbuf_add(sb, name.p, name.len);
}

int rejoin_note_life(struct ch_engine *e)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	int rc;

	if (e->started && e->seq == e->seq_noted)
		return 0;
	e->seq_noted = e->seq;
	key_life(&key, e->me.epoch);
	wire_put_u32(&value, e->me.nonce);
	wire_put_u64(&value, e->seq);
	rc = key.bad || value.bad ? -ENOMEM : 0;
	if (rc == 0)
		rc = db_put(e, COL_SYS, strbuf_bytes(&key),
			    strbuf_bytes(&value));
	strbuf_release(&value);
	strbuf_release(&key);
	return rc;
}

static int first_life(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct wire w = wire_of(key);

	(void)value;
	(void)wire_raw(&w, strlen("life/"));
	*(uint32_t *)arg = wire_u32(&w);
	return 1;
}

/* Is @life one that this store remembers whole? 1, 0, below. */
static int remembers(struct ch_engine *e, const struct ch_life *life)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	uint32_t first = UINT32_MAX;
	int rc;

	key_life(&key, life->epoch);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_get(e, COL_SYS, strbuf_bytes(&key), &value);
	if (rc == 0) {
		struct wire w = wire_of(strbuf_bytes(&value));

		rc = wire_u32(&w) == life->nonce && wire_u64(&w) >= life->seq;
	} else if (rc == -ENOENT) {
		/* Lives before the first that was noted were not noted. */
		rc = db_scan(e, COL_SYS, ch_str("life/"), ch_str(""),
			     first_life, &first);
		if (rc >= 0)
			rc = life->epoch < first;
	}
	strbuf_release(&value);
	strbuf_release(&key);
	return rc;
}

bool rejoin_is_unconfirmed(struct ch_engine *e, struct ch_bytes name,
			   uint64_t seq, int *ret_rc)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	int rc;

	*ret_rc = 0;
	if (!e->rejoin_floor)
		return false;
	if (seq < e->rejoin_floor)
		return true;
	key_unconfirmed(&key, name);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_get(e, COL_SYS, strbuf_bytes(&key), &value);
	strbuf_release(&value);
	strbuf_release(&key);
	if (rc < 0 && rc != -ENOENT)
		*ret_rc = rc;
	return rc == 0;
}

/* What @r, unchanged so far, had seen when it was restored: not what we wrote
 * since then. */
static int old_clock(const struct ch_engine *e, const struct record *r,
		     struct vv *ret_clock)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->clock.n; i++) {
		const struct vv_entry *x = &r->clock.v[i];

		if (x->actor.epoch < e->rejoin_whole ||
		    id_cmp(&x->actor.site, &e->cfg.self) != 0)
			rc = vv_add(ret_clock, &x->actor, x->seq);
	}
	return rc;
}

int rejoin_keep_clock(struct ch_engine *e, const struct record *old,
		      uint64_t seq)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	struct vv clock;
	int rc;

	if (!e->rejoin_floor || seq >= e->rejoin_floor)
		return 0;
	vv_init(&clock);
	key_unconfirmed(&key, old->name);
	rc = old_clock(e, old, &clock);
	if (rc == 0)
		vv_encode(&clock, &value);
	if (rc == 0)
		rc = key.bad || value.bad ? -ENOMEM : 0;
	if (rc == 0)
		rc = db_put(e, COL_SYS, strbuf_bytes(&key),
			    strbuf_bytes(&value));
	vv_release(&clock);
	strbuf_release(&value);
	strbuf_release(&key);
	return rc;
}

/* The clock that @r had when it was restored. */
static int restored_clock(struct ch_engine *e, const struct record *r,
			  struct vv *ret_clock)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	int rc;

	key_unconfirmed(&key, r->name);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_get(e, COL_SYS, strbuf_bytes(&key), &value);
	if (rc == 0) {
		struct wire w = wire_of(strbuf_bytes(&value));

		rc = vv_decode(&w, ret_clock);
		if (rc == -EPROTO)
			rc = -EIO;
	} else if (rc == -ENOENT) {
		rc = old_clock(e, r, ret_clock);
	}
	strbuf_release(&value);
	strbuf_release(&key);
	return rc;
}

static int forget_clock(struct ch_engine *e, struct ch_bytes name)
{
	struct strbuf key = STRBUF_INIT;

	key_unconfirmed(&key, name);
	return db_del_key(e, COL_SYS, &key);
}

/* --- Amnesia. ------------------------------------------------------------ */

static int drop_out(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	(void)value;
	return db_del(arg, COL_OUT, key);
}

/* All that is stored is unconfirmed from here on. @life: all before it are
 * incomplete; from @whole on, what this store has of them is not old. */
static int begin(struct ch_engine *e, uint32_t life, uint32_t whole)
{
	uint64_t trash = 0;
	int rc;

	e->amnesia = life;
	e->rejoin_whole = whole;
	e->rejoin_floor = outbox_next(e);
	e->rejoin_round = 1;
	rc = db_put_u64(e, COL_SYS, "amnesia", life);
	if (rc == 0)
		rc = db_put_u64(e, COL_SYS, "rejoin", e->rejoin_floor);
	if (rc == 0)
		rc = db_put_u64(e, COL_SYS, "whole", whole);
	/* Numbers of .trash that were given since are not given again. */
	if (rc == 0)
		rc = db_get_u64(e, COL_SYS, "trash", &trash);
	if (rc == 0)
		rc = db_put_u64(e, COL_SYS, "trash",
				trash + (uint64_t)life * TRASH_STEP);
	/* What waited to be sent is unconfirmed, too. */
	if (rc == 0)
		rc = db_scan(e, COL_OUT, ch_str(""), ch_str(""), drop_out, e);
	for (size_t i = 0; i < e->n_peers; i++) {
		outbox_release(e->peers[i]);
		e->peers[i]->flying = 0;
		e->peers[i]->backlog = 0;
		e->peers[i]->more = false;
	}
	return rc;
}

int rejoin_hello(struct ch_engine *e, const struct peer *p,
		 const struct ch_life *known)
{
	bool ahead;
	int rc;

	if (!known->epoch || e->reborn ||
	    (known->epoch == e->me.epoch && known->nonce == e->me.nonce))
		return 0;
	ahead = known->epoch >= e->me.epoch;
	if (!ahead && known->epoch < e->amnesia)
		return 0; /* That those lives were lost is known. */
	rc = ahead ? 0 : remembers(e, known);
	if (rc)
		return rc < 0 ? rc : 0;
	/* Others may know of later ones, that were lost as well: it is no news
	 * then. */
	e->reborn = (ahead ? known->epoch : e->me.epoch) + REBORN_STEP;
	e->u->new_life = e->reborn;
	update_notice(e, "lost", ch_str(""), engine_name(e), NULL, ch_str(""),
		      "this site's store is older than what %s knows of it: "
		      "all sites are asked before anything of it is sent or "
		      "put in force",
		      p->name);
	return begin(e, e->reborn, ahead ? e->me.epoch : known->epoch + 1);
}

/* --- Who must be asked. --------------------------------------------------- */

struct crowd {
	struct ch_engine *e;
	const struct record *r;
	size_t others;    /* Who should hold it, but us. */
	size_t strangers; /* Of those: we have never heard of them. */
	size_t restored;  /* Of those: restored themselves. */
	bool require;
	bool late; /* One is required that has not been asked in round 1. */
};

static int see_holder(void *arg, const struct resource_site *s)
{
	struct crowd *c = arg;
	struct peer *p;

	if (id_cmp(&s->id, &c->e->cfg.self) == 0)
		return 0;
	p = member_find(c->e, &s->id);
	/* Two that only dial never meet: those between them know. */
	if (p && !p->address[0] && !c->e->cfg.address[0])
		return 0;
	c->others++;
	c->strangers += !p;
	if (p && p->is_restored)
		c->restored++;
	if (p && c->require && !p->is_required) {
		p->is_required = true;
		c->late |= c->e->rejoin_round == 2 && !p->answered_round;
	}
	return 0;
}

static int require(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct crowd *c = arg;
	struct wire w = wire_of(value);
	struct record r;
	int rc, bad;

	if (!rejoin_is_unconfirmed(c->e, key, wire_u64(&w), &bad))
		return bad;
	record_init(&r);
	rc = record_decode((struct ch_bytes){w.p, w.len}, &r, NULL);
	if (rc == 0)
		rc = resource_sites(&r, see_holder, c);
	record_release(&r);
	return rc == -EPROTO ? -EIO : rc;
}

/* At the start, and when a site is met that was not known. */
static int require_all(struct ch_engine *e)
{
	struct crowd c = {.e = e, .require = true};
	int rc = db_scan(e, COL_RECORD, ch_str(""), ch_str(""), require, &c);

	e->rejoin_strangers = c.strangers;
	return rc;
}

int rejoin_named(struct ch_engine *e, const struct record *r)
{
	struct crowd c = {.e = e, .require = true};
	int rc = resource_sites(r, see_holder, &c);

	e->rejoin_strangers += c.strangers;
	if (rc == 0 && c.late && !e->reborn) {
		/* All are asked again, from round 1 on: by the next life. */
		e->reborn = e->me.epoch + 1;
		e->u->new_life = e->reborn;
	}
	return rc;
}

int rejoin_met(struct ch_engine *e)
{
	return e->rejoin_floor && e->rejoin_strangers ? require_all(e) : 0;
}

int rejoin_start(struct ch_engine *e)
{
	uint64_t amnesia, restored = 0, whole = 0;
	int rc = db_get_u64(e, COL_SYS, "amnesia", &amnesia);

	e->amnesia = (uint32_t)amnesia;
	if (rc == 0)
		rc = db_get_u64(e, COL_SYS, "whole", &whole);
	e->rejoin_whole = whole ? (uint32_t)whole : e->amnesia;
	if (rc == 0)
		rc = db_get_u64(e, COL_SYS, "rejoin", &e->rejoin_floor);
	if (rc == 0 && e->rejoin_floor)
		e->rejoin_round = 1;
	if (rc == 0)
		rc = db_get_u64(e, COL_SYS, "restored", &restored);
	if (rc == 0 && restored) {
		update_notice(e, "lost", ch_str(""), engine_name(e), NULL,
			      ch_str(""),
			      "this site's store was restored or repaired: all "
			      "sites are asked before anything of it is sent "
			      "or put in force");
		rc = begin(e, e->me.epoch, e->me.epoch);
		if (rc == 0)
			rc = db_del(e, COL_SYS, ch_str("restored"));
	}
	if (rc == 0 && e->rejoin_floor)
		rc = require_all(e);
	return rc;
}

/* The round that @p has to be asked now; 0: none. */
static uint8_t round_of(const struct ch_engine *e, const struct peer *p)
{
	uint8_t round = e->rejoin_floor ? e->rejoin_round : 1;

	return e->amnesia && !e->reborn && p->answered_life < e->amnesia &&
			       p->answered_round < round
		       ? round
		       : 0;
}

uint8_t rejoin_asks(const struct ch_engine *e, struct peer *p)
{
	uint8_t round = round_of(e, p);

	if (round)
		p->asked_round = round;
	return round;
}

/* --- Answers to others. --------------------------------------------------- */

int rejoin_asked(struct ch_engine *e, struct peer *p, uint32_t epoch,
		 uint32_t nonce, uint8_t round)
{
	if (p->ask_epoch == epoch && p->ask_nonce == nonce &&
	    p->ask_round == round)
		return 0; /* It is being, or has been, answered. */
	p->ask_epoch = epoch;
	p->ask_nonce = nonce;
	p->ask_round = round;
	p->answering = true;
	p->n_sent = 0; /* It may have lost those bodies, too. */
	strbuf_reset(&p->answer_from);
	update_by(e, e->now_ms);
	return 0;
}

struct answer {
	struct ch_engine *e;
	struct peer *p;
	size_t left;
};

/* The record again, and behind it what we say of it: reports of what is not
 * known are of no use. */
static int put_again(struct ch_engine *e, const struct ch_id *site,
		     struct ch_bytes name, uint64_t seq)
{
	uint64_t said, again;
	int rc = outbox_has(e, site, seq);

	if (rc == 0)
		rc = outbox_put(e, site, OUT_RECORD, name, 0, seq);
	if (rc >= 0)
		rc = report_seq(e, name, &said);
	if (rc < 0 || !said)
		return rc;
	again = outbox_next(e);
	for (size_t i = 0; rc == 0 && i < e->n_peers; i++) {
		const struct ch_id *id = &e->peers[i]->id;

		if (id_cmp(id, site) != 0)
			rc = outbox_has(e, id, said);
		if (rc > 0 || id_cmp(id, site) == 0)
			rc = outbox_put(e, id, OUT_REPORT, name, said, again);
	}
	return rc < 0 ? rc : report_move(e, name, again);
}

/* Does @site hold @r, or did it before @r was deleted? It may have forgotten
 * that. */
static bool concerns(const struct record *r, const struct ch_id *site)
{
	const struct entry *tomb;
	size_t pos = 0;

	if (resource_is_holder(r, site))
		return true;
	while ((tomb = record_next(r, ENTRY_TOMB, &pos)))
		if (image_has_site(tomb->image, site))
			return true;
	return false;
}

static int answer_one(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct answer *a = arg;
	struct record r;
	uint64_t seq;
	int rc;

	(void)value;
	if (!a->left)
		return 1;
	a->left--;
	strbuf_reset(&a->p->answer_from);
	strbuf_add(&a->p->answer_from, key.p, key.len);
	strbuf_add_char(&a->p->answer_from, '\0'); /* The next key after it. */
	if (a->p->answer_from.bad)
		return -ENOMEM;
	record_init(&r);
	/* As this round left it. */
	rc = keep_load(a->e, key, &r, &seq);
	if (rc == 0 && !rejoin_is_unconfirmed(a->e, key, seq, &rc) && rc == 0 &&
	    concerns(&r, &a->p->id))
		rc = put_again(a->e, &a->p->id, key, seq);
	record_release(&r);
	return rc == -ENOENT ? 0 : rc;
}

static int answer_some(struct ch_engine *e, struct peer *p)
{
	struct answer a = {e, p, ANSWER_STEP};
	struct strbuf mark = STRBUF_INIT;
	int rc;

	rc = db_scan(e, COL_RECORD, ch_str(""), strbuf_bytes(&p->answer_from),
		     answer_one, &a);
	if (rc < 0)
		return rc;
	update_by(e, e->now_ms);
	if (rc == 1)
		return 0;
	p->answering = false;
	wire_put_u8(&mark, p->ask_round);
	wire_put_u32(&mark, p->ask_epoch);
	wire_put_u32(&mark, p->ask_nonce);
	wire_put_u8(&mark, e->rejoin_floor != 0);
	rc = strbuf_error(&mark);
	if (rc == 0)
		rc = outbox_put(e, &p->id, OUT_MARK, strbuf_bytes(&mark), 0,
				outbox_next(e));
	strbuf_release(&mark);
	return rc;
}

/* --- Answers from others. ------------------------------------------------- */

int rejoin_mark(struct ch_engine *e, struct peer *p, struct ch_bytes mark)
{
	struct wire w = wire_of(mark);
	uint8_t round = wire_u8(&w);
	uint32_t epoch = wire_u32(&w), nonce = wire_u32(&w);
	bool restored = wire_u8(&w) != 0;

	if (w.bad || epoch != e->me.epoch || nonce != e->me.nonce ||
	    round != p->asked_round)
		return 0;
	p->answered_round = round;
	p->is_restored = restored;
	if (e->rejoin_floor)
		return 0;
	/* Nothing here was unconfirmed: once is enough. */
	p->answered_life = e->amnesia;
	return member_cursor(e, p);
}

/* Does @theirs hold a version that @clock had seen? */
static bool same_life(const struct record *theirs, const struct vv *clock)
{
	for (size_t i = 0; i < theirs->n; i++) {
		const struct entry *x = &theirs->v[i];

		if ((x->type == ENTRY_MADE || x->type == ENTRY_SPEC) &&
		    vv_covers(clock, &x->dot))
			return true;
	}
	return false;
}

int rejoin_is_alone(struct ch_engine *e, const struct record *old, uint64_t seq)
{
	struct crowd c = {.e = e};
	int rc = resource_sites(old, see_holder, &c);

	return rc < 0 ? rc : seq < e->rejoin_floor && !c.others;
}

/* It is as good as any: others hear of it, and our driver acts on it. */
static int confirm(struct ch_engine *e, struct record *r, uint64_t seq)
{
	struct strbuf buf = STRBUF_INIT;
	struct report said;
	struct record old;
	uint64_t at;
	int rc;

	record_init(&old);
	rc = record_copy(&old, r);
	if (rc == 0)
		rc = forget_clock(e, r->name);
	if (rc == 0)
		rc = keep_save_confirmed(e, r, &old, seq);
	if (rc == 0)
		rc = report_load(e, r->name, &e->cfg.self, &buf, &said, &at);
	if (rc == 0) {
		/* Others have what a life that is lost said last. */
		said.state = STATE_PENDING;
		said.message = ch_str("");
		rc = say(e, r, &said);
	}
	if (rc == 0 || rc == -ENOENT)
		rc = plan_changed(e, r->name);
	strbuf_release(&buf);
	record_release(&old);
	return rc;
}

int rejoin_taken(struct ch_engine *e, const struct peer *p,
		 const struct record *theirs)
{
	struct vv clock;
	struct record r;
	uint64_t seq;
	bool same;
	int rc;

	if (e->rejoin_round < 2 || p->asked_round < 2)
		return 0;
	vv_init(&clock);
	record_init(&r);
	rc = keep_load(e, theirs->name, &r, &seq);
	if (rc == 0 && rejoin_is_unconfirmed(e, theirs->name, seq, &rc)) {
		rc = restored_clock(e, &r, &clock);
		same = rc == 0 && same_life(theirs, &clock);
		if (same)
			rc = confirm(e, &r, seq);
	}
	record_release(&r);
	vv_release(&clock);
	return rc == -ENOENT ? 0 : rc;
}

/* --- The end. ------------------------------------------------------------- */

/* Versions of @r that @clock had seen go; is it still there? */
static bool drop_restored(struct record *r, const struct vv *clock)
{
	record_drop(r, ENTRY_MADE, ch_str(""), clock);
	record_drop(r, ENTRY_SPEC, ch_str(""), clock);
	return resource_is_there(r);
}

/* What is left was written by one who saw no deletion: it stands with its sites
 * and all else, which others may have seen and forgotten. */
static int write_again(struct ch_engine *e, struct record *left,
		       const struct record *r, const struct vv *clock)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->n; i++) {
		struct entry x = r->v[i];
		struct site_value site;

		if (x.type < ENTRY_DRIVER || x.type > ENTRY_PATCH ||
		    !vv_covers(clock, &x.dot) ||
		    record_get(r, x.type, x.sub) != &r->v[i])
			continue;
		if ((x.type == ENTRY_SITE || x.type == ENTRY_WITNESS) &&
		    (site_value_decode(x.value, &site) < 0 || !site.in))
			continue;
		x.dot = engine_dot(e);
		rc = record_write(left, NULL, &x);
	}
	return rc;
}

static int orphan_job(struct ch_engine *e, struct ch_bytes name)
{
	struct strbuf buf = STRBUF_INIT, value = STRBUF_INIT;
	struct stored_job job;
	int rc = db_get(e, COL_JOB, name, &buf);

	if (rc == 0 && stored_job_decode(strbuf_bytes(&buf), &job) < 0)
		rc = -EIO;
	if (rc == 0) {
		job.phase = JOB_ORPHANED;
		stored_job_encode(&job, &value);
		rc = strbuf_error(&value);
	}
	if (rc == 0)
		rc = db_put(e, COL_JOB, name, strbuf_bytes(&value));
	strbuf_release(&value);
	strbuf_release(&buf);
	return rc == -ENOENT ? 0 : rc;
}

/* Nobody else knows it any more. */
static int set_aside(struct ch_engine *e, struct record *r, uint64_t seq,
		     const struct vv *clock)
{
	struct strbuf image = STRBUF_INIT;
	struct entry tomb = {
		.type = ENTRY_TOMB,
		.dot.actor = e->me,
		.lineage = resource_lineage(r),
		.value = engine_name(e),
		.hlc = engine_hlc(e),
	};
	bool there = false, awaited = false;
	const struct entry *told;
	struct record left;
	size_t pos = 0;
	int rc;

	record_init(&left);
	image_make(r, NULL, 0, &image);
	tomb.image = strbuf_bytes(&image);
	rc = strbuf_error(&image);
	if (rc == 0)
		rc = trash_number(e, &tomb.number);
	if (rc == 0)
		rc = trash_put(e, r, &tomb);
	if (rc == 0)
		update_notice(e, "held", r->name, engine_name(e), NULL,
			      ch_str(""),
			      "no other site knows it any more: it is set "
			      "aside in .trash, from where it can be brought "
			      "back");
	if (rc == 0)
		rc = record_copy(&left, r);
	if (rc == 0)
		rc = forget_clock(e, r->name);
	if (rc == 0)
		there = drop_restored(&left, clock);
	if (rc == 0 && there)
		rc = write_again(e, &left, r, clock);
	/* Who deleted another life of that name waits for our word. */
	while ((told = record_next(&left, ENTRY_TOMB, &pos)))
		awaited |= !vv_covers(clock, &told->dot);
	if (rc == 0 && !there)
		rc = orphan_job(e, r->name);
	if (rc == 0 && (there || awaited)) {
		rc = keep_save_confirmed(e, &left, r, seq);
	} else if (rc == 0) {
		if (vv_get(&r->clock, &e->writer))
			e->writer_spent = true; /* See keep.c. */
		rc = keep_forget(e, r);
	}
	strbuf_release(&image);
	record_release(&left);
	return rc;
}

static int judge(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct ch_engine *e = arg;
	struct crowd c = {.e = e};
	struct vv clock;
	struct record r;
	uint64_t seq;
	int rc, bad;

	(void)value;
	vv_init(&clock);
	record_init(&r);
	/* As this round left it: it may be confirmed by now. */
	rc = keep_load(e, key, &r, &seq);
	if (rc < 0 || !rejoin_is_unconfirmed(e, key, seq, &bad) || bad < 0) {
		rc = rc < 0 ? rc : bad;
		goto out;
	}
	rc = resource_sites(&r, see_holder, &c);
	if (rc == 0)
		rc = restored_clock(e, &r, &clock);
	if (rc < 0)
		goto out;
	if (!c.others)
		rc = forget_clock(e, key);
	else if (c.restored == c.others || !resource_is_there(&r) ||
		 !same_life(&r, &clock)) /* Nothing old is left of it. */
		rc = confirm(e, &r, seq);
	else
		rc = set_aside(e, &r, seq, &clock);
out:
	record_release(&r);
	vv_release(&clock);
	return rc == -ENOENT ? 0 : rc;
}

static int end(struct ch_engine *e)
{
	int rc = db_scan(e, COL_RECORD, ch_str(""), ch_str(""), judge, e);

	e->rejoin_floor = 0;
	e->rejoin_round = 0;
	if (rc == 0)
		rc = db_del(e, COL_SYS, ch_str("rejoin"));
	for (size_t i = 0; rc == 0 && i < e->n_peers; i++) {
		struct peer *p = e->peers[i];

		if (!p->answered_round)
			continue;
		p->answered_life = e->amnesia;
		rc = member_cursor(e, p);
	}
	/* Drivers look at all of it, as after a start. */
	e->scrubbed = false;
	update_by(e, e->now_ms);
	return rc < 0 ? rc : plan_changed(e, ch_str(""));
}

int rejoin_tick(struct ch_engine *e)
{
	bool all = true;

	if (e->reborn)
		return 0;
	for (size_t i = 0; i < e->n_peers; i++) {
		struct peer *p = e->peers[i];
		int rc = p->answering ? answer_some(e, p) : 0;

		if (rc < 0)
			return rc;
		all &= !p->is_required || p->answered_round >= e->rejoin_round;
	}
	if (!e->rejoin_floor || !all || e->rejoin_strangers)
		return 0;
	if (e->rejoin_round == 2)
		return end(e);
	e->rejoin_round = 2;
	update_by(e, e->now_ms);
	return 0;
}

bool rejoin_awaits(const struct ch_engine *e, const struct peer *p)
{
	return e->rejoin_floor && p->is_required &&
	       p->answered_round < e->rejoin_round;
}
