/*
 * message.h -- what sites say to each other, before it is bytes.
 *
 * A message is a list of frames: one request of POST /v1/exchange, or its
 * answer. cheops-protocol(7) draws the bytes; drivers/net/codec.c is the one
 * place that reads and writes them.
 *
 * Ownership: frames point at memory of whoever made the message.
 */
#ifndef CHEOPS_CORE_MESSAGE_H
#define CHEOPS_CORE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/id.h"

#define MSG_PROTO 1          /* Versions n and n+-1 work together. */
#define MSG_ITEMS_MAX 64     /* In one batch. */
#define MSG_MEMBERS_MAX 1024 /* In one beat. */
#define MSG_WANTS_MAX 64
#define MSG_LEN_MAX (1280u * 1024u) /* All frames of one message. */
#define CHUNK_LEN (256u * 1024u)

enum ch_frame_type {
	FRAME_HELLO, /* Who I am; first in every message. */
	FRAME_BATCH, /* Records and reports, numbered. */
	FRAME_ACK,   /* That batch of yours is durable here, or why not. */
	FRAME_BEAT,  /* Whom I have heard, and when. */
	FRAME_WANT,  /* Send me these chunks. */
	FRAME_CHUNK, /* A piece of a body. */
	FRAME_ASK,   /* Tell me all that we share: my store is an old one. */
};

enum ch_item_kind {
	ITEM_RECORD = 1, /* record.h */
	ITEM_REPORT = 2, /* report.h */
	ITEM_MARK = 3,	 /* What was asked for is told: see rejoin.c. */
};

struct ch_item {
	uint8_t kind; /* enum ch_item_kind; others are kept out, unread. */
	struct ch_bytes bytes;
};

/* Numbers as they stand in ack frames. */
enum ch_ack {
	ACK_OK = 0,
	ACK_STALE = 1,  /* Number not above the last one: ignored. */
	ACK_BODIES = 2, /* Some records wait for bodies: see the WANT frame. */
	ACK_BUSY = 3,   /* Try again after retry_ms. */
	ACK_FULL = 4,   /* No space here. */
};

enum ch_heartbeat { /* Numbers as they stand in beat frames. */
	HB_ALIVE = 0,
	HB_SUSPECT = 1,
	HB_DEAD = 2,
	HB_LEFT = 3,
};

/* One life of a site: from a start to its end. */
struct ch_life {
	uint32_t epoch, nonce;
	uint64_t seq; /* Of its last write. */
};

struct ch_member_news {
	struct ch_id site;
	const char *name;
	const char *address; /* "" when it only dials out. */
	uint32_t epoch;
	uint64_t incarnation;
	uint8_t heartbeat;     /* enum ch_heartbeat, as the sender sees it. */
	uint64_t heard_ago_ms; /* UINT64_MAX: never. */
};

struct ch_want {
	struct ch_hash body;
	uint32_t chunk; /* First one that is missing. */
};

/* clang-format off */
struct ch_frame {
	enum ch_frame_type type;
	union {
		struct {
			uint32_t proto_min, proto_max;
			struct ch_id federation, site, store;
			uint32_t epoch, nonce;
			uint64_t incarnation;
			const char *name, *address, *version, *labels;
			uint64_t wall_ms;    /* The sender's clock. */
			uint32_t heartbeat_ms;
			/* The last batch of yours that is durable here. */
			uint32_t got_epoch, got_nonce;
			uint64_t got_no;
			/* The last one that the sender made for you. */
			uint64_t sent_no;
			/* The life of yours that I heard last; 0: none. A
			 * sender that knows of no lives leaves it out. */
			uint32_t your_epoch, your_nonce;
			bool knows_lives;
			/* Your last life before this one, or a later one than
			 * this, that I know of; epoch 0: none. */
			struct ch_life known;
			/* Hold the answer up to so long; 0: answer at once. */
			uint32_t poll_ms;
		} hello;
		struct {
			uint32_t epoch, nonce; /* The sender's life. */
			uint64_t no;           /* Grows within it. */
			const struct ch_item *v; size_t n;
		} batch;
		struct {
			uint32_t epoch, nonce; /* Of the batch. */
			uint64_t no;
			uint8_t status;        /* enum ch_ack */
			uint32_t retry_ms;
		} ack;
		struct { const struct ch_member_news *v; size_t n; } beat;
		struct { const struct ch_want *v; size_t n; } want;
		struct {
			struct ch_hash body;
			uint32_t no;      /* From 0. */
			uint64_t len;     /* Of the whole body. */
			struct ch_bytes bytes;
		} chunk;
		struct {
			uint32_t epoch, nonce; /* The sender's life. */
			uint8_t round;         /* 1 or 2. */
		} ask;
	} u;
};
/* clang-format on */

struct ch_message {
	const struct ch_frame *v;
	size_t n;
};

#endif
