/* commit.c -- from a handle's buffer to a version: the second half of
 * handle.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/doc.h"
#include "core/name.h"
#include "fs/handle.h"
#include "fs/notify.h"
#include "fs/render.h"
#include "fs/reply.h"

/* Checking a body this long is left to the worker. */
#define COMMIT_LONG (256 * 1024)

const char *handle_error_of(const struct node_id *id)
{
	const struct kind *k = kind_of(id->kind);

	if (k->parent == NODE_MEMBER || k->parent == NODE_MEMBERS)
		return MEMBERS_ERROR;
	return k->by_write || id->kind == NODE_SPEC_JSON ? id->name : NULL;
}

void handle_label(const struct node_id *id, struct strbuf *out)
{
	const struct kind *k = kind_of(id->kind);

	if (k->parent == NODE_CONFLICTS)
		strbuf_add_str(out, "conflicts/");
	else if (k->parent == NODE_SITE || k->parent == NODE_MEMBER)
		strbuf_addf(out, "%s/", id->site);
	strbuf_add_str(out, k->name ? k->name : id->site);
}

/* HOST:PORT, on one line. */
static int check_address(struct ch_bytes body, struct err *reterr)
{
	const char *p = body.p, *colon;
	unsigned int port = 0;
	size_t len = body.len, digits = 0;

	if (len == 1 && p[0] == '\n')
		return 0; /* What was set by hand counts no more. */
	if (len > 0 && p[len - 1] == '\n')
		len--;
	colon = len ? memrchr(p, ':', len) : NULL;
	for (const char *c = colon; c && ++c < p + len; digits++)
		port = *c >= '0' && *c <= '9' && port < 65536
			       ? port * 10 + (unsigned int)(*c - '0')
			       : 65536;
	if (!colon || colon == p || digits == 0 || port == 0 || port > 65535 ||
	    memchr(p, ' ', len) || !name_is_text((struct ch_bytes){p, len}))
		return err_set(reterr, -EINVAL,
			       "an address is one line HOST:PORT, such as "
			       "192.0.2.1:7421; an empty line clears what was "
			       "written");
	return 0;
}

/* key=value lines. */
static int check_labels(struct ch_bytes body, struct err *reterr)
{
	const char *p = body.p, *end = p + body.len, *eol;
	unsigned int line = 1;

	if (body.len == 1 && p[0] == '\n')
		return 0; /* Clears them. */
	for (; p < end; p = eol + 1, line++) {
		const char *equals;

		eol = memchr(p, '\n', (size_t)(end - p));
		if (!eol)
			eol = end;
		equals = memchr(p, '=', (size_t)(eol - p));
		if (!equals || equals == p ||
		    !name_is_text((struct ch_bytes){p, (size_t)(eol - p)}))
			return err_set(reterr, -EINVAL,
				       "line %u: labels are lines key=value, "
				       "such as region=west",
				       line);
	}
	return 0;
}

/* What was seen when the spec @id was opened is so still. @h may be NULL. */
static bool is_as_seen(struct mnt *m, const struct handle *h,
		       const struct node_id *id)
{
	return h && h->seen_id == id && mnt_is_fresh(m, h->seen_at, id->name);
}

static int prepare_view(struct mnt *m, const struct view *v,
			const struct node_id *id, const char *name,
			struct ch_bytes body, struct ch_prepared *ret_prepared,
			struct err *reterr)
{
	return agent_prepare(
		m->agent, v, ch_str(name), kind_of(id->kind)->file,
		ch_str(id->kind == NODE_SITE_PATCH ? id->site : ""), body,
		ret_prepared, reterr);
}

static int prepare(struct mnt *m, const struct handle *h,
		   const struct node_id *id, struct ch_bytes body,
		   struct ch_prepared *ret_prepared, struct err *reterr)
{
	struct agent_view av;
	int r;

	if (is_as_seen(m, h, id))
		return agent_prepare_spec(m->agent, &h->seen, ch_str(id->name),
					  body, ret_prepared, reterr);
	r = agent_view_get(m->agent, &av);
	if (r < 0)
		return err_set(reterr, r, "this site's store cannot be read");
	r = prepare_view(m, &av.v, id, id->name, body, ret_prepared, reterr);
	agent_view_put(m->agent, &av);
	return r;
}

/* The same where the file was opened, with @context, under a name that the
 * resource has no more. @ret_name: the one it has. */
static int prepare_renamed(struct mnt *m, const struct node_id *id,
			   struct ch_bytes context, struct ch_bytes body,
			   struct ch_prepared *ret_prepared,
			   struct strbuf *ret_name, struct err *reterr)
{
	struct agent_view av;
	int r;

	r = agent_view_get(m->agent, &av);
	if (r < 0)
		return err_set(reterr, r, "this site's store cannot be read");
	r = view_renamed(&av.v, ch_str(id->name), context, ret_name);
	if (r == 0)
		r = prepare_view(m, &av.v, id, ret_name->buf, body,
				 ret_prepared, reterr);
	agent_view_put(m->agent, &av);
	return r;
}

/* Can it still become the word of a driver? */
static bool may_become_driver(struct mnt *m, struct ch_bytes body)
{
	static const char *const words[] = {"none", "kubernetes", "openstack",
					    "directory", "exec:"};
	const char *const *have = agent_drivers(m->agent);

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strncmp(words[i], body.p, body.len) == 0)
			return true;
	for (; *have; have++)
		if (strncmp(*have, body.p, body.len) == 0)
			return true;
	return false;
}

/* The lines that are complete. */
static struct ch_bytes whole_lines(struct ch_bytes body)
{
	const char *eol = body.len ? memrchr(body.p, '\n', body.len) : NULL;

	body.len = eol ? (size_t)(eol + 1 - (const char *)body.p) : 0;
	return body;
}

static int check_spec_part(struct mnt *m, const struct handle *h,
			   const struct node_id *id, struct ch_bytes body,
			   struct err *reterr)
{
	struct view_spec spec;
	struct agent_view av;
	int r;

	if (is_as_seen(m, h, id))
		return agent_check_prefix(m->agent, &h->seen, ch_str(id->name),
					  body, reterr);
	if (agent_view_get(m->agent, &av) < 0)
		return 0; /* The commit will say it. */
	r = view_spec(&av.v, ch_str(id->name), &spec, NULL);
	agent_view_put(m->agent, &av);
	return r < 0 ? 0
		     : agent_check_prefix(m->agent, &spec, ch_str(id->name),
					  body, reterr);
}

int handle_check_part(struct mnt *m, const struct handle *h,
		      const struct node_id *id, struct ch_bytes body,
		      struct err *reterr)
{
	struct ch_bytes lines = whole_lines(body);
	struct ch_prepared prepared;
	int r = 0;

	switch (id->kind) {
	case NODE_SPEC:
		r = check_spec_part(m, h, id, body, reterr);
		break;
	case NODE_SITE_PATCH:
		r = doc_check_prefix(body, reterr);
		break;
	case NODE_DRIVER_WORD:
		if (lines.len > 0 || !may_become_driver(m, body))
			r = prepare(m, h, id, body, &prepared, reterr);
		break;
	case NODE_SITES:
	case NODE_POLICY:
	case NODE_HOLD:
		if (lines.len > 0)
			r = prepare(m, h, id, lines, &prepared, reterr);
		break;
	case NODE_MEMBER_ADDRESS:
		if (lines.len > 0)
			r = check_address(body, reterr);
		break;
	case NODE_MEMBER_LABELS:
		r = check_labels(lines, reterr);
		break;
	default:
		break;
	}
	return r < 0 ? r : 0;
}

/* Of the files of .sites: is there something to do? 1: no. */
static int prepare_member(struct mnt *m, const struct node_id *id,
			  struct ch_bytes body, struct err *reterr)
{
	struct strbuf now = STRBUF_INIT;
	struct agent_view av;
	int r;

	if (body.len == 0)
		return 1;
	r = id->kind == NODE_MEMBER_ADDRESS ? check_address(body, reterr)
					    : check_labels(body, reterr);
	if (r < 0)
		return r;
	r = agent_view_get(m->agent, &av);
	if (r < 0)
		return err_set(reterr, r, "this site's store cannot be read");
	r = render_content(m, &av.v, id, &now, reterr);
	agent_view_put(m->agent, &av);
	if (r == 0)
		r = ch_bytes_equal(strbuf_bytes(&now), body);
	strbuf_release(&now);
	return r;
}

void handle_commit_body(struct mnt *m, const struct node_id *target,
			struct ch_bytes body, struct ch_bytes context,
			const char *user, struct parked *p)
{
	const struct kind *k = kind_of(target->kind);
	struct ch_submit s = {.body = body, .user = ch_str(user)};
	struct strbuf now = STRBUF_INIT;
	struct err err = ERR_INIT;
	int r;

	if (k->by_write) {
		r = prepare(m, p->h, target, body, &s.prepared, &err);
		s.op = CH_WRITE;
		s.name = ch_str(target->name);
		if (r == -ENOENT && context.len) {
			r = prepare_renamed(m, target, context, body,
					    &s.prepared, &now, &err);
			s.name = strbuf_bytes(&now);
		}
		s.file = k->file;
		if (target->kind == NODE_SITE_PATCH)
			s.site = ch_str(target->site);
		s.context = context;
	} else {
		r = prepare_member(m, target, body, &err);
		s.op = target->kind == NODE_MEMBER_ADDRESS ? CH_ADDRESS
							   : CH_LABELS;
		s.site = ch_str(target->site);
	}
	if (r != 0) {
		parked_end(p, r < 0 ? r : 0, err.text);
	} else {
		p->version = true;
		parked_submit(p, &s);
	}
	strbuf_release(&now);
}

static void commit_run(struct parked *p);

/*
 * One commit of that node has ended: whose turn is it? Appends go one by one,
 * the others together. Called with the lock held; the caller runs the list.
 */
static void take_turns(struct node_more *more, struct list *ret_next)
{
	while (!list_is_empty(&more->waiting)) {
		struct parked *p =
			LIST_ENTRY(more->waiting.next, struct parked, turn);

		if (more->append || (p->append && more->n_commits > 0))
			break;
		list_del(&p->turn);
		list_add_tail(ret_next, &p->turn);
		more->n_commits++;
		more->append = p->append;
	}
}

/* The answer to whoever flushed; the last that is done for it. */
static void commit_reply(void *arg)
{
	struct parked *p = arg;

	if (p->req)
		fuse_reply_err(p->req, p->err < 0 ? -p->err : 0);
	parked_done(p);
}

static void commit_end(struct parked *p, int err)
{
	struct mnt *m = p->m;
	struct node *n = p->node;
	struct list next;
	const struct node_id *id;
	bool sites;

	list_init(&next);
	mnt_lock(m);
	id = n->id;
	n->more->n_commits--;
	if (p->append)
		n->more->append = false;
	if (err < 0 && p->append &&
	    p->h->append) { /* What was to be added stands first. */
		strbuf_add(&p->body, p->h->buf.buf, p->h->buf.len);
		strbuf_swap(&p->h->buf, &p->body);
	}
	if (err < 0) {
		p->h->dirty = true;
		p->h->failed = true;
	} else if (p->version) {
		handle_take_context(p->h, &p->context);
	}
	take_turns(n->more, &next);
	mnt_unlock(m);
	while (!list_is_empty(&next)) {
		struct parked *q = LIST_ENTRY(next.next, struct parked, turn);

		list_del(&q->turn);
		parked_work(q, commit_run);
	}
	p->err = err;
	sites = err == 0 && p->version && id->kind == NODE_SITES;
	/* The size that the kernel has is of before. */
	if (err == 0 && p->version)
		mnt_stale(m, n);
	if (sites) /* Directories came and went with it. */
		notify_then(m->notify, id->name, commit_reply, p);
	else
		commit_reply(p);
}

int handle_current(struct mnt *m, const struct node_id *id,
		   struct strbuf *ret_body, struct strbuf *ret_context)
{
	const struct kind *k = kind_of(id->kind);
	struct agent_view av;
	int r = 0;

	r = agent_view_get(m->agent, &av);
	if (r < 0)
		return r;
	if (ret_body)
		r = render_content(m, &av.v, id, ret_body, NULL);
	if (r == 0 && k->by_write)
		r = view_context(
			&av.v, ch_str(id->name), k->file,
			ch_str(id->kind == NODE_SITE_PATCH ? id->site : ""),
			ret_context);
	agent_view_put(m->agent, &av);
	return r < 0 ? r : strbuf_error(ret_context);
}

/* @body, @context: of p->h, or copies of them in @p. */
static void commit_bytes(struct parked *p, struct ch_bytes body,
			 struct ch_bytes context, bool committed)
{
	struct strbuf whole = STRBUF_INIT, seen = STRBUF_INIT;
	struct mnt *m = p->m;
	const struct node_id *id = mnt_id(m, p->node);
	int r = 0;

	if (p->append) { /* Behind what stands there now. */
		r = handle_current(m, id, &whole, &seen);
		strbuf_add(&whole, body.p, body.len);
		if (r == 0)
			r = strbuf_error(&whole);
		body = strbuf_bytes(&whole);
		context = strbuf_bytes(&seen);
		if (r == 0 && body.len > m->opts->spec_max)
			r = -EFBIG;
	} else if (committed) {
		/* It has committed, and cannot say what it has seen since. */
		r = handle_current(m, id, NULL, &seen);
		context = strbuf_bytes(&seen);
	}
	if (r < 0)
		parked_end(p, r, NULL);
	else
		handle_commit_body(m, id, body, context, p->h->user, p);
	strbuf_release(&whole);
	strbuf_release(&seen);
}

/* From the worker: all that is needed was copied into @p. */
static void commit_run(struct parked *p)
{
	struct strbuf body = STRBUF_INIT, context = STRBUF_INIT;
	bool committed;

	mnt_lock(p->m);
	committed = p->h->committed;
	strbuf_add(&context, p->h->context.buf, p->h->context.len);
	mnt_unlock(p->m);
	/* p->body of an append is needed again if it fails. */
	if (p->append)
		strbuf_add(&body, p->body.buf, p->body.len);
	else
		strbuf_swap(&body, &p->body);
	if (strbuf_error(&body) < 0 || strbuf_error(&context) < 0)
		parked_end(p, -ENOMEM, NULL);
	else
		commit_bytes(p, strbuf_bytes(&body), strbuf_bytes(&context),
			     committed);
	strbuf_release(&body);
	strbuf_release(&context);
}

static int label(struct parked *p, const struct node_id *id)
{
	const char *whose = handle_error_of(id);
	struct strbuf sb = STRBUF_INIT;
	int r = 0;

	if (whose) {
		handle_label(id, &sb);
		r = strbuf_error(&sb);
		if (r == 0)
			r = parked_label(p, whose, sb.buf);
	}
	strbuf_release(&sb);
	return r;
}

/*
 * Give @p what it commits: an append's bytes change hands, what has to wait is
 * copied. Called with the lock held. 0; -ENOMEM: nothing has changed.
 */
static int load(struct parked *p, struct handle *h, bool copy)
{
	if (strbuf_error(&h->buf) < 0)
		return -ENOMEM;
	if (p->append) {
		strbuf_swap(&p->body, &h->buf);
	} else if (copy) {
		strbuf_add(&p->body, h->buf.buf, h->buf.len);
	}
	return strbuf_error(&p->body);
}

void handle_commit(struct mnt *m, struct handle *h, fuse_req_t req)
{
	struct strbuf context = STRBUF_INIT;
	struct node_more *more = h->node->more;
	bool wait, copy, committed;
	struct parked *p;
	int r;

	p = parked_new(m, req, commit_end, h->node, h);
	r = p ? label(p, mnt_id(m, h->node)) : -ENOMEM;
	mnt_lock(m);
	wait = more->append || !list_is_empty(&more->waiting) ||
	       (h->append && more->n_commits > 0);
	copy = wait || h->buf.len > COMMIT_LONG;
	committed = h->committed;
	strbuf_add(&context, h->context.buf, h->context.len);
	if (r == 0)
		r = strbuf_error(&context);
	if (r == 0) {
		p->append = h->append;
		r = load(p, h, copy);
	}
	if (r == 0) {
		h->dirty = false;
		if (wait) {
			list_add_tail(&more->waiting, &p->turn);
		} else {
			more->n_commits++;
			more->append = p->append;
		}
	}
	mnt_unlock(m);
	if (r < 0) {
		if (req)
			fuse_reply_err(req, -r);
		if (p)
			parked_done(p);
	} else if (wait) {
		/* take_turns() */
	} else if (copy) {
		parked_work(p, commit_run);
	} else if (p->append) {
		commit_run(p);
	} else {
		commit_bytes(p, strbuf_bytes(&h->buf), strbuf_bytes(&context),
			     committed);
	}
	strbuf_release(&context);
}
