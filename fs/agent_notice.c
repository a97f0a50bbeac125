/*
 * agent_notice.c -- what happened, for people: .events and the log.
 *
 * Whoever is refused comes again, each second perhaps, and for a stranger it
 * costs nothing: so a refusal is told once a minute for each address (or site)
 * and reason, with how often it came meanwhile.
 */
#include <string.h>

#include "fs/agent_private.h"
#include "fs/log.h"

#define REFUSAL_MS 60000u

static uint64_t hash_text(uint64_t h, const char *text)
{
	for (; text && *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3u;
	return (h ^ 0xff) * 0x100000001b3u;
}

/* The one of that kind, else the one that was told of longest ago. */
static struct refusal *find_refusal(struct agent *a, uint64_t kind)
{
	struct refusal *oldest = &a->misc.refusals[0];

	for (size_t i = 0; i < AGENT_REFUSALS_MAX; i++) {
		struct refusal *r = &a->misc.refusals[i];

		if (r->kind == kind)
			return r;
		if (r->at_ms < oldest->at_ms)
			oldest = r;
	}
	*oldest = (struct refusal){.kind = kind};
	return oldest;
}

/* Is it to be told? Then so many more came since it last was. */
static bool is_due(struct agent *a, const struct ch_notice *n, uint32_t *ret_n)
{
	uint64_t now = agent_now_ms(), kind = 0xcbf29ce484222325u;
	struct refusal *r;
	bool due;

	kind = hash_text(hash_text(kind, n->site), n->message) | 1;
	pthread_mutex_lock(&a->misc.lock);
	r = find_refusal(a, kind);
	due = !r->at_ms || now - r->at_ms >= REFUSAL_MS;
	*ret_n = r->n;
	if (due) {
		r->at_ms = now;
		r->n = 0;
	} else {
		r->n++;
	}
	pthread_mutex_unlock(&a->misc.lock);
	return due;
}

/* LOG_DEBUG: not for the log. Versions come and go by the thousand; what is
 * told here is rare, and wants somebody to look. */
static int priority_of(const char *event)
{
	static const struct {
		const char *event;
		int priority;
	} known[] = {
		{"alive", LOG_INFO},      {"joined", LOG_INFO},
		{"suspect", LOG_INFO},    {"left", LOG_INFO},
		{"conflict", LOG_NOTICE}, {"dead", LOG_WARNING},
		{"refused", LOG_WARNING}, {"lost", LOG_WARNING},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(known[i].event, event) == 0)
			return known[i].priority;
	return LOG_DEBUG;
}

static void log_notice(const struct ch_notice *n)
{
	const char *about =
		n->resource && n->resource[0] ? n->resource : n->site;
	const char *message = n->message ? n->message : "";
	int priority = priority_of(n->event);

	if (priority != LOG_DEBUG)
		log_print(priority, "%s%s%s%s%s", n->event,
			  about && about[0] ? " " : "", about ? about : "",
			  message[0] ? ": " : "", message);
}

bool agent_notice(struct agent *a, const struct ch_notice *n)
{
	struct strbuf text = STRBUF_INIT;
	struct ch_notice told = *n;
	uint32_t more = 0;

	if (strcmp(n->event, "refused") == 0 && !is_due(a, n, &more))
		return false;
	if (more) {
		strbuf_addf(&text, "%s (and %u times since this was last told)",
			    n->message, (unsigned int)more);
		told.message = text.buf;
	}
	events_add(a->events, &told);
	log_notice(&told);
	strbuf_release(&text);
	return true;
}

void agent_notices_let_out(struct agent *a, const struct ch_update *u)
{
	bool any = false;

	for (const struct ch_notice *n = u->notice.first; n; n = n->next)
		any |= agent_notice(a, n);
	if (any)
		agent_tell_events(a);
}
