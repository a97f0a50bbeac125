/*
 * text.h -- times and durations as people read them.
 */
#ifndef CHEOPS_CORE_TEXT_H
#define CHEOPS_CORE_TEXT_H

#include <stdint.h>

#include "core/strbuf.h"

/* RFC 3339 in UTC, to the second; "-" for 0. @ms: since 1970. */
void text_time(uint64_t ms, struct strbuf *sb);
/* The greatest unit that fits, whole: 12s, 3m, 5h, 2d. */
void text_age(uint64_t ms, struct strbuf *sb);

#endif
