/* update.c -- updates: made, filled, emptied. See cheops.h and engine.h. */
#include <errno.h>
#include <stdarg.h>

#include "core/check.h"
#include "core/engine.h"
#include "core/mem.h"

#define LIST_EMPTY(list) \
	((list).first = NULL, (list).last = &(list).first, (list).n = 0)

#define LIST_APPEND(list, item) \
	(*(list).last = (item), (list).last = &(item)->next, (list).n++)

int ch_update_init(struct ch_update *u)
{
	u->arena = mem_alloc(sizeof(*u->arena));
	if (!u->arena)
		return -ENOMEM;
	arena_init(u->arena);
	batch_init(&u->store);
	ch_update_reset(u);
	return 0;
}

void ch_update_reset(struct ch_update *u)
{
	arena_release(u->arena);
	batch_reset(&u->store);
	u->durable = false;
	u->next_ms = CH_NEVER;
	u->new_life = 0;
	LIST_EMPTY(u->done);
	LIST_EMPTY(u->send);
	LIST_EMPTY(u->reply);
	LIST_EMPTY(u->run);
	LIST_EMPTY(u->stale);
	LIST_EMPTY(u->notice);
}

void ch_update_release(struct ch_update *u)
{
	if (!u->arena)
		return;
	arena_release(u->arena);
	mem_free(u->arena);
	u->arena = NULL;
	batch_release(&u->store);
}

/* What cannot be allocated makes the arena bad; ch_step() looks at that. */
void update_done(struct ch_engine *e, uint64_t token, int err, const char *fmt,
		 ...)
{
	struct ch_update *u = e->u;
	struct ch_done *d = arena_alloc(u->arena, sizeof(*d));
	struct strbuf text = STRBUF_INIT;
	va_list ap;

	if (!d)
		return;
	va_start(ap, fmt);
	strbuf_vaddf(&text, fmt, ap);
	va_end(ap);
	d->token = token;
	d->err = err;
	d->text = arena_str(u->arena, strbuf_bytes(&text));
	u->arena->bad |= text.bad;
	strbuf_release(&text);
	LIST_APPEND(u->done, d);
}

void update_written(struct ch_engine *e, uint64_t token,
		    struct ch_bytes context)
{
	struct ch_update *u = e->u;
	struct ch_done *d = arena_alloc(u->arena, sizeof(*d));

	if (!d)
		return;
	d->token = token;
	d->text = "";
	d->context = arena_bytes(u->arena, context);
	LIST_APPEND(u->done, d);
}

void update_stale(struct ch_engine *e, enum ch_stale_what what,
		  struct ch_bytes name, struct ch_bytes site, bool added)
{
	struct ch_update *u = e->u;
	struct ch_stale *s = arena_alloc(u->arena, sizeof(*s));

	if (!s)
		return;
	s->what = what;
	s->name = arena_str(u->arena, name);
	s->site = arena_str(u->arena, site);
	s->added = added;
	LIST_APPEND(u->stale, s);
}

void update_notice(struct ch_engine *e, const char *event,
		   struct ch_bytes resource, struct ch_bytes site,
		   const struct version *version, struct ch_bytes user,
		   const char *fmt, ...)
{
	struct ch_update *u = e->u;
	struct ch_notice *n = arena_alloc(u->arena, sizeof(*n));
	struct strbuf text = STRBUF_INIT;
	va_list ap;

	if (!n)
		return;
	n->event = arena_str(u->arena, ch_str(event));
	n->resource = arena_str(u->arena, resource);
	n->site = arena_str(u->arena, site);
	n->user = arena_str(u->arena, user);
	n->wall_ms = e->wall_ms;
	if (version && !version_is_zero(version))
		version_to_text(version, &text);
	n->version = arena_str(u->arena, strbuf_bytes(&text));
	strbuf_reset(&text);
	va_start(ap, fmt);
	strbuf_vaddf(&text, fmt, ap);
	va_end(ap);
	n->message = arena_str(u->arena, strbuf_bytes(&text));
	u->arena->bad |= text.bad;
	strbuf_release(&text);
	LIST_APPEND(u->notice, n);
}

struct ch_job *update_job(struct ch_engine *e)
{
	struct ch_job *j = arena_alloc(e->u->arena, sizeof(*j));

	if (j)
		LIST_APPEND(e->u->run, j);
	return j;
}

struct ch_send *update_send(struct ch_engine *e)
{
	struct ch_send *s = arena_alloc(e->u->arena, sizeof(*s));

	if (s)
		LIST_APPEND(e->u->send, s);
	return s;
}

struct ch_reply *update_reply(struct ch_engine *e, uint64_t token,
			      unsigned int status)
{
	struct ch_reply *r = arena_alloc(e->u->arena, sizeof(*r));

	if (!r)
		return NULL;
	r->token = token;
	r->status = status;
	LIST_APPEND(e->u->reply, r);
	return r;
}

void update_by(struct ch_engine *e, uint64_t ms)
{
	if (ms < e->u->next_ms)
		e->u->next_ms = ms;
}
