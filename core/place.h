/*
 * place.h -- the lines of the file sites.
 *
 *	NAME      the site should have the resource
 *	+NAME     the site is a witness: it stores and shows, drives nothing
 *	!+NAME    it is no longer a witness
 */
#ifndef CHEOPS_CORE_PLACE_H
#define CHEOPS_CORE_PLACE_H

#include "core/err.h"
#include "core/strbuf.h"

enum place_kind {
	PLACE_SITE,
	PLACE_WITNESS,
	PLACE_NO_WITNESS,
};

/* For each line; blank ones are passed over. What @fn returns other than 0
 * ends it. @line: its number, from 1. */
typedef int place_fn(void *arg, enum place_kind kind, struct ch_bytes name,
		     unsigned int line);

/* 0, what @fn returned, or -EINVAL with the line and what would be right. */
int place_parse(struct ch_bytes text, place_fn *fn, void *arg,
		struct err *reterr);

/* Without white space at its ends. */
struct ch_bytes place_trim(struct ch_bytes b);

#endif
