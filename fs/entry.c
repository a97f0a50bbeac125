/* entry.c -- see entry.h. */
#include "fs/entry.h"

#include <errno.h>
#include <string.h>

#include "core/name.h"
#include "fs/render.h"
#include "fs/scratch.h"
#include "fs/tree.h"

int entry_take(struct mnt *m, const struct view *v, struct node *n,
	       const struct view_resource *info, struct fuse_entry_param *ret)
{
	struct fuse_entry_param e = {.generation = 1};
	int r;

	r = render_attr(m, v, n, info, &e.attr, &e.attr_timeout);
	e.ino = n->no;
	mnt_lock(m);
	/* A fresh inode at each lookup: so its name is kept for no time. Nor
	 * is that of a held removal: when it is moved back, the kernel has a
	 * file where a directory has come, and must ask. */
	if (n->id->kind != NODE_WAIT && n->id->kind != NODE_SITE_WAIT &&
	    n->id->kind != NODE_HELD &&
	    mnt_is_fresh(m, v->stamp, n->id->name))
		e.entry_timeout = m->opts->entry_timeout;
	if (r == 0)
		inode_looked_up(n);
	inode_unref(&m->inodes, n);
	mnt_unlock(m);
	if (r == 0)
		*ret = e;
	return r;
}

void entry_forget(struct mnt *m, fuse_ino_t ino, uint64_t n)
{
	struct node *node;

	mnt_lock(m);
	node = inode_by_no(&m->inodes, ino);
	if (node)
		inode_forget(&m->inodes, node, n);
	mnt_unlock(m);
}

void entry_undo(struct mnt *m, fuse_ino_t ino)
{
	entry_forget(m, ino, 1);
}

/* What has been seen of the files beside it: when it is renamed onto one of
 * them, that is what its writer had seen. */
static int see(struct mnt *m, const struct node_id *dir, struct scratch *s)
{
	struct agent_view av;
	enum ch_file f, last;
	int r;

	if (dir->kind != NODE_RESOURCE && dir->kind != NODE_SITE)
		return 0;
	r = agent_view_get(m->agent, &av);
	if (r < 0)
		return r;
	f = dir->kind == NODE_SITE ? CH_FILE_PATCH : CH_FILE_SPEC;
	last = dir->kind == NODE_SITE ? CH_FILE_PATCH : CH_FILE_SITES;
	for (; r == 0 && f <= last; f++) {
		r = view_context(&av.v, ch_str(dir->name), f,
				 ch_str(f == CH_FILE_PATCH ? dir->site : ""),
				 &s->context[f]);
		if (r == 0)
			r = strbuf_error(&s->context[f]);
		s->seen[f] = r == 0;
	}
	agent_view_put(m->agent, &av);
	return r;
}

static int check_name(const struct node_id *dir, const char *name)
{
	if (!kind_takes_scratch(dir->kind))
		return -EPERM;
	if (strlen(name) > TREE_NAME_MAX)
		return -ENAMETOOLONG;
	/* Such names will mean something some day, or do so elsewhere. */
	if (dir->kind == NODE_RESOURCE && name_is_reserved(ch_str(name)))
		return -EPERM;
	if (kind_fixed(dir->kind, name) != NODE_KIND_N)
		return -EACCES;
	return 0;
}

int entry_scratch_new(fuse_req_t req, struct node *dir, const char *name,
		      enum node_kind kind, mode_t mode, const char *target,
		      struct node **ret_node)
{
	struct mnt *m = mnt_of(req);
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	const struct node_id *id = mnt_id(m, dir);
	struct scratch *s = NULL;
	struct scratch_name *old;
	struct node *n;
	int r;

	r = check_name(id, name);
	if (r < 0)
		return r;
	mnt_lock(m);
	n = inode_new_loose(&m->inodes, dir, kind, id->name, id->site);
	if (n)
		s = scratch_new(n);
	mnt_unlock(m);
	r = s ? see(m, id, s) : -ENOMEM;
	mnt_lock(m);
	if (r == 0) {
		s->mode = mode & 07777;
		s->uid = ctx->uid;
		s->gid = ctx->gid;
		s->mtime_ns = mnt_now_ns();
		if (target)
			strbuf_add_str(&s->data, target);
		r = strbuf_error(&s->data);
	}
	old = scratch_find(&m->inodes, dir, name, mnt_monotonic_ms());
	if (r == 0 && old && old->node)
		r = -EEXIST;
	if (r == 0)
		r = scratch_add(&m->inodes, dir, name, n);
	if (r < 0)
		inode_unref(&m->inodes, n);
	mnt_unlock(m);
	if (r == 0)
		*ret_node = n;
	return r;
}

void entry_scratch(fuse_req_t req, struct node *dir, const char *name,
		   enum node_kind kind, mode_t mode, const char *target)
{
	struct mnt *m = mnt_of(req);
	struct fuse_entry_param e;
	struct agent_view av;
	struct node *n;
	int r;

	r = entry_scratch_new(req, dir, name, kind, mode, target, &n);
	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	r = mnt_view_get(m, &av);
	if (r == 0) {
		r = entry_take(m, &av.v, n, NULL, &e);
		agent_view_put(m->agent, &av);
	} else {
		mnt_lock(m);
		inode_unref(&m->inodes, n);
		mnt_unlock(m);
	}
	if (r < 0)
		fuse_reply_err(req, -r);
	else if (fuse_reply_entry(req, &e) < 0)
		entry_undo(m, e.ino);
}
