/*
 * gone.h -- sites that were declared gone: they are owed nothing, and are let
 * in no more.
 */
#ifndef CHEOPS_CORE_GONE_H
#define CHEOPS_CORE_GONE_H

#include "core/name.h"
#include "core/peer.h"

#define GONE_MAX 4096

struct gone {
	struct ch_id site;
	char name[NAME_SITE_MAX + 1]; /* That it had. */
	uint64_t told_ms; /* That it was refused; 0: not in this life. */
};

int gone_start(struct ch_engine *e);
void gone_release(struct ch_engine *e);
/* Was one of that name declared gone? */
bool gone_called(const struct ch_engine *e, const char *name);
bool gone_has(const struct ch_engine *e, const struct ch_id *site);
/* CH_SITE_GONE. */
int gone_declare(struct ch_engine *e, const struct ch_submit *s);
/* Another site says so. */
int gone_news(struct ch_engine *e, const struct ch_member_news *news);
/* What we say to others: fills @v, returns how many. */
size_t gone_spread(struct ch_engine *e, struct ch_member_news *v, size_t max);
/* It has come back. */
void gone_refuse(struct ch_engine *e, const struct ch_from *from);
/* A site that @r names and that is gone: 1; 0: none; -ENOMEM. */
int gone_named(const struct ch_engine *e, const struct record *r,
	       struct ch_id *ret_site);

#endif
