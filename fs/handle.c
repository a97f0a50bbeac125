/* handle.c -- see handle.h. Reading and buffers; commit.c commits. */
#include "fs/handle.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "fs/owner.h"
#include "fs/render.h"
#include "fs/scratch.h"

/* What a writer who opens the file now has seen of it. */
static int context_load(const struct view *v, const struct node_id *id,
			struct handle *h)
{
	const struct kind *k = kind_of(id->kind);
	int r = 0;

	if (id->kind == NODE_SPEC) {
		h->seen_at = v->stamp;
		h->seen_id = id;
		return view_spec(v, ch_str(id->name), &h->seen, &h->context);
	}
	if (k->by_write)
		r = view_context(
			v, ch_str(id->name), k->file,
			ch_str(id->kind == NODE_SITE_PATCH ? id->site : ""),
			&h->context);
	return r < 0 ? r : strbuf_error(&h->context);
}

/* A file that users may not write: the maker of its directory may seem to. */
static bool is_sink(struct mnt *m, const struct node_id *id, pid_t tid)
{
	struct proc opener;
	bool sink;

	if (id->kind == NODE_SINK)
		return true;
	opener = proc_of(tid);
	mnt_lock(m);
	sink = makers_has(&m->makers, &opener, id->name, id->site);
	mnt_unlock(m);
	return sink;
}

/* Mostly it is a second rsync, tar x or cp -r over the same resource. */
static int read_only(const struct node_id *id, struct err *reterr)
{
	enum node_kind dir = kind_of(id->kind)->parent;

	if (dir == NODE_RESOURCE || dir == NODE_SITE || dir == NODE_CONFLICTS)
		return err_set(reterr, -EACCES,
			       "this file can only be read; into a resource "
			       "that stands, copy just what can be written: "
			       "spec, sites, driver, SITE/patch");
	return err_set(reterr, -EACCES, "this file can only be read");
}

static int open_to_write(struct mnt *m, const struct view *v,
			 const struct node_id *id, int flags,
			 const struct fuse_ctx *ctx, struct handle *h,
			 struct err *reterr)
{
	int r;

	h->write = true;
	h->opener = proc_then(ctx->pid);
	owner_user(ctx->uid, h->user, sizeof(h->user));
	if (id->kind == NODE_SCRATCH) {
		mnt_lock(m);
		if ((flags & O_TRUNC) && h->node->more->scratch)
			strbuf_set_len(&h->node->more->scratch->data, 0);
		mnt_unlock(m);
		return 0;
	}
	if (!render_is_writable(m, id)) {
		h->sink = is_sink(m, id, ctx->pid);
		return h->sink ? 0 : read_only(id, reterr);
	}
	r = agent_writable(m->agent, reterr);
	if (r < 0)
		return r;
	h->append = (flags & O_APPEND) && !(flags & O_TRUNC);
	r = context_load(v, id, h);
	if (r == 0 && h->append && id->kind == NODE_SPEC &&
	    view_length(v, VIEW_SPEC, ch_str(id->name), ch_str(""),
			&h->append_at) < 0)
		h->append_at = 0;
	if (r == 0 && !(flags & O_TRUNC) && !h->append)
		r = render_content(m, v, id, &h->buf, reterr);
	return r;
}

bool handle_needs_view(enum node_kind k, int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || kind_of(k)->poll;
}

int handle_open(struct mnt *m, const struct view *v, struct node *n, int flags,
		const struct fuse_ctx *ctx, struct handle **ret_handle,
		struct err *reterr)
{
	const struct node_id *id = mnt_id(m, n);
	bool write = (flags & O_ACCMODE) != O_RDONLY;
	struct handle *h;
	int r = 0;

	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->refs = 1;
	list_init(&h->link);
	list_init(&h->poll_link);
	strbuf_init(&h->buf);
	strbuf_init(&h->context);
	strbuf_init(&h->snap);
	mnt_lock(m);
	h->node = inode_ref(n);
	if (write && !inode_more(n)) /* Its commits wait there. */
		r = -ENOMEM;
	else if (write)
		n->more->n_writers++;
	h->counted = write && r == 0;
	list_add_tail(&m->handles, &h->link);
	mnt_unlock(m);
	if (r == 0 && write)
		r = open_to_write(m, v, id, flags, ctx, h, reterr);
	else if (r == 0 && kind_of(id->kind)->poll)
		r = render_meaning(m, v, id, &h->meaning);
	if (r < 0) {
		handle_close(m, h);
		return r;
	}
	*ret_handle = h;
	return 0;
}

struct handle *handle_ref(struct mnt *m, struct handle *h)
{
	mnt_lock(m);
	h->refs++;
	mnt_unlock(m);
	return h;
}

void handle_unref(struct mnt *m, struct handle *h)
{
	bool last;

	mnt_lock(m);
	last = --h->refs == 0;
	if (last) {
		list_del(&h->link);
		if (h->counted)
			inode_less(h->node);
		inode_unref(&m->inodes, h->node);
	}
	mnt_unlock(m);
	if (!last)
		return;
	strbuf_release(&h->buf);
	strbuf_release(&h->context);
	strbuf_release(&h->snap);
	free(h);
}

void handle_close(struct mnt *m, struct handle *h)
{
	struct fuse_pollhandle *ph;

	mnt_lock(m);
	ph = h->ph;
	h->ph = NULL;
	list_del(&h->poll_link);
	list_del(&h->link);
	mnt_unlock(m);
	if (ph)
		fuse_pollhandle_destroy(ph);
	handle_unref(m, h);
}

void handles_release(struct mnt *m)
{
	while (!list_is_empty(&m->handles))
		handle_close(m,
			     LIST_ENTRY(m->handles.next, struct handle, link));
}

unsigned int handle_poll(struct mnt *m, struct handle *h,
			 struct fuse_pollhandle *ph)
{
	unsigned int events = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
	const struct node_id *id = mnt_id(m, h->node);
	struct fuse_pollhandle *old = NULL;
	struct agent_view av;
	uint64_t now = 0;
	int r;

	if (ph) {
		mnt_lock(m);
		old = h->ph;
		h->ph = ph;
		list_del(&h->poll_link);
		list_add_tail(&m->polled, &h->poll_link);
		mnt_unlock(m);
		if (old)
			fuse_pollhandle_destroy(old);
	}
	if (h->write || !kind_of(id->kind)->poll)
		return events;
	/* Behind the registration: what changes from here on wakes it. */
	r = agent_view_get(m->agent, &av);
	if (r < 0)
		return events;
	r = render_meaning(m, &av.v, id, &now);
	agent_view_put(m->agent, &av);
	mnt_lock(m);
	if (r == 0 && now != h->meaning)
		events |= POLLPRI | POLLERR;
	mnt_unlock(m);
	return events;
}

/* .events: not a snapshot, but a stream with a place in it. */
static int events_at(struct mnt *m, struct handle *h, size_t size, off_t off,
		     struct ch_bytes *ret_bytes)
{
	struct events *ev = agent_events(m->agent);
	uint64_t end = events_size(ev, NULL);
	size_t len;

	strbuf_reset(&h->snap);
	strbuf_set_len(&h->snap, size);
	if (strbuf_error(&h->snap) < 0)
		return -ENOMEM;
	if (h->cursor.at != (uint64_t)off)
		h->cursor = (struct events_cursor){.at = (uint64_t)off};
	len = events_read(ev, &h->cursor, h->snap.buf, size);
	if (len < size) {
		mnt_lock(m);
		h->meaning = end;
		mnt_unlock(m);
	}
	*ret_bytes = (struct ch_bytes){h->snap.buf, len};
	return 0;
}

static int scratch_at(struct mnt *m, struct handle *h, size_t size, off_t off,
		      struct ch_bytes *ret_bytes)
{
	const struct scratch *s;
	size_t len = 0;

	strbuf_reset(&h->snap);
	mnt_lock(m);
	s = h->node->more ? h->node->more->scratch : NULL;
	if (s && (uint64_t)off < s->data.len) {
		len = s->data.len - (size_t)off;
		if (len > size)
			len = size;
		strbuf_add(&h->snap, s->data.buf + off, len);
	}
	mnt_unlock(m);
	*ret_bytes = (struct ch_bytes){h->snap.buf, len};
	return strbuf_error(&h->snap);
}

static int snapshot_take(struct mnt *m, const struct view *v,
			 const struct node_id *id, struct handle *h)
{
	const struct kind *k = kind_of(id->kind);
	int r;

	strbuf_reset(&h->snap);
	h->snapped = false;
	h->snap_at = v->stamp;
	r = render_content(m, v, id, &h->snap, NULL);
	if (r < 0)
		return r;
	if (k->poll) {
		mnt_lock(m);
		h->meaning = render_meaning_of(h->snap.buf, h->snap.len);
		mnt_unlock(m);
	}
	h->snapped = true;
	h->at_end = false;
	return 0;
}

/*
 * At the end of the snapshot. What was only added to is served at once, so
 * that tail -f follows. Else the reader first hears that this is the end: it
 * has read one whole content. If it asks again it waits for the next one.
 */
static int snapshot_renew(struct mnt *m, const struct view *v,
			  const struct node_id *id, struct handle *h)
{
	struct strbuf now = STRBUF_INIT;
	bool grown;
	int r;

	r = render_content(m, v, id, &now, NULL);
	if (r < 0) {
		strbuf_release(&now);
		return r;
	}
	grown = now.len > h->snap.len && h->snap.len > 0 &&
		memcmp(now.buf, h->snap.buf, h->snap.len) == 0;
	if (grown || h->at_end) {
		strbuf_swap(&h->snap, &now);
		h->snap_at = v->stamp;
		h->at_end = false;
	} else {
		h->at_end = true;
	}
	strbuf_release(&now);
	return r;
}

/* What comes from a spec changes only with a word from the engine. */
static bool is_at_end(struct mnt *m, const struct handle *h,
		      const struct node_id *id, off_t off)
{
	return off > 0 && h->snapped && kind_of(id->kind)->secret &&
	       mnt_is_fresh(m, h->snap_at, id->name);
}

int handle_read(struct mnt *m, struct handle *h, size_t size, off_t off,
		struct ch_bytes *ret_bytes)
{
	const struct node_id *id = mnt_id(m, h->node);
	const struct strbuf *from = &h->snap;
	struct agent_view av;
	int r = 0;

	if (id->kind == NODE_EVENTS)
		return events_at(m, h, size, off, ret_bytes);
	if (id->kind == NODE_SCRATCH)
		return scratch_at(m, h, size, off, ret_bytes);
	if (h->write && !h->append && !h->sink) {
		from = &h->buf; /* It reads what it writes. */
	} else if (off == 0 || !h->snapped ||
		   ((size_t)off >= h->snap.len && !is_at_end(m, h, id, off))) {
		r = mnt_view_get(m, &av);
		if (r < 0)
			return r;
		if (off == 0 || !h->snapped)
			r = snapshot_take(m, &av.v, id, h);
		else
			r = snapshot_renew(m, &av.v, id, h);
		agent_view_put(m->agent, &av);
		/* Gone while it is open: it ends there. */
		if (r == -ENOENT) {
			*ret_bytes = (struct ch_bytes){NULL, 0};
			return 0;
		}
		if (r < 0)
			return r;
	}
	if ((uint64_t)off >= from->len) {
		*ret_bytes = (struct ch_bytes){NULL, 0};
		return 0;
	}
	if (size > from->len - (size_t)off)
		size = from->len - (size_t)off;
	*ret_bytes = (struct ch_bytes){from->buf + off, size};
	return 0;
}

/* Bytes at a place of a buffer; a hole before it is filled with NULs. */
static int put(struct strbuf *sb, const char *p, size_t len, size_t off)
{
	if (off + len > sb->len)
		strbuf_set_len(sb, off + len);
	if (strbuf_error(sb) < 0)
		return -ENOMEM;
	memcpy(sb->buf + off, p, len);
	return 0;
}

void handle_take_context(struct handle *h, const struct strbuf *context)
{
	strbuf_reset(&h->context);
	if (context)
		strbuf_add(&h->context, context->buf, context->len);
	h->committed = strbuf_error(&h->context) < 0 || h->context.len == 0;
	if (h->committed)
		strbuf_reset(&h->context);
}

void handle_follow_rename(struct mnt *m, struct node *n,
			  const struct strbuf *context)
{
	struct scratch *s = n->more ? n->more->scratch : NULL;
	struct list *l;

	if (!s)
		return;
	for (l = m->handles.next; l != &m->handles; l = l->next) {
		struct handle *h = LIST_ENTRY(l, struct handle, link);

		if (h->node != n || !h->write)
			continue;
		strbuf_add(&h->buf, s->data.buf, s->data.len);
		handle_take_context(h, context);
	}
	n->more->scratch = NULL;
	scratch_free(s);
}

static int scratch_write(struct mnt *m, struct handle *h, const char *p,
			 size_t len, size_t off)
{
	struct scratch *s;
	int r = -ESTALE; /* It is being renamed onto a file of the tree. */

	if (off > SCRATCH_LEN_MAX || len > SCRATCH_LEN_MAX - off)
		return -EFBIG;
	mnt_lock(m);
	s = h->node->more->scratch;
	if (s) {
		r = put(&s->data, p, len, off);
		s->mtime_ns = mnt_now_ns();
	}
	mnt_unlock(m);
	return r;
}

static void remember_owner(struct handle *h, uint64_t lock_owner)
{
	for (size_t i = 0; i < h->n_owners; i++)
		if (h->owners[i] == lock_owner)
			return;
	if (h->n_owners < HANDLE_OWNERS_MAX)
		h->owners[h->n_owners++] = lock_owner;
}

/*
 * Checks of what is there so far cost as much as the file is long. So that
 * many small writes of a long file stay linear, all of them together may cost
 * eight times its length.
 */
static bool check_is_due(struct handle *h, size_t len)
{
	if (h->checked > 64 * 1024 + 8 * len)
		return false;
	h->checked += len;
	return true;
}

static int check_part(struct mnt *m, struct handle *h, const struct node_id *id,
		      struct err *reterr)
{
	struct strbuf whole = STRBUF_INIT;
	struct agent_view av;
	int r;

	if (!h->append) {
		if (!check_is_due(h, h->buf.len))
			return 0;
		return handle_check_part(m, h, id, strbuf_bytes(&h->buf),
					 reterr);
	}
	if (agent_view_get(m->agent, &av) < 0)
		return 0; /* The commit will say it. */
	r = render_content(m, &av.v, id, &whole, NULL);
	agent_view_put(m->agent, &av);
	strbuf_add(&whole, h->buf.buf, h->buf.len);
	if (r == 0 && strbuf_error(&whole) == 0 && check_is_due(h, whole.len))
		r = handle_check_part(m, h, id, strbuf_bytes(&whole), reterr);
	strbuf_release(&whole);
	return r;
}

int handle_write(struct mnt *m, struct handle *h, const char *p, size_t len,
		 off_t off, uint64_t lock_owner, struct err *reterr)
{
	const struct node_id *id = mnt_id(m, h->node);
	size_t max = m->opts->spec_max, at = (size_t)off;
	int r;

	if (h->sink)
		return 0;
	if (id->kind == NODE_SCRATCH)
		return scratch_write(m, h, p, len, at);
	if (h->killed)
		return err_set(reterr, -EIO,
			       "a writer of this open file was killed: open "
			       "it again");
	if (h->append) {
		at = h->buf.len;
		max -= h->append_at < max ? (size_t)h->append_at : max;
	}
	if (h->refused == 0 && (at > max || len > max - at))
		h->refused = -EFBIG;
	if (h->refused < 0)
		return err_set(reterr, h->refused,
			       "more than %u bytes; this open file commits "
			       "nothing any more",
			       (unsigned int)m->opts->spec_max);
	mnt_lock(m);
	r = put(&h->buf, p, len, at);
	if (r == 0) {
		remember_owner(h, lock_owner);
		h->dirty = true;
		h->failed = false;
	}
	mnt_unlock(m);
	if (r == 0)
		r = check_part(m, h, id, reterr);
	if (r < 0) {
		mnt_lock(m);
		h->failed = true;
		mnt_unlock(m);
	}
	return r;
}

int scratch_truncate(struct mnt *m, struct node *n, off_t size)
{
	struct scratch *s;
	int r = -ESTALE;

	if ((uint64_t)size > SCRATCH_LEN_MAX)
		return -EFBIG;
	mnt_lock(m);
	s = n->more ? n->more->scratch : NULL;
	if (s) {
		strbuf_set_len(&s->data, (size_t)size);
		s->mtime_ns = mnt_now_ns();
		r = strbuf_error(&s->data);
	}
	mnt_unlock(m);
	return r;
}

int handle_truncate(struct mnt *m, struct handle *h, off_t size)
{
	const struct node_id *id = mnt_id(m, h->node);
	struct agent_view av;
	int r;

	if (h->sink)
		return 0;
	if (h->killed)
		return -EIO;
	if (id->kind == NODE_SCRATCH)
		return scratch_truncate(m, h->node, size);
	if ((uint64_t)size > m->opts->spec_max)
		return -EFBIG;
	if (h->append) { /* No longer only what is added: the whole. */
		struct strbuf whole = STRBUF_INIT;

		r = agent_view_get(m->agent, &av);
		if (r < 0)
			return r;
		r = render_content(m, &av.v, id, &whole, NULL);
		agent_view_put(m->agent, &av);
		strbuf_add(&whole, h->buf.buf, h->buf.len);
		if (r == 0)
			r = strbuf_error(&whole);
		if (r == 0) {
			mnt_lock(m);
			strbuf_swap(&h->buf, &whole);
			h->append = false;
			mnt_unlock(m);
		}
		strbuf_release(&whole);
		if (r < 0)
			return r;
	}
	mnt_lock(m);
	strbuf_set_len(&h->buf, (size_t)size);
	h->dirty = true;
	h->failed = false;
	r = strbuf_error(&h->buf);
	mnt_unlock(m);
	return r;
}
