/*
 * record.h -- what is stored of a resource, and how two copies become one.
 *
 * A record is a clock (which writes have been seen) and a set of entries
 * (what they left). Each entry stands for one write: its dot, the register it
 * wrote, and what it put there. Registers are named by a type and a sub-key:
 * the spec, the driver, the patch of a site, whether a site is in.
 *
 * Invariants (record_check() proves them):
 *
 *   R1  Every entry's dot is covered by the clock.
 *   R2  No dot occurs twice.
 *   R3  Entries are sorted by (type, sub, dot): the same state is the same
 *       bytes on every site.
 *
 * Join: an entry survives when the other side has it too, or has not seen its
 * dot. That is commutative, associative and idempotent, and a write removes
 * exactly what its writer had seen (dotted version vector sets: vv.h's paper,
 * section 4; optimized add-wins maps: Bieniusa et al., RR-8083).
 *
 * What this version does not know (entry types, tags) is kept and passed on.
 *
 * The encoding is drawn in record.c. Ownership: everything a record points at
 * is in its arena.
 */
#ifndef CHEOPS_CORE_RECORD_H
#define CHEOPS_CORE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/err.h"
#include "core/id.h"
#include "core/vv.h"

#define RECORD_FORMAT 1
#define RECORD_ENTRIES_MAX 8192
#define RECORD_SPECS_MAX 256 /* A user's write may not make more; joins may. */
#define RECORD_LEN_MAX (1024u * 1024u)

enum record_kind {
	RECORD_STATE = 1, /* The desired state is one document. */
};

/* Stored and sent: the numbers stay. Others are kept, unread. */
enum entry_type {
	ENTRY_MADE = 1,    /* mkdir: lineage. */
	ENTRY_SPEC = 2,    /* A version of the desired state. */
	ENTRY_TOMB = 3,    /* Deleted: what the resource was before. */
	ENTRY_DRIVER = 4,  /* value: the word. */
	ENTRY_MODE = 5,    /* sub "" or "spec"; value: struct mode_value. */
	ENTRY_SITE = 6,    /* sub: site; value: struct site_value. */
	ENTRY_WITNESS = 7, /* As SITE: stores and shows, drives nothing. */
	ENTRY_PATCH = 8,   /* sub: site; a body of length 0: no patch. */
	ENTRY_POLICY = 9,  /* sub: the key; value: the word. */
	ENTRY_HOLD = 10,   /* value: u64 ms, from when a site learns of it. */
};

enum { /* Entry flags. */
	ENTRY_SECRET = 1u << 0,
	ENTRY_MERGED = 1u << 1, /* By a site: fields of concurrent versions. */
};

struct body_ref {
	struct ch_hash hash;
	uint64_t len;
};

struct entry {
	uint16_t type;
	struct ch_bytes sub; /* At most 255 bytes. */
	struct dot dot;
	struct ch_bytes payload; /* As written; the rest is read from it. */

	uint64_t hlc;
	struct ch_id lineage;
	struct ch_bytes user;
	struct body_ref body;
	bool has_base;
	struct ch_hash base_vid;
	struct body_ref base;
	uint8_t base_syntax;
	uint8_t syntax; /* enum doc_syntax */
	uint32_t flags;
	struct ch_bytes value;
	struct ch_bytes image; /* TOMB: see image.h. */
	uint32_t number;       /* TOMB: N of .trash/NAME@SITE-N. */
	/* Written by a rename: to what name. Where it is a TOMB, nothing was
	 * deleted; SITE and WITNESS say who has to hear of it. */
	struct ch_bytes to;
	/* TOMB: the MADE entry of that rename, under the new name; and the
	 * clock of the record when it was renamed (a vector). */
	struct dot made;
	struct ch_bytes seen;
	/* TOMB that moved, MADE: how often the lineage was renamed till then.
	 */
	uint32_t renames;
	struct ch_bytes from; /* MADE: names it had, the last one first. */
	/* Written first by that dot, under that name: a rename brought it here.
	 * No name: it was written here. */
	struct dot origin;
	struct ch_bytes origin_name;
	size_t origin_at; /* Where the tag that says so begins. */
};

struct record {
	struct ch_bytes name;
	uint8_t kind;
	uint16_t flags;
	struct vv clock;
	struct entry *v;
	size_t n, alloc;
	struct ch_bytes extra; /* Of later versions: kept. */
	struct arena arena;
};

void record_init(struct record *r);
void record_release(struct record *r);
/* A record that has seen nothing. */
int record_new(struct record *r, struct ch_bytes name);

void record_encode(const struct record *r, struct strbuf *sb);
/* @r is initialized. 0; -EPROTO with the sentence; -ENOMEM. @in may go. */
int record_decode(struct ch_bytes in, struct record *ret_record,
		  struct err *reterr);
int record_copy(struct record *to, const struct record *from);

/* The join of @a and @b, into the initialized @ret. 0 or -ENOMEM. */
int record_merge(const struct record *a, const struct record *b,
		 struct record *ret);
/* Same state: then the same bytes. */
bool record_equal(const struct record *a, const struct record *b);
void record_check(const struct record *r);

/*
 * Write: of the register (@e->type, @e->sub) remove what @ctx has seen (NULL:
 * all that is there), add @e (NULL payload is not allowed) under its dot, which
 * must be new. 0 or -ENOMEM: then nothing has changed, but the record may take
 * no further write.
 */
int record_write(struct record *r, const struct vv *ctx,
		 const struct entry *e);
/* Remove without writing. Never fails. */
void record_drop(struct record *r, uint16_t type, struct ch_bytes sub,
		 const struct vv *ctx);

/* The one write of that dot, if it is there. The clock still covers it. */
void record_drop_dot(struct record *r, struct dot dot);

/* The @i-th entry of a type from place *pos on; NULL at the end. */
const struct entry *record_next(const struct record *r, uint16_t type,
				size_t *pos);
/* The entry of a register that counts: newest by (hlc, vid); NULL. */
const struct entry *record_get(const struct record *r, uint16_t type,
			       struct ch_bytes sub);

/* Payload from the fields of @e, appended to @sb. */
void entry_payload(const struct entry *e, struct strbuf *sb);
/* @e's payload as a rename copies it: with the origin it has, or its dot under
 * @name. Its version stays the same. */
void entry_payload_moved(const struct entry *e, struct ch_bytes name,
			 struct strbuf *sb);
/* Who wrote it first. */
const struct dot *entry_origin(const struct entry *e);
/* The @i-th name in @e->from; 0, or -ENOENT. */
int entry_from(const struct entry *e, size_t i, struct ch_bytes *ret_name);
/* Fields of @e from e->payload. 0 or -EPROTO. */
int entry_parse(struct entry *e);
/* The version's id: hash of its content and origin. */
void entry_vid(const struct entry *e, struct ch_hash *ret_vid);
/* Which of two counts: > 0 when @a. A total order, the same everywhere. */
int entry_rank(const struct entry *a, const struct entry *b);

#endif
