/*
 * name.h -- what a valid name is.
 */
#ifndef CHEOPS_CORE_NAME_H
#define CHEOPS_CORE_NAME_H

#include <stdbool.h>

#include "core/err.h"
#include "core/strbuf.h"

#define NAME_SITE_MAX 63
#define NAME_RESOURCE_MAX 253

/* A DNS label (RFC 1123) in lower case that is not reserved. 0, or -EINVAL
 * with what is wrong and what would be right. */
int name_check_site(struct ch_bytes name, struct err *reterr);

/* UTF-8, no control characters, no slash, no leading dot, 1 to 253 bytes: 0.
 * -ENAMETOOLONG over 255 bytes, -EPERM for a dot name, else -EINVAL. */
int name_check_resource(struct ch_bytes name, struct err *reterr);

/* Is it the name of a file that stands in a resource's directory, or may. */
bool name_is_reserved(struct ch_bytes name);

/* Well-formed UTF-8 (RFC 3629) without control characters. */
bool name_is_text(struct ch_bytes s);

#endif
