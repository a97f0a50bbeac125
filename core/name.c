/* name.c -- see name.h. */
#include "core/name.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

static const char *const reserved[] = {
	"spec",	    "driver",	"sites",  "policy",	 "hold",
	"after",    "plan",	"status", "state",	 "error",
	"conflicts", "history", "matrix", "ops",	 "rollout",
	"consistency", "self",	"any",	  "near",
};

bool name_is_reserved(struct ch_bytes name)
{
	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (ch_bytes_equal(name, ch_str(reserved[i])))
			return true;
	return false;
}

int name_check_site(struct ch_bytes name, struct err *reterr)
{
	const unsigned char *p = name.p;
	const char *want = "a site's name is a DNS label: 1 to 63 of a-z, "
			   "0-9 and -, no - at either end";

	if (name.len == 0 || name.len > NAME_SITE_MAX || p[0] == '-' ||
	    p[name.len - 1] == '-')
		return err_set(reterr, -EINVAL, "%s", want);
	for (size_t i = 0; i < name.len; i++) {
		bool good = (p[i] >= 'a' && p[i] <= 'z') ||
			    (p[i] >= '0' && p[i] <= '9') || p[i] == '-';

		if (!good)
			return err_set(reterr, -EINVAL, "%s", want);
	}
	if (name_is_reserved(name))
		return err_set(reterr, -EINVAL,
			       "'%.*s' is the name of a file in every "
			       "resource, so no site can have it",
			       (int)name.len, (const char *)name.p);
	return 0;
}

bool name_is_text(struct ch_bytes s)
{
	const uint8_t *p = s.p;
	size_t i = 0;

	while (i < s.len) {
		uint32_t c = p[i], least;
		size_t more;

		if (c < 0x20 || c == 0x7f)
			return false;
		if (c < 0x80) {
			i++;
			continue;
		}
		if (c >= 0xc2 && c <= 0xdf) {
			more = 1;
			c &= 0x1f;
			least = 0x80;
		} else if (c >= 0xe0 && c <= 0xef) {
			more = 2;
			c &= 0x0f;
			least = 0x800;
		} else if (c >= 0xf0 && c <= 0xf4) {
			more = 3;
			c &= 0x07;
			least = 0x10000;
		} else {
			return false;
		}
		if (s.len - i <= more)
			return false;
		for (size_t k = 1; k <= more; k++) {
			if ((p[i + k] & 0xc0) != 0x80)
				return false;
			c = c << 6 | (p[i + k] & 0x3f);
		}
		if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ||
		    (c >= 0x80 && c <= 0x9f))
			return false;
		i += more + 1;
	}
	return true;
}

int name_check_resource(struct ch_bytes name, struct err *reterr)
{
	if (name.len > 255)
		return err_set(reterr, -ENAMETOOLONG,
			       "a name is at most %d bytes long",
			       NAME_RESOURCE_MAX);
	if (name.len == 0 || name.len > NAME_RESOURCE_MAX)
		return err_set(reterr, -EINVAL,
			       "a resource's name has 1 to %d bytes",
			       NAME_RESOURCE_MAX);
	if (((const char *)name.p)[0] == '.')
		return err_set(reterr, -EPERM,
			       "names that begin with a dot are cheops' own");
	if (memchr(name.p, '/', name.len) || !name_is_text(name))
		return err_set(reterr, -EINVAL,
			       "a resource's name is UTF-8 without control "
			       "characters");
	return 0;
}
