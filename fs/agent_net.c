/* agent_net.c -- messages for sites, and theirs for the engine. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "fs/agent_private.h"
#include "fs/log.h"

static void from_of(const struct net_identity *peer, struct ch_from *ret)
{
	ret->site = peer->uuid;
	ret->federation = peer->federation;
	ret->name = ch_str(peer->name);
	ret->not_after = peer->not_after;
}

/* Copy body and identity, and decode. */
static int fill(struct item *it, const struct net_identity *peer,
		struct ch_bytes body, struct ch_from *from,
		const struct ch_message **msg)
{
	struct err err = ERR_INIT;
	size_t name = strlen(peer->name) + 1;
	char *mem = malloc(body.len + name);
	int r;

	if (!mem)
		return -ENOMEM;
	it->mem = mem;
	memcpy(mem, peer->name, name);
	if (body.len)
		memcpy(mem + name, body.p, body.len);
	from_of(peer, from);
	from->name = ch_str(mem);
	r = codec_decode((struct ch_bytes){mem + name, body.len}, &it->msg,
			 &err);
	if (r < 0)
		log_print(LOG_WARNING, "%s sends what cannot be read: %s",
			  peer->name, err.text);
	*msg = &it->msg.msg;
	return r;
}

static void on_request(void *arg, struct net_request *req,
		       const struct net_identity *peer, struct ch_bytes body)
{
	struct item *it = agent_item(CH_RECV);
	const struct ch_bytes none = {NULL, 0};
	struct agent *a = arg;
	int r = -ENOMEM;

	if (it)
		it->held = calloc(1, sizeof(*it->held));
	if (it && it->held) {
		it->req = req;
		it->ev.u.recv.token = (uint64_t)(uintptr_t)req;
		r = fill(it, peer, body, &it->ev.u.recv.from,
			 &it->ev.u.recv.msg);
	}
	if (r == 0)
		r = agent_post(a, it, true);
	if (r < 0) {
		agent_item_free(it);
		net_reply(req, r == -EPROTO ? 400 : 503, none);
	}
}

static struct sent *take_sent(struct agent *a, uint64_t id)
{
	struct sent **at, *s;

	pthread_mutex_lock(&a->misc.lock);
	at = &a->misc.sent;
	while (*at && (*at)->id != id)
		at = &(*at)->next;
	s = *at;
	if (s)
		*at = s->next;
	pthread_mutex_unlock(&a->misc.lock);
	return s;
}

void agent_sent_free(struct sent *s)
{
	if (!s)
		return;
	agent_item_free(s->answer);
	free(s);
}

static void on_response(void *arg, uint64_t id, int result, const char *why,
			const struct net_identity *peer, struct ch_bytes body)
{
	struct agent *a = arg;
	struct sent *s = take_sent(a, id);
	uint64_t rtt_ms;
	struct item *it;
	int r = result;

	CHECK(s);
	rtt_ms = agent_now_ms() - s->at_ms;
	it = s->answer;
	s->answer = NULL;
	agent_sent_free(s);
	if (r == 0) {
		it->ev.type = CH_ANSWER;
		it->ev.u.answer.id = id;
		it->ev.u.answer.rtt_ms =
			rtt_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)rtt_ms;
		r = fill(it, peer, body, &it->ev.u.answer.from,
			 &it->ev.u.answer.msg);
		why = "an answer that cannot be read";
	}
	if (r < 0) {
		codec_release(&it->msg);
		free(it->mem);
		it->mem = strdup(why ? why : ""); /* Or no word of it. */
		it->ev = (struct ch_event){.type = CH_UNSENT};
		it->ev.u.unsent.id = id;
		it->ev.u.unsent.err = r;
		it->ev.u.unsent.why = ch_str(it->mem);
	}
	(void)agent_post(a, it, false);
}

static void on_refused(void *arg, const char *address, const char *why)
{
	struct strbuf text = STRBUF_INIT;
	struct agent *a = arg;
	struct ch_notice n = {.event = "refused", .wall_ms = agent_wall_ms()};

	strbuf_addf(&text, "%s: %s", address, why);
	n.message = text.buf;
	if (agent_notice(a, &n))
		agent_tell_events(a);
	strbuf_release(&text);
}

int agent_net_open(struct agent *a, struct err *reterr)
{
	const struct net_callbacks cb = {
		.request = on_request,
		.response = on_response,
		.refused = on_refused,
		.arg = a,
	};
	const struct net_config c = {
		.listen = a->cfg->listen,
		.tls = a->cfg->tls,
		.ca = a->cfg->ca,
		.cert = a->cfg->cert,
		.key = a->cfg->key,
		.name = a->cfg->site,
	};
	int r = net_open(&c, &cb, &a->net, reterr);

	if (r == 0)
		a->self = *net_self(a->net);
	return r;
}

static void send_one(struct agent *a, const struct ch_send *s)
{
	const struct net_target to = {
		.name = s->name,
		.address = s->address,
		.channel = (enum net_channel)s->channel,
	};
	struct strbuf body = STRBUF_INIT;
	struct sent *sent = a->to_send;
	int r;

	/* One was prepared for each. */
	a->to_send = sent->next;
	sent->id = s->id;
	sent->at_ms = agent_now_ms();
	pthread_mutex_lock(&a->misc.lock);
	sent->next = a->misc.sent;
	a->misc.sent = sent;
	pthread_mutex_unlock(&a->misc.lock);
	r = codec_encode(&s->msg, &body);
	if (r == 0)
		r = net_send(a->net, &to, s->id, strbuf_bytes(&body),
			     s->timeout_ms);
	strbuf_release(&body);
	if (r < 0)
		on_response(a, s->id, r, strerror(-r), NULL,
			    (struct ch_bytes){NULL, 0});
}

int agent_net_prepare(struct agent *a, const struct ch_update *u)
{
	for (const struct ch_send *s = u->send.first; s; s = s->next) {
		struct sent *sent = calloc(1, sizeof(*sent));

		if (sent)
			sent->answer = agent_item(CH_UNSENT);
		if (!sent || !sent->answer) {
			free(sent);
			return -ENOMEM;
		}
		sent->next = a->to_send;
		a->to_send = sent;
	}
	return 0;
}

void agent_net_drop(struct agent *a)
{
	while (a->to_send) {
		struct sent *s = a->to_send;

		a->to_send = s->next;
		agent_sent_free(s);
	}
}

void agent_net_held(struct agent *a, struct item *it)
{
	struct held *h = it->held;

	if (!h)
		return;
	it->held = NULL;
	h->req = it->req;
	h->next = a->held;
	a->held = h;
	it->req = NULL;
}

static void let_go(struct agent *a, const struct net_request *req)
{
	for (struct held **at = &a->held; *at; at = &(*at)->next)
		if ((*at)->req == req) {
			struct held *h = *at;

			*at = h->next;
			free(h);
			return;
		}
}

void agent_net_refuse_held(struct agent *a)
{
	while (a->held) {
		struct held *h = a->held;

		a->held = h->next;
		net_reply(h->req, 503, (struct ch_bytes){NULL, 0});
		free(h);
	}
}

static void reply_one(struct agent *a, const struct ch_reply *reply)
{
	struct net_request *req = (struct net_request *)(uintptr_t)reply->token;
	struct strbuf body = STRBUF_INIT;
	unsigned int status = reply->status;

	if (reply->msg.n && codec_encode(&reply->msg, &body) < 0) {
		strbuf_reset(&body);
		status = 500;
	}
	let_go(a, req);
	net_reply(req, status, strbuf_bytes(&body));
	strbuf_release(&body);
}

void agent_net_let_out(struct agent *a, const struct ch_update *u)
{
	for (const struct ch_reply *r = u->reply.first; r; r = r->next)
		reply_one(a, r);
	for (const struct ch_send *s = u->send.first; s; s = s->next)
		send_one(a, s);
}

void agent_net_refuse(struct item *it)
{
	if (it->ev.type == CH_RECV && it->req)
		net_reply(it->req, 503, (struct ch_bytes){NULL, 0});
	it->req = NULL;
}
