/*
 * engine.h -- the inside of the engine: what its parts share.
 *
 *	engine.c    the door: ch_step() and its one switch
 *	update.c    what goes out
 *	db.c        the store, and over it what this round changed
 *	keep.c      records kept and let go
 *	body.c      bodies, likewise
 *	parcel.c    how much of them came before what needs them
 *	trash.c     what was deleted, and can be restored
 *	change.c    what users ask for (edit.h: its parts)
 *	move.c      renames, and what did not know of them
 *	sites.c     the file sites, read and edited
 *	merge.c     concurrent versions that become one
 *	discard.c   those that a user does not want
 *	member.c    sites known, and whose heartbeat is heard
 *	gone.c      sites that will never be back
 *	outbox.c    what each site has yet to be told
 *	exchange.c  messages in, and their answers
 *	compose.c   messages out
 *	rejoin.c    a store that is older than what others know of it
 *	plan.c      which driver job is due (sight.h: its parts)
 *	guard.c     many removals at once are stopped
 *	hold.c      how long nothing may be done
 *	act.c       what is not settled, and when to look at it again
 *	wait.c      users who wait until it is done
 *
 * Convention: a function that returns int gives 0, or below zero when the
 * engine cannot go on (-ENOMEM, -EIO): then ch_step() returns that. What a
 * user or a site did wrong is an answer, not such an error.
 */
#ifndef CHEOPS_CORE_ENGINE_H
#define CHEOPS_CORE_ENGINE_H

#include "core/arena.h"
#include "core/cheops.h"
#include "core/err.h"
#include "core/list.h"
#include "core/map.h"
#include "core/record.h"
#include "core/resource.h"
#include "core/stored.h"
#include "core/vv.h"

struct context;
struct peer;
struct act;
struct gone;
struct waiter;

#define CH_RUNNING_MAX 16 /* Driver jobs under way. */

#define DB_BUCKETS 1024

struct fact;

struct db {
	const struct ch_reader *store;
	struct fact *bucket[DB_BUCKETS];
	struct list used; /* Facts, that used last behind. */
	size_t n, n_long, bytes;
	uint64_t round;
};

struct ch_engine {
	struct ch_config cfg;
	struct actor me;     /* This life. */
	struct actor writer; /* Of our dots: me, with a nonce that grows. */
	bool writer_spent;   /* The next dot has another: see keep.c. */
	uint64_t seq;	     /* Of our last dot. */
	uint64_t seq_noted;  /* As our life's note says. */
	uint64_t hlc;      /* Last one issued or seen. */
	uint64_t out_seq;  /* Last outbox sequence. */
	uint64_t last_id;  /* Of sends and jobs. */
	uint64_t rng;
	uint64_t now_ms, wall_ms, start_ms;
	uint64_t run_ms;   /* Running time of all earlier lives. */
	uint64_t run_saved_ms; /* now_ms when it was last stored. */
	uint64_t run_close_ms; /* Until then it is stored every few seconds. */
	uint64_t tended_ms;    /* now_ms when trash was last gone through. */
	struct ch_bytes user;  /* Who submitted what is being done. */
	uint64_t count;    /* Resources that are there. */
	bool started;

	struct db db;
	struct ch_update *u; /* Of the step under way. */

	char *labels; /* What cfg.labels points at, once a user wrote them. */
	struct peer **peers; /* Sorted by nothing; few. */
	size_t n_peers, alloc_peers;

	struct gone *gone; /* Sites declared gone. */
	size_t n_gone, alloc_gone;
	size_t next_gone; /* The first one that the next beat tells of. */

	struct map acts; /* Name -> struct act: what is not settled. */
	struct act **due; /* Binary heap by due_ms. */
	size_t n_due, alloc_due;
	struct act *running[CH_RUNNING_MAX];
	struct act *look_first, **look_last; /* To be looked at. */
	struct act *slot_first, **slot_last; /* They wait for a slot. */
	struct strbuf scrub; /* The last name that was observed. */
	uint64_t scrub_ms;   /* When the next one is. */
	bool scrubbed;       /* All records were looked at once. */

	/* See rejoin.c. */
	uint32_t amnesia;      /* Lives before this one are incomplete; 0. */
	uint32_t reborn;       /* This engine ends; the next life, at least. */
	uint64_t rejoin_floor; /* Records stored before are unconfirmed; 0. */
	uint32_t rejoin_whole; /* What we wrote since this life is not old. */
	size_t rejoin_strangers; /* Holders that we have never heard of. */
	uint8_t rejoin_round;

	struct waiter *waiters;
	struct map parcels; /* Hash -> struct parcel. */
	struct ch_hash *sweep; /* Bodies that perhaps nobody needs. */
	size_t n_sweep, alloc_sweep;
	struct ch_hash *fresh; /* That came in this round, and nobody needs. */
	size_t n_fresh, alloc_fresh;
	struct ch_hash *lost; /* That nobody needs any more, since this round. */
	size_t n_lost, alloc_lost;
};

/* update.c */
void update_done(struct ch_engine *e, uint64_t token, int err, const char *fmt,
		 ...) __attribute__((format(printf, 4, 5)));
/* A write is done, and this is what its writer has seen with it. */
void update_written(struct ch_engine *e, uint64_t token,
		    struct ch_bytes context);
void update_stale(struct ch_engine *e, enum ch_stale_what what,
		  struct ch_bytes name, struct ch_bytes site, bool added);
/* @version NULL: none. */
void update_notice(struct ch_engine *e, const char *event,
		   struct ch_bytes resource, struct ch_bytes site,
		   const struct version *version, struct ch_bytes user,
		   const char *fmt, ...)
	__attribute__((format(printf, 7, 8)));
struct ch_job *update_job(struct ch_engine *e);
struct ch_send *update_send(struct ch_engine *e);
struct ch_reply *update_reply(struct ch_engine *e, uint64_t token,
			      unsigned int status);
/* The engine has to be stepped by then. */
void update_by(struct ch_engine *e, uint64_t ms);

/* db.c */
void db_init(struct db *db, const struct ch_reader *store);
void db_release(struct db *db);
void db_round(struct db *db); /* What the last round changed is stored. */
int db_get(struct ch_engine *e, enum ch_col col, struct ch_bytes key,
	   struct strbuf *ret_value); /* 0, -ENOENT, below. */
/* 1, 0, below. */
int db_has(struct ch_engine *e, enum ch_col col, struct ch_bytes key);
int db_put(struct ch_engine *e, enum ch_col col, struct ch_bytes key,
	   struct ch_bytes value);
int db_del(struct ch_engine *e, enum ch_col col, struct ch_bytes key);
/* As db_del(), of a key that was made for this alone: it is released. */
int db_del_key(struct ch_engine *e, enum ch_col col, struct strbuf *key);
/* The same of what may be as before after a crash: nobody waits for the disk.
 */
int db_drop(struct ch_engine *e, enum ch_col col, struct ch_bytes key);
int db_jot(struct ch_engine *e, enum ch_col col, struct ch_bytes key,
	   struct ch_bytes value);
/* A number that memory alone keeps, and may forget at any time. */
int db_note(struct ch_engine *e, struct ch_bytes key, uint64_t n);
bool db_noted(struct ch_engine *e, struct ch_bytes key, uint64_t *ret_n);
void db_unnote(struct ch_engine *e, struct ch_bytes key);
int db_put_u64(struct ch_engine *e, enum ch_col col, const char *key,
	       uint64_t v);
int db_get_u64(struct ch_engine *e, enum ch_col col, const char *key,
	       uint64_t *ret_v); /* 0 and 0 when it is not there. */
/* Of what is stored, without this round's changes. */
int db_scan(struct ch_engine *e, enum ch_col col, struct ch_bytes prefix,
	    struct ch_bytes from, ch_scan_fn *fn, void *arg);

/* engine.c */
uint64_t engine_hlc(struct ch_engine *e);
void engine_see_hlc(struct ch_engine *e, uint64_t hlc);
struct dot engine_dot(struct ch_engine *e);
uint64_t engine_id(struct ch_engine *e);
struct ch_bytes engine_name(const struct ch_engine *e); /* Our site's. */
/* How long this agent has run, in all its lives. */
uint64_t engine_run(const struct ch_engine *e);
/* Something counts by that time until then: a crash may lose little of it. */
void engine_save_run_until(struct ch_engine *e, uint64_t ms);

/* keep.c */
/* A record and where it stands. @ret is initialized. 0, -ENOENT, below. */
int keep_load(struct ch_engine *e, struct ch_bytes name, struct record *ret,
	      uint64_t *ret_seq);
/* As a new record for @name: knows what a dropped one has seen. */
int keep_fresh(struct ch_engine *e, struct ch_bytes name, struct record *ret);
/*
 * Store @r in place of @old (NULL: none was there), with all that follows
 * from the change: bodies, outbox, trash, count, notices, plan. @from: the
 * site it came from, which needs nothing when @r is what it sent (@theirs);
 * NULL: a write of ours.
 */
int keep_save(struct ch_engine *e, struct record *r, const struct record *old,
	      uint64_t old_seq, const struct ch_id *from,
	      const struct record *theirs);
/*
 * Forget @name, but not its .trash, when that may be: it is not held here, and
 * all who do have what we know of it; or it is deleted, and nobody else has a
 * record of that (a certificate stays). Nothing of it may be on a platform.
 */
int keep_settle(struct ch_engine *e, struct ch_bytes name);
/* As keep_save() of a write of ours, of a record that was unconfirmed. */
int keep_save_confirmed(struct ch_engine *e, struct record *r,
			const struct record *old, uint64_t old_seq);
/* Remove everything about @r here, but not from .trash. */
int keep_forget(struct ch_engine *e, const struct record *r);
/*
 * May @r be stored? It could not be read again beyond the limits of record.h.
 * What users write stays so far below them (@share of 4, in bytes) that it can
 * still be deleted, and joined with what others wrote.
 */
bool keep_fits(const struct record *r, unsigned int share);
/* Somebody must hold what is there: where @r names nobody, we become its
 * witness. @leaving: so too when all that it names are about to leave. */
int keep_hold(struct ch_engine *e, struct record *r, bool leaving);

/* body.c */
bool body_has(struct ch_engine *e, const struct body_ref *body, int *ret_rc);
/* Store a body that came whole. */
int body_put(struct ch_engine *e, const struct ch_hash *hash,
	     struct ch_bytes body);
/* Append a body. -ENOENT: a part of it is not here. */
int body_read(struct ch_engine *e, const struct body_ref *body,
	      struct strbuf *out);
enum body_came {
	BODY_NOT,     /* It is here already, or this is not its next piece. */
	BODY_PART,    /* Stored; more is missing. */
	BODY_WHOLE,   /* Stored; it was the last piece. */
	BODY_SPOILED, /* All pieces are there, and do not make that body. */
};
/* A chunk from a site. enum body_came, or below. */
int body_chunk(struct ch_engine *e, const struct ch_hash *hash, uint32_t no,
	       uint64_t len, struct ch_bytes bytes);
/* First chunk of @body that is not here. */
int body_missing(struct ch_engine *e, const struct body_ref *body,
		 uint32_t *ret_chunk);
/* What @who needs was @old (NULL: nothing), and is @r (NULL: nothing). */
int body_move_refs(struct ch_engine *e, struct ch_bytes who,
		   const struct record *old, const struct record *r);
/* @who needs what stands in @image, or does no more. */
int body_move_image(struct ch_engine *e, struct ch_bytes who,
		    struct ch_bytes image, bool needed);
/* At the start, and now and then: see what is marked, to be swept unless it
 * is needed. */
int body_start(struct ch_engine *e);
int body_sweep(struct ch_engine *e); /* At the start of a round. */
/* At its end: mark what nobody needs yet, remove what nobody needs more. */
int body_settle(struct ch_engine *e);

/* parcel.c */
/* May so much more come from @p? */
bool parcel_fits(const struct peer *p, uint64_t bytes);
/* So much of that body is stored now, and came from @from last. */
int parcel_set(struct ch_engine *e, const struct ch_hash *hash,
	       struct peer *from, uint64_t bytes);
/* It is needed, or gone. */
void parcel_end(struct ch_engine *e, const struct ch_hash *hash);
void parcel_release(struct ch_engine *e);

/* trash.c */
/* Tombstones that @old (NULL: none) did not have go to .trash, unless @r lives
 * on; what lives again is there no more. */
int trash_fill(struct ch_engine *e, const struct record *r,
	       const struct record *old);
/* What @tomb deleted of @r goes to .trash. */
int trash_put(struct ch_engine *e, const struct record *r,
	      const struct entry *tomb);
/* The N of .trash/NAME@SITE-N: greater than any that we still show. */
int trash_number(struct ch_engine *e, uint32_t *ret_n);
/* That entry is gone from here. -ENOENT. */
int trash_drop(struct ch_engine *e, struct ch_bytes trash);
/* Now and then: what has been there for 30 days that the agent ran. */
int trash_expire(struct ch_engine *e);

/* change.c */
int change_submit(struct ch_engine *e, const struct ch_submit *s);
/* Write @entry in place of all that its register holds; its dot, time and
 * payload are made here. */
int change_put(struct ch_engine *e, struct record *r, struct entry *entry);
/* Take a site that is gone out of what is stored of @name. */
int change_without(struct ch_engine *e, struct ch_bytes name,
		   const struct ch_id *site);
/* How long after a mkdir a resource is held back unless it is quiet. */
#define CHANGE_FRESH_MS 1000

/* All that an earlier resource of this name left goes, but who is still owed
 * its removal, and where others moved. @lineage is here from now on. */
int change_clear(struct ch_engine *e, struct record *r,
		 const struct ch_id *lineage);
/* A write that did not know of a deletion overruled it: write down what that
 * means. */
int change_settle(struct ch_engine *e, struct record *r);

/* move.c */
int move_rename(struct ch_engine *e, const struct ch_submit *s);
/* @lineage, deleted here, is now @to, where its MADE entry is @made. Whoever
 * knows of the deletion hears of that. */
int move_restored(struct ch_engine *e, struct ch_bytes name,
		  const struct entry *made, struct ch_bytes to,
		  struct ch_bytes user);
/* The MADE entry of @lineage in @r, which was @name before: written. @was: what
 * it was there; NULL. */
int move_make(struct ch_engine *e, struct record *r,
	      const struct ch_id *lineage, struct ch_bytes name,
	      const struct entry *was);
/*
 * Where @lineage went, that moved from @r: 1 and the record (initialized, and
 * its place) of where it is now, or was deleted; 0: that is not known here yet;
 * -ENOENT: it is gone, and so is the record; below.
 */
int move_find(struct ch_engine *e, const struct record *r,
	      const struct ch_id *lineage, struct record *ret);
/* Bring there what @name still has of lineages that moved. 1: something was;
 * *ret_due_ms: then something is left to others until then; 0; below. */
int move_bring(struct ch_engine *e, struct ch_bytes name, uint64_t since_ms,
	       uint64_t *ret_due_ms);
/* Is there such? Then it may not be forgotten. */
bool move_is_open(const struct record *r);

/* sites.c */
/* Edit @r as the file sites says. @seen: what its writer has seen, NULL: all.
 * 0; 1 when @s was answered with what is wrong; below. */
int sites_write(struct ch_engine *e, struct record *r, const struct record *old,
		const struct ch_submit *s, const struct context *seen);
/* The last site has left @r: @site is its witness, so that it is held. */
int sites_last(struct ch_engine *e, struct record *r,
	       const struct ch_id *site, struct ch_bytes name);
/* One site in or out, or its witness, in @r. */
int sites_set(struct ch_engine *e, struct record *r, uint16_t type,
	      const struct ch_id *site, struct ch_bytes name, bool in);

/* merge.c */
/* Do versions of spec or of a patch in @r stay apart, because no field merge
 * makes one of them? @ret_why: a sentence, or "". */
int merge_apart(struct ch_engine *e, const struct record *r, bool *ret_apart,
		const char **ret_why);

/* discard.c */
int discard_submit(struct ch_engine *e, const struct ch_submit *s);
int discard_start(struct ch_engine *e);

/* member.c */
struct peer *member_find(const struct ch_engine *e, const struct ch_id *site);
struct peer *member_named(const struct ch_engine *e, struct ch_bytes name);
/* A site by its name, ourselves included. -ENOENT: never heard of. */
int member_id(const struct ch_engine *e, struct ch_bytes name,
	      struct ch_id *ret_site);
/* Why member_id() does not know it, for people. */
void member_unknown(const struct ch_engine *e, struct ch_bytes name,
		    struct strbuf *out);
/* "" when it is not known. */
struct ch_bytes member_name(const struct ch_engine *e,
			    const struct ch_id *site);
enum ch_heartbeat member_heartbeat(const struct ch_engine *e,
				   const struct ch_id *site);
int member_start(struct ch_engine *e);
int member_tick(struct ch_engine *e);
void member_release(struct ch_engine *e);
int member_set_address(struct ch_engine *e, const struct ch_submit *s);
int member_set_labels(struct ch_engine *e, const struct ch_submit *s);

/* outbox.c */
enum out_kind { OUT_RECORD = 1, OUT_REPORT = 2, OUT_MARK = 3 };
uint64_t outbox_next(struct ch_engine *e);
int outbox_put(struct ch_engine *e, const struct ch_id *site, uint8_t kind,
	       struct ch_bytes name, uint64_t old_seq, uint64_t seq);
int outbox_del(struct ch_engine *e, const struct ch_id *site, uint64_t seq);
/* At the start of a round: fill the windows on the store that are empty. */
int outbox_round(struct ch_engine *e);
/* 1 when @site has yet to acknowledge @seq; 0; below. */
int outbox_has(struct ch_engine *e, const struct ch_id *site, uint64_t seq);

/* exchange.c */
int exchange_recv(struct ch_engine *e, const struct ch_event *ev);
int exchange_answer(struct ch_engine *e, const struct ch_event *ev);
int exchange_unsent(struct ch_engine *e, const struct ch_event *ev);
/* Something is forgotten: what is under way to us may speak of it. */
int exchange_fence(struct ch_engine *e);
/* Send what is due (compose.c). */
int exchange_pump(struct ch_engine *e);

/* rejoin.c */
int rejoin_start(struct ch_engine *e);
int rejoin_tick(struct ch_engine *e);
/* Our life, and the last dot of it, are noted in the store. */
int rejoin_note_life(struct ch_engine *e);
/* A site is known that was not. */
int rejoin_met(struct ch_engine *e);
/* May what is stored of @name, at @seq, neither be sent nor put in force? */
bool rejoin_is_unconfirmed(struct ch_engine *e, struct ch_bytes name,
			   uint64_t seq, int *ret_rc);
/* An unconfirmed record is about to change: keep what it had seen. */
int rejoin_keep_clock(struct ch_engine *e, const struct record *old,
		      uint64_t seq);
/* An unconfirmed record is @r now, as others say: perhaps it names sites that
 * it did not when it was restored. */
int rejoin_named(struct ch_engine *e, const struct record *r);
/* Should nobody else hold @old, an unconfirmed record? What a user makes of it
 * is confirmed. 1, 0, below. */
int rejoin_is_alone(struct ch_engine *e, const struct record *old,
		    uint64_t seq);
/* @p's record was joined with ours. */
int rejoin_taken(struct ch_engine *e, const struct peer *p,
		 const struct record *theirs);
/* What @p knows of our earlier lives. */
int rejoin_hello(struct ch_engine *e, const struct peer *p,
		 const struct ch_life *known);
/* The round of the question that it must be asked now; 0: none. */
uint8_t rejoin_asks(const struct ch_engine *e, struct peer *p);
/* It asks. */
int rejoin_asked(struct ch_engine *e, struct peer *p, uint32_t epoch,
		 uint32_t nonce, uint8_t round);
/* It has answered. */
int rejoin_mark(struct ch_engine *e, struct peer *p, struct ch_bytes mark);
/* Is its answer awaited? */
bool rejoin_awaits(const struct ch_engine *e, const struct peer *p);

/* plan.c */
/* Something about @name changed: look at it again in this round. */
int plan_touch(struct ch_engine *e, struct ch_bytes name);
/* A new resource: hold it back a moment. */
int plan_fresh(struct ch_engine *e, struct ch_bytes name);
int plan_quiet(struct ch_engine *e, struct ch_bytes name);
/* What waits to be tried again need not wait. */
void plan_hurry(struct ch_engine *e, struct ch_bytes name);
bool plan_is_fresh(const struct ch_engine *e, struct ch_bytes name);
int plan_ran(struct ch_engine *e, const struct ch_ran *ran);
/* A driver is at work on that body. */
bool plan_uses(const struct ch_engine *e, const struct ch_hash *body);
int plan_changed(struct ch_engine *e, struct ch_bytes name);
/* The same of what has that name on a platform. */
int plan_object(struct ch_engine *e, struct ch_bytes object);
int plan_start(struct ch_engine *e);
int plan_run(struct ch_engine *e);
int job_put(struct ch_engine *e, struct ch_bytes name,
	    const struct stored_job *job);
void plan_release(struct ch_engine *e);
/* Who removed what lately: sites withdrawn by @group_id within grace. */
int plan_removed(struct ch_engine *e, struct ch_bytes name, uint64_t group_id,
		 const struct ch_id *site);
size_t plan_removed_by(const struct ch_engine *e, struct ch_bytes name,
		       uint64_t group_id, struct ch_id *v, size_t max);
/* Was that site's withdrawal so recent that it can be undone whole? */
bool plan_is_in_grace(const struct ch_engine *e, struct ch_bytes name,
		      const struct ch_id *site);
/* What we say of a resource, stored and put in the holders' outboxes. Fields
 * of @say that are set by it: site, epoch, nonce, number, changed_ms. Observed:
 * NULL p: as it was. 0, or below. */
int say(struct ch_engine *e, const struct record *r, struct report *say);
/* The same of what is now called as @r is, and was @from: no news to anyone.
 * @object: as in struct stored_job. 0, also where nothing was said. */
int say_moved(struct ch_engine *e, const struct record *r, struct ch_bytes from,
	      struct ch_bytes object);
/* Nothing any more. */
int say_nothing(struct ch_engine *e, struct ch_bytes name);
/* Where our report stands in outboxes; 0: there is none. */
int report_seq(struct ch_engine *e, struct ch_bytes name, uint64_t *ret_seq);
/* It stands there now. */
int report_move(struct ch_engine *e, struct ch_bytes name, uint64_t seq);

/* guard.c */
struct guard_cause { /* Why something is to be removed. */
	const char *what;
	struct ch_bytes user, at; /* By whom, and on which site. */
};
/* May the driver remove it? 1: yes; 0: it is held; below. What is decided here
 * is stored, and in @job. */
int guard_pass(struct ch_engine *e, struct ch_bytes name,
	       struct stored_job *job, const struct guard_cause *cause);
/* It is not to be removed any more. The caller stores @job. */
int guard_void(struct ch_engine *e, struct ch_bytes name,
	       struct stored_job *job);
/* What is held of @from is called @to now. */
int guard_rename(struct ch_engine *e, struct ch_bytes from, struct ch_bytes to);
/* The job whose removal is held; @buf holds what it borrows. 0, -ENOENT. */
int guard_held(struct ch_engine *e, struct ch_bytes name, struct strbuf *buf,
	       struct stored_job *ret_job);
int guard_let_go(struct ch_engine *e, const struct ch_submit *s);

/* hold.c */
/* How long @r is still held here, and until when by the wall clock; 0: not. */
int hold_left(struct ch_engine *e, const struct record *r, uint64_t *ret_left,
	      uint64_t *ret_end);
int hold_forget(struct ch_engine *e, struct ch_bytes name);

/* say.c: our own reports. 0, -ENOENT, below; @buf holds what @ret borrows. */
int report_load(struct ch_engine *e, struct ch_bytes name,
		const struct ch_id *site, struct strbuf *buf,
		struct report *ret_report, uint64_t *ret_seq);

/* wait.c */
int wait_start(struct ch_engine *e, const struct ch_submit *s);
void wait_interrupt(struct ch_engine *e, uint64_t token);
/* @name changed, or ("") any site's heartbeat or the time. */
int wait_check(struct ch_engine *e, struct ch_bytes name);
void wait_release(struct ch_engine *e);

#endif
