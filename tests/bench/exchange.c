/*
 * exchange.c -- what one exchange costs: the net driver of this program on the
 * loopback, a connection that is kept, TLS as the sites have it.
 *
 *	exchange KEYS FROM TO SECONDS
 *
 * KEYS holds ca.pem, FROM.pem, FROM.key, TO.pem and TO.key of `cheops keys`.
 * Prints p50 and p99 in microseconds, and how many a second.
 */
#include <pthread.h>

#include "drivers/net/net.h"
#include "tests/bench/bench.h"

struct end {
	struct net *net;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	uint64_t answered; /* The last id. */
	int result;
};

static void on_request(void *arg, struct net_request *req,
		       const struct net_identity *peer, struct ch_bytes body)
{
	(void)arg;
	(void)peer;
	body.len = body.len > 100 ? 100 : body.len;
	net_reply(req, 200, body);
}

static void on_response(void *arg, uint64_t id, int result, const char *why,
			const struct net_identity *peer, struct ch_bytes body)
{
	struct end *e = arg;

	(void)peer;
	(void)body;
	if (result < 0)
		fprintf(stderr, "exchange: %s\n", why ? why : "?");
	pthread_mutex_lock(&e->lock);
	e->answered = id;
	e->result = result;
	pthread_cond_signal(&e->moved);
	pthread_mutex_unlock(&e->lock);
}

static void open_end(struct end *e, const char *keys, const char *name)
{
	char ca[4096], cert[4096], key[4096];
	struct net_config cfg = {
		.listen = "127.0.0.1:0",
		.tls = true,
		.ca = ca,
		.cert = cert,
		.key = key,
		.name = name,
	};
	struct net_callbacks cb = {on_request, on_response, NULL, e};
	struct err err = ERR_INIT;

	snprintf(ca, sizeof(ca), "%s/ca.pem", keys);
	snprintf(cert, sizeof(cert), "%s/%s.pem", keys, name);
	snprintf(key, sizeof(key), "%s/%s.key", keys, name);
	pthread_mutex_init(&e->lock, NULL);
	pthread_cond_init(&e->moved, NULL);
	if (net_open(&cfg, &cb, &e->net, &err) < 0)
		die(name, err.text);
}

static void close_end(struct end *e)
{
	net_close(e->net);
	pthread_cond_destroy(&e->moved);
	pthread_mutex_destroy(&e->lock);
}

static void exchange(struct end *from, const struct net_target *to,
		     uint64_t id)
{
	char block[WRITE_LEN];
	int r;

	fill(block, sizeof(block), 0, id);
	r = net_send(from->net, to, id,
		     (struct ch_bytes){block, sizeof(block)}, 10000);
	if (r < 0)
		die("net_send", strerror(-r));
	pthread_mutex_lock(&from->lock);
	while (from->answered != id)
		pthread_cond_wait(&from->moved, &from->lock);
	r = from->result;
	pthread_mutex_unlock(&from->lock);
	if (r < 0)
		die("exchange", strerror(-r));
}

int main(int argc, char **argv)
{
	struct end from = {.net = NULL}, to = {.net = NULL};
	struct times times = {.ns = NULL};
	char address[32];
	struct net_target target = {.address = address, .channel = NET_PUSH};
	uint64_t start, end;

	if (argc != 5) {
		fprintf(stderr, "usage: exchange KEYS FROM TO SECONDS\n");
		return 2;
	}
	open_end(&from, argv[1], argv[2]);
	open_end(&to, argv[1], argv[3]);
	target.name = argv[3];
	snprintf(address, sizeof(address), "127.0.0.1:%u", net_port(to.net));
	exchange(&from, &target, 1); /* Its handshake. */
	start = now_ns();
	end = start + number("SECONDS", argv[4], 3600) * 1000000000u;
	for (uint64_t id = 2;; id++) {
		uint64_t before = now_ns();

		if (before >= end)
			break;
		exchange(&from, &target, id);
		times_add(&times, now_ns() - before);
	}
	times_print(&times);
	printf(" %.0f\n", (double)times.n * 1e9 / (double)(now_ns() - start));
	times_release(&times);
	close_end(&from);
	close_end(&to);
	return 0;
}
