/* test_world_net.c -- drivers/net: exchanges over real sockets, TLS on. Who is
 * let in is in test_world_net_tls.c. */
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/net_help.h"

#define PEERS 20
#define EACH 30

static void an_exchange_comes_back(void **state)
{
	struct site *a = site_open("nantes"), *b = site_open("paris");
	struct result r = ask(a, "paris", b->address, 1, "hello");
	struct net_identity from;

	(void)state;
	assert_int_equal(r.result, 0);
	assert_string_equal(r.body, "answer to hello");
	assert_string_equal(r.peer, "paris");
	assert_string_equal(asker_of(b).name, "nantes");
	from = asker_of(b);
	assert_int_equal(id_cmp(&from.uuid, &net_self(a->net)->uuid), 0);
	assert_int_equal(figures_of(b).requests, 1);
	assert_int_equal(figures_of(a).sent, 1);
	assert_int_equal(figures_of(a).failed, 0);
	site_close(a);
	site_close(b);
	assert_int_equal(mem_outstanding(), 0);
}

static void connections_are_kept(void **state)
{
	struct site *a = site_open("nantes"), *b = site_open("paris");

	(void)state;
	for (uint64_t i = 0; i < 200; i++) {
		struct result r = ask(a, "paris", b->address, i, "x");

		assert_int_equal(r.result, 0);
		assert_string_equal(r.peer, "paris");
	}
	assert_int_equal(figures_of(b).accepted, 1);
	assert_int_equal(figures_of(b).requests, 200);
	/* Another channel uses what is idle. */
	send_to(a, "paris", b->address, NET_BEAT, 500, "x", 5000);
	assert_int_equal(wait_result(a, 500).result, 0);
	assert_int_equal(figures_of(b).accepted, 1);
	site_close(a);
	site_close(b);
}

static void a_name_of_digits_is_a_name(void **state)
{
	struct site *a = site_open("nantes"), *b = site_open("42");
	struct result r = ask(a, "42", b->address, 1, "hello");

	(void)state;
	if (r.result)
		fail_msg("%s", r.why);
	assert_string_equal(r.peer, "42");
	site_close(a);
	site_close(b);
}

static void the_largest_message_goes_through(void **state)
{
	struct site *a = site_open("nantes"), *b = site_open("paris");
	struct net_target to = {"paris", b->address, NET_PUSH};
	char *body = calloc(1, MSG_LEN_MAX + 1);

	(void)state;
	assert_non_null(body);
	memset(body, 'x', MSG_LEN_MAX);
	for (uint64_t i = 0; i < 20; i++) {
		assert_int_equal(net_send(a->net, &to, i,
					  (struct ch_bytes){body, MSG_LEN_MAX},
					  20000),
				 0);
		assert_int_equal(wait_result(a, i).result, 0);
	}
	assert_int_equal(net_send(a->net, &to, 99,
				  (struct ch_bytes){body, MSG_LEN_MAX + 1},
				  20000),
			 -EMSGSIZE);
	assert_int_equal(figures_of(b).accepted, 1);
	free(body);
	site_close(a);
	site_close(b);
}

static void a_long_answer_goes_through(void **state)
{
	struct site *a = site_open("nantes"), *b = site_open("paris");
	char *body = calloc(1, MSG_LEN_MAX + 1);
	struct result r;

	(void)state;
	assert_non_null(body);
	for (uint64_t i = 0; i < 2; i++) {
		send_to(a, "paris", b->address, NET_POLL, i, "hold", 20000);
		wait_for(b, &b->held_n, 1);
		pthread_mutex_lock(&b->lock);
		b->held_n = 0;
		pthread_mutex_unlock(&b->lock);
		net_reply(b->held[0], 200,
			  (struct ch_bytes){body, MSG_LEN_MAX + i});
		r = wait_result(a, i);
		assert_int_equal(r.result, i ? -EMSGSIZE : 0);
		if (i == 0)
			assert_int_equal(r.len, MSG_LEN_MAX);
	}
	free(body);
	site_close(a);
	site_close(b);
}

static void a_held_poll_blocks_no_other_channel(void **state)
{
	struct site *a = site_open("nantes"), *b = site_open("paris");

	(void)state;
	send_to(a, "paris", b->address, NET_POLL, 1, "hold", 20000);
	wait_for(b, &b->held_n, 1);
	for (uint64_t i = 10; i < 60; i++)
		assert_int_equal(ask(a, "paris", b->address, i, "x").result, 0);
	assert_int_equal(count_of(a, &a->responses_n), 50);
	assert_int_equal(figures_of(b).accepted, 2);
	held_reply(b, "at last");
	assert_string_equal(wait_result(a, 1).body, "at last");
	site_close(a);
	site_close(b);
}

static void one_at_a_time_on_a_channel(void **state)
{
	struct site *a = site_open("nantes"), *b = site_open("paris");
	uint64_t id;
	int r = 0;

	(void)state;
	for (id = 0; r == 0 && id < 100; id++)
		r = send_to(a, "paris", b->address, NET_PUSH, id, "hold",
			    20000);
	assert_int_equal(r, -EAGAIN);
	assert_in_range(id, 32, 36);
	for (uint64_t i = 0; i < id - 1; i++) {
		wait_for(b, &b->held_n, 1);
		assert_int_equal(count_of(b, &b->held_n), 1);
		held_reply(b, "x");
		assert_int_equal(wait_result(a, i).result, 0); /* In order. */
	}
	assert_int_equal(figures_of(b).accepted, 1);
	site_close(a);
	site_close(b);
}

static void no_answer_in_time(void **state)
{
	struct site *a = site_open("nantes"), *b = site_open("paris");
	struct result r;

	(void)state;
	send_to(a, "paris", b->address, NET_PUSH, 1, "hold", 100);
	send_to(a, "paris", b->address, NET_PUSH, 2, "x", 50);
	send_to(a, "paris", b->address, NET_PUSH, 3, "x", 20000);
	r = wait_result(a, 1);
	assert_int_equal(r.result, -ETIMEDOUT);
	assert_has(r.why, "did not answer in time");
	r = wait_result(a, 2);
	assert_int_equal(r.result, -ETIMEDOUT);
	assert_has(r.why, "no turn");
	assert_int_equal(wait_result(a, 3).result, 0);
	/* Its connection is gone; the answer goes nowhere, and harms nobody. */
	held_reply(b, "too late");
	assert_int_equal(ask(a, "paris", b->address, 4, "x").result, 0);
	site_close(a);
	site_close(b);
	assert_int_equal(mem_outstanding(), 0);
}

static void nobody_there(void **state)
{
	struct site *a = site_open("nantes"), *b = site_open("paris");
	char address[32];
	struct result r;

	(void)state;
	memcpy(address, b->address, sizeof(address));
	site_close(b);
	r = ask(a, "paris", address, 1, "x");
	assert_int_equal(r.result, -ECONNREFUSED);
	assert_has(r.why, "nobody listens at 127.0.0.1:");
	assert_int_equal(figures_of(a).failed, 1);
	r = ask(a, "paris", "no-such-host.invalid:1", 2, "x");
	assert_int_equal(r.result, -EHOSTUNREACH);
	assert_int_equal(send_to(a, "paris", "127.0.0.1", NET_PUSH, 3, "x", 1),
			 -EINVAL);
	assert_int_equal(send_to(a, "paris", "::1:7421", NET_PUSH, 3, "x", 1),
			 -EINVAL);
	site_close(a);
}

static void a_peer_that_comes_back_is_found(void **state)
{
	struct site *a = site_open("nantes"), *b = site_open("paris");
	char address[32];

	(void)state;
	assert_int_equal(ask(a, "paris", b->address, 1, "x").result, 0);
	memcpy(address, b->address, sizeof(address));
	site_close(b);
	b = site_open_in(keys_dir, "paris", address, true);
	/* The kept connection is dead: libcurl dials anew. */
	assert_int_equal(ask(a, "paris", address, 2, "x").result, 0);
	site_close(a);
	site_close(b);
}

/* A child that holds what it is sent; killed, it says nothing any more. */
static pid_t child_start(char *address, size_t size)
{
	int to_us[2];
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(to_us), 0);
	pid = fork();
	if (pid == 0) {
		struct site *b = site_open("paris");

		if (write(to_us[1], b->address, sizeof(b->address)) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	close(to_us[1]);
	n = read(to_us[0], address, size);
	close(to_us[0]);
	assert_true(n > 0);
	return pid;
}

static void a_killed_peer_is_noticed_at_once(void **state)
{
	char address[32];
	pid_t pid = child_start(address, sizeof(address));
	struct site *a = site_open("nantes");
	struct result r;

	(void)state;
	assert_int_equal(ask(a, "paris", address, 1, "x").result, 0);
	send_to(a, "paris", address, NET_POLL, 2, "hold", 60000);
	/* Two connections: it has the first idle, the other under way. */
	assert_int_equal(ask(a, "paris", address, 3, "x").result, 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	r = wait_result(a, 2);
	if (r.result != -ECONNRESET && r.result != -ECONNREFUSED)
		fail_msg("%d: %s", r.result, r.why);
	r = ask(a, "paris", address, 4, "x");
	assert_int_equal(r.result, -ECONNREFUSED);
	site_close(a);
}

static void many_peers_at_once(void **state)
{
	struct site *b = site_open("paris");
	struct site *peers[PEERS];
	char name[16];

	(void)state;
	for (size_t i = 0; i < PEERS; i++) {
		snprintf(name, sizeof(name), "peer-%zu", i);
		assert_int_equal(keys_site(keys_dir, name, NULL), 0);
		peers[i] = site_open_in(keys_dir, name, NULL, true);
		assert_int_equal(net_port(peers[i]->net), 0);
	}
	for (uint64_t k = 0; k < EACH; k++)
		for (size_t i = 0; i < PEERS; i++)
			send_to(peers[i], "paris", b->address,
				(enum net_channel)(k % NET_CHANNELS), k, "x",
				20000);
	for (uint64_t k = 0; k < EACH; k++)
		for (size_t i = 0; i < PEERS; i++) {
			struct result r = wait_result(peers[i], k);

			if (r.result)
				fail_msg("%s", r.why);
			assert_string_equal(r.peer, "paris");
		}
	assert_int_equal(figures_of(b).requests, PEERS * EACH);
	assert_in_range(figures_of(b).accepted, PEERS, 3 * PEERS);
	for (size_t i = 0; i < PEERS; i++)
		site_close(peers[i]);
	site_close(b);
	assert_int_equal(mem_outstanding(), 0);
}

static void closing_ends_what_was_sent(void **state)
{
	struct site *a = site_open("nantes"), *b = site_open("paris");
	struct net *n = a->net;

	(void)state;
	send_to(a, "paris", b->address, NET_POLL, 1, "hold", 60000);
	send_to(a, "paris", b->address, NET_POLL, 2, "hold", 60000);
	wait_for(b, &b->held_n, 1);
	net_close(n);
	assert_int_equal(count_of(a, &a->responses_n), 2);
	assert_int_equal(a->results[1].result, -ESHUTDOWN);
	assert_int_equal(a->results[2].result, -ESHUTDOWN);
	a->net = NULL;
	site_close(a);
	held_reply(b, "to nobody");
	site_close(b);
	assert_int_equal(mem_outstanding(), 0);
}

static void closing_answers_what_was_asked(void **state)
{
	struct site *a = site_open("nantes"), *b = site_open("paris");
	struct result r;

	(void)state;
	for (int k = 0; k < NET_CHANNELS; k++)
		send_to(a, "paris", b->address, (enum net_channel)k,
			(uint64_t)k, "hold", 60000);
	wait_for(b, &b->held_n, NET_CHANNELS);
	site_close(b);
	for (uint64_t k = 0; k < NET_CHANNELS; k++) {
		r = wait_result(a, k);
		assert_int_equal(r.result, -EAGAIN);
		assert_has(r.why, "paris is busy");
	}
	site_close(a);
	assert_int_equal(mem_outstanding(), 0);
}

/* Replies race with the closing of both ends. */
static void *reply_all(void *arg)
{
	struct site *b = arg;

	for (size_t done = 0; done < 60;) {
		struct net_request *req = NULL;

		pthread_mutex_lock(&b->lock);
		if (b->held_n)
			req = b->held[--b->held_n];
		pthread_mutex_unlock(&b->lock);
		if (!req)
			break;
		net_reply(req, 200, ch_str("x"));
		done++;
	}
	return NULL;
}

static void replies_may_meet_dead_connections(void **state)
{
	struct site *b = site_open("paris");

	(void)state;
	for (int round = 0; round < 5; round++) {
		struct site *a = site_open("nantes");
		pthread_t thread;
		char name[16];

		for (uint64_t k = 0; k < NET_CHANNELS; k++)
			send_to(a, "paris", b->address, (enum net_channel)k, k,
				"hold", 60000);
		wait_for(b, &b->held_n, NET_CHANNELS);
		snprintf(name, sizeof(name), "round %d", round);
		assert_int_equal(pthread_create(&thread, NULL, reply_all, b),
				 0);
		site_close(a);
		pthread_join(thread, NULL);
	}
	site_close(b);
	assert_int_equal(mem_outstanding(), 0);
}

static void without_tls_on_loopback_alone(void **state)
{
	struct net_config cfg = {.listen = "0.0.0.0:0", .name = "nantes"};
	struct net_callbacks cb = {site_request, site_response, NULL, NULL};
	struct site *a, *b;
	struct net *n;
	struct err err = ERR_INIT;
	struct net_identity from;
	struct ch_id id;
	struct result r;

	(void)state;
	assert_int_equal(net_open(&cfg, &cb, &n, &err), -EINVAL);
	assert_has(err.text, "loopback");
	a = site_open_in(NULL, "nantes", "127.0.0.1:0", false);
	b = site_open_in(NULL, "paris", "127.0.0.1:0", false);
	r = ask(a, "paris", b->address, 1, "hello");
	if (r.result)
		fail_msg("%s", r.why);
	assert_string_equal(r.peer, "paris");
	assert_string_equal(asker_of(b).name, "nantes");
	keys_uuid_of_name("nantes", &id);
	from = asker_of(b);
	assert_int_equal(id_cmp(&from.uuid, &id), 0);
	assert_int_equal(id_cmp(&net_self(a->net)->uuid, &id), 0);
	r = ask(a, "lyon", b->address, 2, "hello");
	assert_int_equal(r.result, -EACCES);
	assert_has(r.why, "paris");
	assert_int_equal(
		send_to(a, "paris", "192.0.2.1:7421", NET_PUSH, 3, "x", 100),
		-EINVAL);
	site_close(a);
	site_close(b);
}

static void what_cannot_open_says_why(void **state)
{
	struct net_callbacks cb = {site_request, site_response, NULL, NULL};
	struct net_config cfg = {
		.tls = true,
		.ca = key_path(keys_dir, "ca", ".pem"),
		.cert = key_path(keys_dir, "nantes", ".pem"),
		.key = key_path(keys_dir, "nantes", ".key"),
		.name = "paris",
	};
	struct site *b = site_open("paris");
	struct net *n;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(net_open(&cfg, &cb, &n, &err), -EINVAL);
	assert_has(err.text, "certificate of 'nantes'");
	cfg.name = "nantes";
	cfg.listen = b->address;
	assert_int_equal(net_open(&cfg, &cb, &n, &err), -EADDRINUSE);
	assert_has(err.text, "cannot listen at 127.0.0.1");
	cfg.listen = "192.0.2.1";
	assert_int_equal(net_open(&cfg, &cb, &n, &err), -EINVAL);
	assert_has(err.text, "HOST:PORT");
	cfg.listen = "192.0.2.1:7421";
	assert_int_equal(net_open(&cfg, &cb, &n, &err), -EADDRNOTAVAIL);
	cfg.ca = key_path(other_dir, "ca", ".pem");
	assert_int_equal(net_open(&cfg, &cb, &n, &err), -EINVAL);
	assert_has(err.text, "is not signed by");
	site_close(b);
}

static void ipv6_works(void **state)
{
	struct site *a = site_open("nantes");
	struct net_callbacks cb = {site_request, site_response, NULL, a};
	struct net_config cfg = {
		.listen = "[::1]:0",
		.tls = true,
		.ca = key_path(keys_dir, "ca", ".pem"),
		.cert = key_path(keys_dir, "paris", ".pem"),
		.key = key_path(keys_dir, "paris", ".key"),
	};
	struct net *n;
	struct err err = ERR_INIT;
	char address[32];

	(void)state;
	if (net_open(&cfg, &cb, &n, &err) == -EADDRNOTAVAIL) {
		site_close(a);
		skip();
	}
	snprintf(address, sizeof(address), "[::1]:%u", net_port(n));
	assert_int_equal(ask(a, "paris", address, 1, "x").result, 0);
	net_close(n);
	site_close(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_killed_peer_is_noticed_at_once),
		cmocka_unit_test(an_exchange_comes_back),
		cmocka_unit_test(connections_are_kept),
		cmocka_unit_test(a_name_of_digits_is_a_name),
		cmocka_unit_test(the_largest_message_goes_through),
		cmocka_unit_test(a_long_answer_goes_through),
		cmocka_unit_test(a_held_poll_blocks_no_other_channel),
		cmocka_unit_test(one_at_a_time_on_a_channel),
		cmocka_unit_test(no_answer_in_time),
		cmocka_unit_test(nobody_there),
		cmocka_unit_test(a_peer_that_comes_back_is_found),
		cmocka_unit_test(many_peers_at_once),
		cmocka_unit_test(closing_ends_what_was_sent),
		cmocka_unit_test(closing_answers_what_was_asked),
		cmocka_unit_test(replies_may_meet_dead_connections),
		cmocka_unit_test(without_tls_on_loopback_alone),
		cmocka_unit_test(what_cannot_open_says_why),
		cmocka_unit_test(ipv6_works),
	};

	return cmocka_run_group_tests(tests, keys_setup, keys_teardown);
}
