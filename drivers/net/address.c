/* address.c -- see address.h. */
#include "drivers/net/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/strbuf.h"

#define BACKLOG 256

static int port_parse(const char *s, uint16_t *ret_port)
{
	unsigned int port = 0;
	size_t n = 0;

	for (; s[n]; n++) {
		if (s[n] < '0' || s[n] > '9' || n == 5)
			return -EINVAL;
		port = port * 10 + (unsigned int)(s[n] - '0');
	}
	if (n == 0 || port > UINT16_MAX)
		return -EINVAL;
	*ret_port = (uint16_t)port;
	return 0;
}

static bool host_is_good(const char *s, size_t len, bool is_v6)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789.-_";

	if (len == 0 || len >= sizeof(((struct address *)0)->host))
		return false;
	if (!is_v6)
		return strspn(s, letters) == len;
	return strspn(s, "0123456789abcdefABCDEF:.") == len;
}

int address_parse(const char *text, struct address *ret_address,
		  struct err *reterr)
{
	struct address a = {.is_v6 = text[0] == '['};
	const char *host = text + a.is_v6, *end, *colon;
	size_t len;

	colon = strrchr(text, ':');
	end = a.is_v6 ? strchr(text, ']') : colon;
	if (!colon || !end || colon != end + a.is_v6 ||
	    port_parse(colon + 1, &a.port) < 0)
		goto bad;
	len = (size_t)(end - host);
	memcpy(a.host, host, len < sizeof(a.host) ? len : 0);
	if (!host_is_good(a.host, len, a.is_v6))
		goto bad;
	*ret_address = a;
	return 0;
bad:
	return err_set(reterr, -EINVAL,
		       "'%.100s' is no address: write HOST:PORT, as "
		       "192.0.2.1:7421 or [2001:db8::1]:7421",
		       text);
}

bool address_is_loopback(const struct address *a)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (strcmp(a->host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, a->host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, a->host, &v6) == 1 &&
	       IN6_IS_ADDR_LOOPBACK(&v6);
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return 0;
	if (sa.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&sa)->sin6_port);
	return ntohs(((struct sockaddr_in *)&sa)->sin_port);
}

static int listen_at(const struct addrinfo *ai, bool is_any_v6)
{
	int fd = socket(ai->ai_family,
			SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1, only_v6 = !is_any_v6, r;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (ai->ai_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6,
			sizeof(only_v6)) < 0) ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

int address_listen(const struct address *a, uint16_t *ret_port,
		   struct err *reterr)
{
	struct addrinfo hint = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
				.ai_family = a->is_v6 ? AF_INET6 : AF_UNSPEC,
				.ai_socktype = SOCK_STREAM};
	struct addrinfo *ai = NULL;
	char port[8] = "";
	struct strbuf text = STRBUF_INIT;
	int fd, r;

	strbuf_addf(&text, "%u", a->port);
	if (text.len < sizeof(port))
		memcpy(port, text.buf, text.len + 1);
	strbuf_release(&text);
	r = getaddrinfo(a->host, port, &hint, &ai);
	if (r != 0)
		return err_set(reterr, -EADDRNOTAVAIL, "listen: %s: %s",
			       a->host, gai_strerror(r));
	fd = listen_at(ai, strcmp(a->host, "::") == 0);
	freeaddrinfo(ai);
	if (fd < 0)
		return err_set(reterr, fd, "cannot listen at %s port %u: %s",
			       a->host, a->port, strerror(-fd));
	*ret_port = port_of(fd);
	return fd;
}
