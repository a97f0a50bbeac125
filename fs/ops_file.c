/* ops_file.c -- handlers of open files. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/entry.h"
#include "fs/handle.h"
#include "fs/owner.h"
#include "fs/render.h"
#include "fs/reply.h"
#include "fs/scratch.h"
#include "fs/tree.h"

static struct handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct handle *)(uintptr_t)fi->fh;
}

/* What was refused, in the file error of the resource it belongs to. */
static void refused(struct mnt *m, const struct node_id *id, int err,
		    const struct err *why)
{
	const char *whose = handle_error_of(id);
	struct strbuf name = STRBUF_INIT;

	if (!whose)
		return;
	handle_label(id, &name);
	if (strbuf_error(&name) == 0)
		agent_refused(m->agent, ch_str(whose), name.buf, err,
			      why->text[0] ? why->text : strerror(-err));
	strbuf_release(&name);
}

static void file_info(struct fuse_file_info *fi, struct handle *h)
{
	fi->fh = (uintptr_t)h;
	fi->direct_io = 1;
	fi->keep_cache = 0;
	fi->noflush = !h->write;
}

static void ll_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mnt *m = mnt_of(req);
	struct node *n = mnt_node(m, ino);
	enum node_kind k = mnt_id(m, n)->kind;
	struct err err = ERR_INIT;
	struct agent_view av;
	struct handle *h;
	int r;

	if (!handle_needs_view(k, fi->flags) &&
	    tree_is_always_there(mnt_id(m, n))) {
		r = handle_open(m, NULL, n, fi->flags, fuse_req_ctx(req), &h,
				&err);
	} else if ((r = mnt_view_get(m, &av)) == 0) {
		/* The kernel has a name that is gone: it looks again. */
		r = tree_still_there(m, &av.v, n) == -ENOENT ? -ESTALE : 0;
		if (r == 0)
			r = handle_open(m, &av.v, n, fi->flags,
					fuse_req_ctx(req), &h, &err);
		agent_view_put(m->agent, &av);
	}
	if (r < 0) {
		if (r != -ESTALE && (fi->flags & O_ACCMODE) != O_RDONLY)
			refused(m, mnt_id(m, n), r, &err);
		fuse_reply_err(req, -r);
		return;
	}
	file_info(fi, h);
	if (fuse_reply_open(req, fi) < 0)
		handle_close(m, h);
}

/*
 * The node that a create in @dir opens: a file that the tree provides, whether
 * its name is hidden now or not; what the maker of a directory copies there
 * and we do not take; else a new scratch file. Held.
 */
static int create_node(fuse_req_t req, const struct view *v, struct node *dir,
		       const char *name, mode_t mode, int *flags,
		       struct node **ret_node)
{
	struct mnt *m = mnt_of(req);
	const struct node_id *id = mnt_id(m, dir);
	enum node_kind k = kind_fixed(id->kind, name);
	struct scratch_name *hidden;
	struct proc who;
	bool made;
	int r;

	if (strlen(name) > TREE_NAME_MAX)
		return -ENAMETOOLONG;
	if (k != NODE_KIND_N || id->kind == NODE_CONFLICTS) {
		if (k != NODE_KIND_N && kind_of(k)->dir)
			return -EISDIR;
		who = proc_of(fuse_req_ctx(req)->pid);
		mnt_lock(m);
		hidden =
			scratch_find(&m->inodes, dir, name, mnt_monotonic_ms());
		if (hidden)
			scratch_del(&m->inodes, dir, hidden);
		made = makers_has(&m->makers, &who, id->name, id->site);
		for (size_t i = 0; i < MNT_REMOVED_MAX; i++)
			if (m->removed[i].who == proc_number(&who))
				m->removed[i].until_ms = 0;
		mnt_unlock(m);
		if (hidden || (*flags & O_EXCL))
			*flags |= O_TRUNC; /* To whoever opens it, it is new. */
		r = tree_resolve(m, v, dir, name, ret_node);
		if (r != -ENOENT)
			return r;
		if (!made)
			return id->kind == NODE_CONFLICTS ? -EPERM : -EACCES;
		mnt_lock(m);
		*ret_node = inode_new_loose(&m->inodes, dir, NODE_SINK,
					    id->name, id->site);
		mnt_unlock(m);
		return *ret_node ? 0 : -ENOMEM;
	}
	r = tree_resolve(m, v, dir, name, ret_node);
	if (r != -ENOENT)
		return r;
	return entry_scratch_new(req, dir, name, NODE_SCRATCH, mode, NULL,
				 ret_node);
}

static void ll_create(fuse_req_t req, fuse_ino_t parent, const char *name,
		      mode_t mode, struct fuse_file_info *fi)
{
	struct mnt *m = mnt_of(req);
	struct node *dir = mnt_node(m, parent), *n = NULL;
	struct err err = ERR_INIT;
	struct fuse_entry_param e;
	struct handle *h = NULL;
	struct agent_view av;
	int r;

	r = mnt_view_get(m, &av);
	if (r == 0) {
		r = create_node(req, &av.v, dir, name, mode, &fi->flags, &n);
		if (r == 0)
			r = handle_open(m, &av.v, n, fi->flags,
					fuse_req_ctx(req), &h, &err);
		if (r == 0) {
			r = entry_take(m, &av.v, n, NULL, &e);
			n = NULL;
		}
		agent_view_put(m->agent, &av);
	}
	if (r < 0) {
		if (h)
			handle_close(m, h);
		if (n) {
			refused(m, mnt_id(m, n), r, &err);
			mnt_lock(m);
			inode_unref(&m->inodes, n);
			mnt_unlock(m);
		}
		fuse_reply_err(req, -r);
		return;
	}
	file_info(fi, h);
	if (fuse_reply_create(req, &e, fi) < 0) {
		handle_close(m, h);
		entry_undo(m, e.ino);
	}
}

static void ll_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct mnt *m = mnt_of(req);
	struct ch_bytes bytes;
	int r;

	(void)ino;
	r = handle_read(m, handle_of(fi), size, off, &bytes);
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_buf(req, bytes.p, bytes.len);
}

static void ll_write(fuse_req_t req, fuse_ino_t ino, const char *buf,
		     size_t size, off_t off, struct fuse_file_info *fi)
{
	struct mnt *m = mnt_of(req);
	struct handle *h = handle_of(fi);
	struct err err = ERR_INIT;
	int r;

	(void)ino;
	r = handle_write(m, h, buf, size, off, fi->lock_owner, &err);
	if (r < 0) {
		refused(m, mnt_id(m, h->node), r, &err);
		fuse_reply_err(req, -r);
	} else {
		fuse_reply_write(req, size);
	}
}

/* Is there something to commit? */
static bool is_dirty(struct mnt *m, struct handle *h, bool anew)
{
	bool dirty;

	mnt_lock(m);
	dirty = h->write && !h->sink && h->dirty && !h->killed &&
		h->refused == 0 && !(anew && h->failed) &&
		h->node->id->kind != NODE_SCRATCH;
	mnt_unlock(m);
	return dirty;
}

static bool has_written(const struct handle *h, uint64_t lock_owner)
{
	/* More writers than are remembered: any may be one. */
	if (h->n_owners == HANDLE_OWNERS_MAX)
		return true;
	for (size_t i = 0; i < h->n_owners; i++)
		if (h->owners[i] == lock_owner)
			return true;
	return false;
}

static void discard(struct mnt *m, struct handle *h)
{
	struct err err = {
		.text = "a writer was killed before it had closed the file: "
			"nothing of it was committed"};

	mnt_lock(m);
	h->killed = true;
	h->dirty = false;
	mnt_unlock(m);
	refused(m, mnt_id(m, h->node), -EINTR, &err);
}

static enum flush_verdict judge(fuse_req_t req, struct handle *h,
				uint64_t lock_owner)
{
	struct mnt *m = mnt_of(req);
	struct flush_question q = {
		.tid = fuse_req_ctx(req)->pid,
		.opener = h->opener,
		.wrote = has_written(h, lock_owner),
	};

	mnt_lock(m);
	q.base = tree_name_of(h->node->id);
	q.ino = h->node->id->hash;
	q.ino_old = h->node->ino_old;
	mnt_unlock(m);
	return flush_judge(&q);
}

static void ll_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mnt *m = mnt_of(req);
	struct handle *h = handle_of(fi);

	(void)ino;
	if (h->write && h->refused < 0) {
		fuse_reply_err(req, -h->refused);
		return;
	}
	if (is_dirty(m, h, false)) {
		switch (judge(req, h, fi->lock_owner)) {
		case FLUSH_LAST:
			handle_commit(m, h, req);
			return;
		case FLUSH_MORE:
			break;
		case FLUSH_DISCARD:
			discard(m, h);
			break;
		}
	}
	fuse_reply_err(req, 0);
}

static void ll_release(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct mnt *m = mnt_of(req);
	struct handle *h = handle_of(fi);

	(void)ino;
	/* The last resort: nobody hears of an error but the file error. */
	if (is_dirty(m, h, true))
		handle_commit(m, h, NULL);
	handle_close(m, h);
	fuse_reply_err(req, 0);
}

static void wait_end(struct parked *p, int err)
{
	fuse_reply_err(p->req, -err);
	parked_done(p);
}

/* fsync() of .wait: until all sites, or this one, have carried out what is
 * asked now. */
static void wait_for_sites(fuse_req_t req, struct node *n)
{
	struct mnt *m = mnt_of(req);
	const struct node_id *id = mnt_id(m, n);
	struct ch_submit s = {.op = CH_WAIT,
			      .name = ch_str(id->name),
			      .site = ch_str(id->site),
			      .timeout_ms = m->opts->sync_timeout_ms};
	struct strbuf label = STRBUF_INIT;
	char user[VIEW_OWNER_MAX];
	struct parked *p;

	owner_user(fuse_req_ctx(req)->uid, user, sizeof(user));
	s.user = ch_str(user);
	p = parked_new(m, req, wait_end, n, NULL);
	if (!p) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	p->breakable = true;
	handle_label(id, &label);
	if (strbuf_error(&label) < 0 ||
	    parked_label(p, id->name, label.buf) < 0)
		parked_end(p, -ENOMEM, NULL);
	else
		parked_submit(p, &s);
	strbuf_release(&label);
}

static void ll_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		     struct fuse_file_info *fi)
{
	struct mnt *m = mnt_of(req);
	struct node *n = mnt_node(m, ino);
	struct handle *h = handle_of(fi);
	enum node_kind k = mnt_id(m, n)->kind;

	(void)datasync;
	if (k == NODE_WAIT || k == NODE_SITE_WAIT)
		wait_for_sites(req, n);
	else if (h->write && h->refused < 0)
		fuse_reply_err(req, -h->refused);
	else if (is_dirty(m, h, false))
		handle_commit(m, h, req);
	else
		fuse_reply_err(req, 0);
}

static void ll_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		    struct fuse_pollhandle *ph)
{
	(void)ino;
	fuse_reply_poll(req, handle_poll(mnt_of(req), handle_of(fi), ph));
}

/* Not EOPNOTSUPP: glibc would make up for it by writing NULs into a spec. */
static void ll_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
			 off_t length, struct fuse_file_info *fi)
{
	struct mnt *m = mnt_of(req);
	bool scratch = mnt_id(m, mnt_node(m, ino))->kind == NODE_SCRATCH;

	(void)mode;
	(void)offset;
	(void)length;
	(void)fi;
	fuse_reply_err(req, scratch ? EOPNOTSUPP : EPERM);
}

void ops_file(struct fuse_lowlevel_ops *ops)
{
	ops->open = ll_open;
	ops->create = ll_create;
	ops->read = ll_read;
	ops->write = ll_write;
	ops->flush = ll_flush;
	ops->release = ll_release;
	ops->fsync = ll_fsync;
	ops->poll = ll_poll;
	ops->fallocate = ll_fallocate;
}
