/* parse.c -- see parse.h. */
#include "fs/parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#define DURATION_WANT "write a number and a unit, as in 500ms, 1s, 2m or 1h"
#define SECONDS_WANT "write seconds, as in 60 or 0.5, or 500ms, 1s, 2m, 1h"
#define SIZE_WANT "write bytes, or a number with K, M or G, as in 512K"
#define ADDRESS_WANT "write HOST:PORT or [IPV6-ADDRESS]:PORT"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The digits that @s starts with; what follows them in @ret_rest. */
static int digits(const char *s, unsigned int base, uint64_t *ret_number,
		  const char **ret_rest)
{
	const char *p = s;
	uint64_t n = 0;

	for (; *p >= '0' && *p < (char)('0' + base); p++) {
		uint64_t digit = (uint64_t)(*p - '0');

		if (n > (UINT64_MAX - digit) / base)
			return -ERANGE;
		n = n * base + digit;
	}
	if (p == s)
		return -EINVAL;
	*ret_number = n;
	*ret_rest = p;
	return 0;
}

int parse_number(const char *s, unsigned int base, uint64_t max,
		 uint64_t *ret_number, struct err *reterr)
{
	const char *rest = s;
	uint64_t n = 0;
	int r;

	r = digits(s, base, &n, &rest);
	if (r == -EINVAL || (r == 0 && *rest))
		return err_set(reterr, -EINVAL, "'%s' is no %snumber", s,
			       base == 8 ? "octal " : "");
	if (r < 0 || n > max)
		return err_set(reterr, -ERANGE,
			       base == 8 ? "'%s' is above %llo"
					 : "'%s' is above %llu",
			       s, (unsigned long long)max);
	*ret_number = n;
	return 0;
}

/* Milliseconds of a unit, 0 when there is no such unit. */
static uint64_t unit_ms(const char *unit)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(unit, units[i].name) == 0)
			return units[i].ms;
	return 0;
}

int parse_duration(const char *s, uint32_t *ret_ms, struct err *reterr)
{
	const char *rest = s;
	uint64_t n = 0, ms;
	int r;

	r = digits(s, 10, &n, &rest);
	if (r == -EINVAL)
		return err_set(reterr, r, "'%s' is no duration; " DURATION_WANT,
			       s);
	if (r == 0 && !*rest)
		return err_set(reterr, -EINVAL,
			       "'%s' has no unit; " DURATION_WANT, s);
	ms = r == 0 ? unit_ms(rest) : 1;
	if (ms == 0)
		return err_set(reterr, -EINVAL,
			       "'%s' is no duration; " DURATION_WANT, s);
	if (r < 0 || n > UINT32_MAX / ms)
		return err_set(reterr, -ERANGE,
			       "'%s' is too long; 1193h is the most", s);
	*ret_ms = (uint32_t)(n * ms);
	return 0;
}

int parse_seconds(const char *s, double *ret_s, struct err *reterr)
{
	const char *rest = s;
	double seconds, unit = 1;
	uint64_t n = 0;
	uint32_t ms = 0;

	if (digits(s, 10, &n, &rest) < 0)
		return err_set(reterr, -EINVAL,
			       "'%s' is no time; " SECONDS_WANT, s);
	seconds = (double)n;
	if (*rest == '.' && is_digit(rest[1])) {
		for (rest++; is_digit(*rest); rest++) {
			unit /= 10;
			seconds += unit * (*rest - '0');
		}
	} else if (*rest && parse_duration(s, &ms, NULL) == 0) {
		*ret_s = (double)ms / 1000;
		return 0;
	}
	if (*rest)
		return err_set(reterr, -EINVAL,
			       "'%s' is no time; " SECONDS_WANT, s);
	if (seconds > UINT32_MAX / 1000)
		return err_set(reterr, -ERANGE,
			       "'%s' is too long; 1193h is the most", s);
	*ret_s = seconds;
	return 0;
}

int parse_size(const char *s, uint64_t *ret_bytes, struct err *reterr)
{
	static const char suffixes[] = "KMG";
	const char *rest = s, *suffix;
	unsigned int shift = 0;
	uint64_t n = 0;

	if (digits(s, 10, &n, &rest) < 0)
		return err_set(reterr, -EINVAL, "'%s' is no size; " SIZE_WANT,
			       s);
	if (*rest) {
		suffix = strchr(suffixes, *rest);
		if (!suffix || rest[1])
			return err_set(reterr, -EINVAL,
				       "'%s' is no size; " SIZE_WANT, s);
		shift = 10 * (unsigned int)(suffix - suffixes + 1);
	}
	if (n > UINT64_MAX >> shift)
		return err_set(reterr, -ERANGE, "'%s' is too big", s);
	*ret_bytes = n << shift;
	return 0;
}

/* Labels of letters, digits and hyphens; the last one no mere number, or it
 * would be a mistyped IPv4 address. */
static bool is_host_name(const char *host)
{
	const char *label = host;
	bool number = true;

	for (const char *p = host;; p++) {
		if (*p == '.' || !*p) {
			if (p == label || p - label > 63 || *label == '-' ||
			    p[-1] == '-')
				return false;
			if (!*p)
				return !number;
			label = p + 1;
			number = true;
			continue;
		}
		if (!is_digit(*p))
			number = false;
		if (!is_digit(*p) && *p != '-' && !(*p >= 'a' && *p <= 'z') &&
		    !(*p >= 'A' && *p <= 'Z'))
			return false;
	}
}

static bool read_host(struct parse_address *a, bool brackets)
{
	struct in6_addr six;
	struct in_addr four;

	if (brackets) {
		if (inet_pton(AF_INET6, a->host, &six) != 1)
			return false;
		a->numeric = true;
		a->loopback = IN6_IS_ADDR_LOOPBACK(&six);
		a->any = IN6_IS_ADDR_UNSPECIFIED(&six);
		return true;
	}
	if (inet_pton(AF_INET, a->host, &four) == 1) {
		a->numeric = true;
		a->loopback = ntohl(four.s_addr) >> 24 == 127;
		a->any = four.s_addr == htonl(INADDR_ANY);
		return true;
	}
	a->loopback = strcmp(a->host, "localhost") == 0;
	return is_host_name(a->host);
}

int parse_address(const char *s, struct parse_address *ret_address,
		  struct err *reterr)
{
	struct parse_address a = {.host = ""};
	bool brackets = s[0] == '[';
	const char *host = brackets ? s + 1 : s;
	const char *end = strchr(host, brackets ? ']' : ':');
	const char *port;
	uint64_t n = 0;

	if (!end)
		return err_set(reterr, -EINVAL,
			       "'%s' has no port; " ADDRESS_WANT, s);
	port = brackets ? end + 1 : end;
	if (!brackets && strchr(end + 1, ':'))
		return err_set(reterr, -EINVAL,
			       "'%s' has more than one colon; " ADDRESS_WANT,
			       s);
	if (*port != ':')
		return err_set(reterr, -EINVAL,
			       "'%s' has no port; " ADDRESS_WANT, s);
	if (end == host || (size_t)(end - host) >= sizeof(a.host))
		return err_set(reterr, -EINVAL,
			       "'%s' has no host; " ADDRESS_WANT, s);
	memcpy(a.host, host, (size_t)(end - host));
	if (!read_host(&a, brackets))
		return err_set(reterr, -EINVAL,
			       "'%s' is neither an address nor the name of a "
			       "host; " ADDRESS_WANT,
			       a.host);
	if (parse_number(port + 1, 10, UINT16_MAX, &n, NULL) < 0 || n == 0)
		return err_set(
			reterr, -EINVAL,
			"'%s' is no port; write a number from 1 to 65535",
			port + 1);
	a.port = (uint16_t)n;
	*ret_address = a;
	return 0;
}
