/*
 * etcd_put.c -- how fast etcd takes puts, through its JSON gateway.
 *
 *	etcd_put ADDRESS:PORT N SECONDS
 *
 * N connections, kept open, by curl's multi interface: on each a POST of a key
 * of its own with 1 kB to /v3/kv/put, and the next when that is answered.
 * Prints p50 and p99 in microseconds, and how many a second all did together.
 */
#include <curl/curl.h>

#include "tests/bench/bench.h"

#define LANES_MAX 1024ul
#define BODY_LEN 2048

struct lane {
	CURL *easy;
	uint64_t i, turn, begun_ns;
	char body[BODY_LEN];
};

static size_t base64(char *to, const char *from, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t at = 0;

	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)(unsigned char)from[i] << 16;

		if (i + 1 < len)
			v |= (uint32_t)(unsigned char)from[i + 1] << 8;
		if (i + 2 < len)
			v |= (unsigned char)from[i + 2];
		to[at++] = digits[v >> 18];
		to[at++] = digits[v >> 12 & 63];
		to[at++] = i + 1 < len ? digits[v >> 6 & 63] : '=';
		to[at++] = i + 2 < len ? digits[v & 63] : '=';
	}
	to[at] = '\0';
	return at;
}

static size_t swallow(char *data, size_t size, size_t n, void *arg)
{
	(void)data;
	(void)arg;
	return size * n;
}

static void lane_start(struct lane *l, CURLM *multi)
{
	char name[32], block[WRITE_LEN], key[64], value[WRITE_LEN * 2];
	int len;

	snprintf(name, sizeof(name), "/resource/r%06llu",
		 (unsigned long long)l->i);
	fill(block, sizeof(block), l->i, now_ns() + l->turn++);
	base64(key, name, strlen(name));
	base64(value, block, sizeof(block));
	len = snprintf(l->body, sizeof(l->body),
		       "{\"key\":\"%s\",\"value\":\"%s\"}", key, value);
	curl_easy_setopt(l->easy, CURLOPT_POSTFIELDS, l->body);
	curl_easy_setopt(l->easy, CURLOPT_POSTFIELDSIZE, (long)len);
	l->begun_ns = now_ns();
	if (curl_multi_add_handle(multi, l->easy) != CURLM_OK)
		die("curl", "cannot add a handle");
}

static void lane_init(struct lane *l, uint64_t i, const char *url,
		      struct curl_slist *headers)
{
	l->i = i;
	l->easy = curl_easy_init();
	if (!l->easy)
		die("curl", "no memory");
	curl_easy_setopt(l->easy, CURLOPT_URL, url);
	curl_easy_setopt(l->easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(l->easy, CURLOPT_WRITEFUNCTION, swallow);
	curl_easy_setopt(l->easy, CURLOPT_PRIVATE, (char *)l);
	curl_easy_setopt(l->easy, CURLOPT_NOSIGNAL, 1L);
}

static void ended(CURLM *multi, const CURLMsg *msg, struct times *times,
		  int again)
{
	char *private = NULL;
	struct lane *l;
	long status = 0;

	curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private);
	curl_easy_getinfo(msg->easy_handle, CURLINFO_RESPONSE_CODE, &status);
	if (msg->data.result != CURLE_OK)
		die("put", curl_easy_strerror(msg->data.result));
	if (status != 200)
		die("put", "it was not answered 200");
	l = (struct lane *)(void *)private;
	times_add(times, now_ns() - l->begun_ns);
	curl_multi_remove_handle(multi, l->easy);
	if (again)
		lane_start(l, multi);
}

static void run(CURLM *multi, uint64_t end_ns, struct times *times)
{
	int running = 1, left;
	CURLMsg *msg;

	while (running > 0) {
		if (curl_multi_perform(multi, &running) != CURLM_OK)
			die("curl", "cannot go on");
		while ((msg = curl_multi_info_read(multi, &left))) {
			if (msg->msg != CURLMSG_DONE)
				continue;
			ended(multi, msg, times, now_ns() < end_ns);
			running = 1; /* A lane may have begun anew. */
		}
		if (running > 0 &&
		    curl_multi_poll(multi, NULL, 0, 1000, NULL) != CURLM_OK)
			die("curl", "cannot go on");
	}
}

int main(int argc, char **argv)
{
	struct times times = {.ns = NULL};
	struct curl_slist *headers = NULL;
	struct lane *lanes;
	char url[256];
	CURLM *multi;
	unsigned long n;
	uint64_t start;

	if (argc != 4) {
		fprintf(stderr, "usage: etcd_put ADDRESS:PORT N SECONDS\n");
		return 2;
	}
	n = number("N", argv[2], LANES_MAX);
	snprintf(url, sizeof(url), "http://%s/v3/kv/put", argv[1]);
	lanes = calloc(n, sizeof(*lanes));
	curl_global_init(CURL_GLOBAL_ALL);
	multi = curl_multi_init();
	headers = curl_slist_append(headers, "Content-Type: application/json");
	if (!lanes || !multi || !headers)
		die("curl", "no memory");
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)n);
	start = now_ns();
	for (unsigned long i = 0; i < n; i++) {
		lane_init(&lanes[i], i, url, headers);
		lane_start(&lanes[i], multi);
	}
	run(multi, start + number("SECONDS", argv[3], 3600) * 1000000000u,
	    &times);
	times_print(&times);
	printf(" %.0f\n", (double)times.n * 1e9 / (double)(now_ns() - start));
	for (unsigned long i = 0; i < n; i++)
		curl_easy_cleanup(lanes[i].easy);
	curl_multi_cleanup(multi);
	curl_slist_free_all(headers);
	curl_global_cleanup();
	free(lanes);
	times_release(&times);
	return 0;
}
