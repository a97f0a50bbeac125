/*
 * stored.h -- keys and values of the store, but for records and reports.
 *
 *	COL_SYS     "count" u64: resources · "n/" site, u64: those of a site ·
 *	            "run" u64: ms · "trash" u64: last N · "labels" ·
 *	            "part/" hash: a body that is not whole, or spare ·
 *	            "discard/" name, NUL, dot: a version that a user here has
 *	            discarded, and that goes once grace is over -> nothing ·
 *	            "hold/" name: struct stored_hold ·
 *	            "gone/" site: see gone.c ·
 *	            "held/" name: struct stored_held · "guard": see guard.c ·
 *	            "orphan/" driver, NUL, object: struct stored_orphan ·
 *	            "object/" object, NUL, driver: the name of the resource
 *	            that has it, where that is another name ·
 *	            "lineage/" lineage: under which name its job stands ·
 *	            "parked/" lineage: struct stored_job, whose name another
 *	            has to leave first ·
 *	            "stays/" lineage: the name of the resource that it belongs
 *	            to, where another's job was already
 *	COL_RECORD  name -> u64 sequence of its outbox entries, record
 *	COL_REPORT  name, NUL, site -> u64 sequence, u64 received at, report
 *	COL_BODY    hash, u32 chunk -> bytes
 *	COL_REF     hash, name (of trash: NUL, trash name) -> nothing
 *	COL_OUT     site, u64 sequence -> u8 kind, name
 *	COL_PEER    site -> u32 epoch, u32 nonce, u64 number
 *	COL_SITE    site -> struct stored_site
 *	COL_JOB     name -> struct stored_job
 *	COL_TRASH   trash name -> struct stored_trash
 *	COL_CERT    name -> u64 day, vector
 *	COL_LIVE    'm', site, or 'p', the name of a site that the config names
 *	            and that was never heard from -> struct stored_live
 */
#ifndef CHEOPS_CORE_STORED_H
#define CHEOPS_CORE_STORED_H

#include <stdbool.h>
#include <stdint.h>

#include "core/cheops.h"
#include "core/id.h"
#include "core/message.h"
#include "core/report.h"
#include "core/vv.h"

struct stored_site {
	struct ch_bytes name, address, labels, version;
	bool address_by_hand; /* A user wrote it: news do not change it. */
	uint32_t epoch, nonce;
	uint64_t incarnation;
	uint64_t heard_ms;  /* Wall clock; 0: never. */
	uint64_t not_after; /* Of its certificate, seconds; 0: none. */
	struct ch_life prev; /* The life before; epoch 0: unknown. */
	struct ch_bytes said; /* Its address but for what a user wrote. */
};

struct stored_live {
	uint8_t heartbeat; /* enum ch_heartbeat */
	uint64_t heard_ms; /* Wall clock; 0: never. */
	uint32_t rtt_ms;
	uint64_t backlog;
	int64_t skew_ms;
	bool skew_known, rtt_known;
	struct ch_bytes address; /* Where it is dialled. */
	struct ch_bytes why;     /* The last exchange with it failed. */
};

enum job_phase {
	JOB_BEGUN = 1,    /* An apply was asked for; unknown how it went. */
	JOB_APPLIED = 2,  /* It is in force. */
	JOB_ORPHANED = 3, /* Left on the platform: driver none. */
};

struct stored_job {
	uint8_t phase; /* enum job_phase */
	struct ch_bytes driver;
	struct ch_id lineage;
	struct version version;   /* What was asked for or is in force. */
	struct ch_hash effective; /* Of its bytes; zeros while unknown. */
	bool ours; /* The driver said once that what is there is ours. */
	/* Until it said so: of the bytes of earlier applies that were begun,
	 * and of whose end nothing is known. Zeros: bytes that are not known
	 * either. */
	struct ch_hash before[CH_BEFORE_MAX];
	size_t n_before;
	uint8_t policy; /* JOB_KEEP ...: as the record said it last. */
	uint8_t guard;	/* enum job_guard: of its removal. */
	struct ch_bytes object; /* Its name on the platform; empty: ours. */
};

enum job_guard {
	GUARD_NONE = 0,	  /* It is not to be removed, or not yet. */
	GUARD_HELD = 1,	  /* Stopped: it stands in .held. */
	GUARD_PASSED = 2, /* It may go, and was counted. */
};

struct stored_held { /* A removal that the guard stopped. */
	struct ch_id lineage;
	struct ch_bytes driver, cause;
	struct ch_bytes user, at; /* Who removed it, and on which site. */
	uint64_t since_ms;	  /* Wall clock. */
	uint32_t gone;		  /* Removals that went before it. */
};

enum { /* Bits of stored_job.policy. */
	JOB_KEEP = 1u << 0,   /* on-remove keep */
	JOB_REPORT = 1u << 1, /* drift report */
	JOB_IGNORE = 1u << 2, /* drift ignore */
};

struct stored_hold { /* A hold, from when this site learned of it. */
	struct dot dot;	     /* Of its entry; where a rename copied it, of
			      * the first. */
	uint64_t end_run_ms; /* In this agent's running time. */
	uint64_t end_ms;     /* Wall clock, for people. */
};

struct stored_orphan { /* Left on the platform, and ours no more. */
	struct ch_id lineage;
	struct ch_hash effective;
	uint64_t left_ms; /* Wall clock. */
};

struct stored_trash {
	struct ch_bytes name, user;
	struct ch_id site; /* Who deleted it. */
	struct ch_bytes site_name;
	struct ch_id lineage;
	uint64_t deleted_ms; /* Wall clock. */
	uint64_t run_ms;     /* The agent's running time then. */
	struct ch_bytes image;
};

void stored_site_encode(const struct stored_site *s, struct strbuf *sb);
int stored_site_decode(struct ch_bytes in, struct stored_site *ret_site);
void stored_live_encode(const struct stored_live *s, struct strbuf *sb);
int stored_live_decode(struct ch_bytes in, struct stored_live *ret_live);
void stored_job_encode(const struct stored_job *s, struct strbuf *sb);
int stored_job_decode(struct ch_bytes in, struct stored_job *ret_job);
void stored_trash_encode(const struct stored_trash *s, struct strbuf *sb);
int stored_trash_decode(struct ch_bytes in, struct stored_trash *ret_trash);

void stored_hold_encode(const struct stored_hold *s, struct strbuf *sb);
int stored_hold_decode(struct ch_bytes in, struct stored_hold *ret_hold);
void stored_orphan_encode(const struct stored_orphan *s, struct strbuf *sb);
int stored_orphan_decode(struct ch_bytes in, struct stored_orphan *ret_orphan);
void stored_held_encode(const struct stored_held *s, struct strbuf *sb);
int stored_held_decode(struct ch_bytes in, struct stored_held *ret_held);

/* Keys, appended to @sb. */
void key_report(struct strbuf *sb, struct ch_bytes name,
		const struct ch_id *site);
void key_body(struct strbuf *sb, const struct ch_hash *hash, uint32_t chunk);
void key_part(struct strbuf *sb, const struct ch_hash *hash);
void key_ref(struct strbuf *sb, const struct ch_hash *hash,
	     struct ch_bytes who);
void key_out(struct strbuf *sb, const struct ch_id *site, uint64_t seq);
void key_hold(struct strbuf *sb, struct ch_bytes name);
void key_held(struct strbuf *sb, struct ch_bytes name);
void key_orphan(struct strbuf *sb, struct ch_bytes driver,
		struct ch_bytes name);
void key_live(struct strbuf *sb, const struct ch_id *site);
void key_unmet(struct strbuf *sb, struct ch_bytes name);
void key_discard(struct strbuf *sb, struct ch_bytes name,
		 const struct dot *dot);
void key_lineage(struct strbuf *sb, const struct ch_id *lineage);
void key_stays(struct strbuf *sb, const struct ch_id *lineage);
void key_parked(struct strbuf *sb, const struct ch_id *lineage);
void key_object(struct strbuf *sb, struct ch_bytes object,
		struct ch_bytes driver);

#endif
