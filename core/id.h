/*
 * id.h -- the two kinds of name that are numbers: 16-byte UUIDs (sites,
 * lineages, stores, federations) and SHA-256 hashes (bodies, versions).
 */
#ifndef CHEOPS_CORE_ID_H
#define CHEOPS_CORE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/strbuf.h"

#define ID_TEXT_LEN 36   /* 8-4-4-4-12 */
#define HASH_WORD_LEN 16 /* A version is shown as so many digits. */

struct ch_id {
	uint8_t b[16];
};

struct ch_hash {
	uint8_t b[32];
};

int id_cmp(const struct ch_id *a, const struct ch_id *b);
bool id_is_zero(const struct ch_id *a);
/* Appends the 36 characters. */
void id_to_text(const struct ch_id *a, struct strbuf *sb);
/* 0, or -EINVAL unless @s is exactly a UUID in its usual form. */
int id_from_text(struct ch_bytes s, struct ch_id *ret_id);

int hash_cmp(const struct ch_hash *a, const struct ch_hash *b);
bool hash_is_zero(const struct ch_hash *a);
/* Appends the version word: the first HASH_WORD_LEN digits. */
void hash_to_word(const struct ch_hash *a, struct strbuf *sb);
/* SHA-256 of the @n pieces, one after the other. */
void hash_sum(const struct ch_bytes *v, size_t n, struct ch_hash *ret_hash);

#endif
