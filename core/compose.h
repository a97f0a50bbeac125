/*
 * compose.h -- messages to a site, put together and sent.
 *
 * Shared by compose.c, which sends what is due, and exchange.c, which answers.
 */
#ifndef CHEOPS_CORE_COMPOSE_H
#define CHEOPS_CORE_COMPOSE_H

#include "core/peer.h"

#define COMPOSE_POLL_MS 55000u /* So long may an answer be held. */

/* A message under way; frames and bytes are in the update's arena. */
struct compose {
	struct ch_engine *e;
	struct peer *p;
	struct ch_frame *v;
	size_t n;
	size_t chunk_bytes, item_bytes;
};

int compose_init(struct compose *b, struct ch_engine *e, struct peer *p);
struct ch_message compose_message(const struct compose *b);
void compose_hello(struct compose *b, uint32_t poll_ms);
/* What it must be asked, if anything. */
void compose_ask(struct compose *b);
/* What it must be asked, if anything. */
void compose_ask(struct compose *b);
int compose_beat(struct compose *b);
void compose_ack(struct compose *b, uint32_t epoch, uint32_t nonce, uint64_t no,
		 uint8_t status, uint32_t retry_ms);
int compose_wants(struct compose *b, const struct ch_want *wants, size_t n);
/* All that @p should hear from us now: an answer to its last batch, chunks, a
 * batch. 1 when there was something. */
int compose_news(struct compose *b);

/* The answer to a request that was held: what there is, or nothing. */
int compose_held(struct ch_engine *e, struct peer *p, bool even_if_empty);
/* Push to it again later. */
void compose_back_off(struct ch_engine *e, struct peer *p,
		      uint32_t at_least_ms);

#endif
