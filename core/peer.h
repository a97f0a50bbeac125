/*
 * peer.h -- another site, as the engine remembers it.
 *
 * Shared by member.c (is it there), outbox.c (what it must be told) and
 * exchange.c (what is under way with it).
 */
#ifndef CHEOPS_CORE_PEER_H
#define CHEOPS_CORE_PEER_H

#include "core/engine.h"

#define PEER_QUEUE_MAX 256 /* Outbox entries that are kept in memory. */
#define PEER_SENT_MAX 64   /* Bodies that it was sent lately. */
#define PEERS_MAX 1024
/* Bodies of it that are stored here before the records that need them. */
#define PEER_PARCELS_MAX (256u * 1024u * 1024u)
#define PEER_TOLD_MAX 4 /* Reasons told of one silence. */

struct out_item {
	uint8_t kind; /* enum out_kind */
	uint64_t seq;
	char *name;
	size_t name_len;
	bool flying; /* In the batch that is on its way. */
};

struct peer {
	struct ch_id id; /* Zeros: the config names it, and it was never met. */
	char *name, *address, *labels, *version;
	bool address_by_hand;
	char *said; /* Its address in the words of itself, or of others. */
	uint32_t epoch, nonce;
	uint64_t incarnation, not_after;
	uint64_t seen_seq;    /* The last of this life's dots that we have. */
	struct ch_life prev;  /* The life before, as we knew it. */
	bool is_behind;	      /* It speaks as of an earlier life than we know. */
	/* The last batch of ours that it acknowledged, and as whom. */
	uint32_t acked_epoch, acked_nonce, acker_epoch, acker_nonce;
	uint64_t acked_no;
	bool is_lower; /* It says that it has less of us than that. */
	bool is_vetted;	      /* It knows of this life, and said of the last. */
	bool is_unreachable;  /* The last try to reach it failed. */

	/* Heartbeat. */
	uint64_t heard_ms;	/* Monotonic, by ourselves; 0: not in this life. */
	uint64_t news_ms;	/* The same, by others. */
	uint64_t heard_wall_ms; /* For people; from earlier lives too. */
	enum ch_heartbeat heartbeat;
	uint32_t rtt_ms;
	int64_t skew_ms;
	bool rtt_known, skew_known;
	bool to_show; /* COL_LIVE does not say what we know. */
	uint64_t shown_ms;

	/* Why our last exchange with it failed; "": it did not. */
	char *why;
	uint64_t told[PEER_TOLD_MAX]; /* Reasons that .events has, hashed. */
	size_t n_told;

	/* What it has to be told. */
	struct out_item *queue; /* PEER_QUEUE_MAX of them, oldest first. */
	size_t n_queue;
	bool more;	  /* The store has later ones than the queue. */
	uint64_t backlog; /* All of them. */
	struct ch_hash sent[PEER_SENT_MAX];
	size_t n_sent;

	/* Our batch on its way to it. */
	uint64_t batch_no; /* Last one used. */
	uint64_t flying;   /* Number of the one not acknowledged; 0: none. */
	uint64_t flying_ms; /* Since then. */
	struct ch_want wants[MSG_WANTS_MAX];
	size_t n_wants;
	uint64_t wants_mark; /* Of all that it asked for last. */

	/* Exchanges under way that we began; 0: none. */
	uint64_t push_id, beat_id, poll_id;
	uint64_t shut_out_ms; /* It refuses us, we said; 0: not in this life. */
	uint64_t next_push_ms, next_beat_ms, next_poll_ms;
	uint32_t backoff_ms;

	/* One that it began, and we hold. */
	uint64_t held_token, held_until_ms;

	/* The last batch of its that is durable here. */
	uint32_t got_epoch, got_nonce;
	uint64_t got_no;
	/* The last one that it made for us, as far as it said so. */
	uint32_t sent_epoch, sent_nonce;
	uint64_t sent_no;
	/* It is owed an answer to a batch that came in an answer. */
	bool owe_ack;
	uint32_t ack_epoch, ack_nonce;
	uint64_t ack_no;
	uint8_t ack_status;
	uint32_t ack_retry_ms;
	struct ch_want missing[MSG_WANTS_MAX];
	size_t n_missing;

	/* Bodies that it was asked for last, and what came of it. */
	struct ch_hash asked[MSG_WANTS_MAX];
	size_t n_asked;
	uint64_t asked_ms;
	uint32_t fruitless; /* Times it was asked since something came. */
	bool spoiled;       /* One came whole, and was another. */
	uint64_t parcel_bytes;
	uint64_t n_unasked;  /* Pieces that it sent and were not asked for. */
	uint64_t refused_ms; /* When that, or the like, was said. */
	/* What we ask it: see rejoin.c. */
	uint32_t answered_life; /* Our amnesia that it has answered for. */
	uint8_t asked_round, answered_round; /* In this life of ours. */
	bool is_required; /* It should hold something that is unconfirmed. */
	bool is_restored; /* It is asking, too. */
	/* What it asks. */
	uint32_t ask_epoch, ask_nonce;
	uint8_t ask_round;
	bool answering;
	struct strbuf answer_from; /* The next name to look at. */
};

/* member.c */
int member_add(struct ch_engine *e, const struct ch_id *id,
	       struct ch_bytes name, struct ch_bytes address,
	       struct peer **ret_peer);
/* It is no member any more: forget it, and free @p. */
int member_drop(struct ch_engine *e, struct peer *p);
/* We heard from it, just now. */
int member_heard(struct ch_engine *e, struct peer *p);
/* An exchange that we began with it failed, and why; or (NULL) did not. */
int member_dialled(struct ch_engine *e, struct peer *p, int err,
		   const char *why);
/* A site that the config names has said who it is. */
int member_met(struct ch_engine *e, struct peer *p, const struct ch_id *id);
/* What a hello says of its sender. */
int member_hello(struct ch_engine *e, struct peer *p,
		 const struct ch_frame *hello, const struct ch_from *from);
/* What others say. */
int member_news(struct ch_engine *e, const struct peer *from,
		const struct ch_member_news *news, size_t n);
int member_store(struct ch_engine *e, const struct peer *p);
/* Where the exchange with it stands is stored. */
int member_cursor(struct ch_engine *e, const struct peer *p);
/* It has acknowledged our batch @no. */
int member_acked(struct ch_engine *e, struct peer *p, uint64_t no);
int member_show(struct ch_engine *e, struct peer *p);
/* Do we beat that site by ourselves? */
bool member_is_watched(const struct ch_engine *e, const struct peer *p);
void peer_set(char **to, struct ch_bytes value, struct ch_engine *e);

/* outbox.c */
int outbox_count(struct ch_engine *e, struct peer *p);
/* What flies has landed: it leaves the window. Or it has not: it stays. */
void outbox_landed(struct peer *p);
void outbox_crashed(struct peer *p);
void outbox_release(struct peer *p);

#endif
