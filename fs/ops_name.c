/* ops_name.c -- handlers that give, take and move names of files. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/name.h"
#include "fs/entry.h"
#include "fs/handle.h"
#include "fs/owner.h"
#include "fs/render.h"
#include "fs/reply.h"
#include "fs/scratch.h"
#include "fs/tree.h"

static void ll_symlink(fuse_req_t req, const char *link, fuse_ino_t parent,
		       const char *name)
{
	entry_scratch(req, mnt_node(mnt_of(req), parent), name,
		      NODE_SCRATCH_LINK, 0777, link);
}

static void ll_mknod(fuse_req_t req, fuse_ino_t parent, const char *name,
		     mode_t mode, dev_t rdev)
{
	(void)rdev;
	if (!S_ISREG(mode))
		fuse_reply_err(req, EPERM);
	else
		entry_scratch(req, mnt_node(mnt_of(req), parent), name,
			      NODE_SCRATCH, mode, NULL);
}

static void ll_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent,
		    const char *newname)
{
	(void)ino;
	(void)newparent;
	(void)newname;
	fuse_reply_err(req, EPERM);
}

static void ll_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct mnt *m = mnt_of(req);
	struct node *n = mnt_node(m, ino);
	char *target = NULL;

	mnt_lock(m);
	if (n->more && n->more->scratch)
		target = strdup(n->more->scratch->data.buf);
	mnt_unlock(m);
	if (target)
		fuse_reply_readlink(req, target);
	else
		fuse_reply_err(req, EINVAL);
	free(target);
}

static bool is_maker(fuse_req_t req, const struct node_id *id)
{
	struct mnt *m = mnt_of(req);
	struct proc who = proc_of(fuse_req_ctx(req)->pid);
	bool made;

	mnt_lock(m);
	made = makers_has(&m->makers, &who, id->name, id->site);
	mnt_unlock(m);
	return made;
}

/*
 * A name goes. Scratch is gone; spec is hidden until it is written again, or
 * for a while: whoever saves by removing first succeeds, and whoever merely
 * removes has removed nothing. All else is as it was, so that rm -r can go on;
 * but to who removed it the name is free, as install and tar need it.
 */
static int unlink_node(fuse_req_t req, struct node *dir, const char *name,
		       struct node *n)
{
	struct mnt *m = mnt_of(req);
	const struct node_id *id = mnt_id(m, n);
	const struct kind *k = kind_of(id->kind);
	int64_t now = mnt_monotonic_ms();
	struct scratch_name *e;
	struct proc who = proc_of(fuse_req_ctx(req)->pid);
	int r = 0;

	if (k->dir)
		return -EISDIR;
	if (!kind_is_scratch(id->kind) && k->parent != NODE_RESOURCE &&
	    k->parent != NODE_SITE && k->parent != NODE_CONFLICTS &&
	    k->parent != NODE_TRASH)
		return -EPERM;
	mnt_lock(m);
	if (kind_is_scratch(id->kind)) {
		e = scratch_find(&m->inodes, dir, name, now);
		if (e && e->node == n)
			scratch_del(&m->inodes, dir, e);
	} else {
		if (id->kind == NODE_SPEC)
			r = scratch_hide(&m->inodes, dir, name,
					 now + SCRATCH_HIDE_MS);
		else
			m->removed[m->n_removed++ % MNT_REMOVED_MAX] =
				(struct removed){proc_number(&who), id->hash,
						 now + SCRATCH_HIDE_MS};
		/* The kernel takes its inode for removed: the next look gets
		 * another. */
		if (r == 0)
			inode_unhash(&m->inodes, n);
	}
	mnt_unlock(m);
	return r;
}

/* p->node is the file of conflicts/ that goes. */
static void discard_end(struct parked *p, int err)
{
	if (err == 0) {
		mnt_lock(p->m);
		inode_unhash(&p->m->inodes, p->node);
		mnt_unlock(p->m);
		atomic_fetch_add(&p->m->n_changes, 1);
	}
	fuse_reply_err(p->req, -err);
	parked_done(p);
}

/* rm of a version in conflicts/: @dots, from view_discard(), say which. */
static void discard(fuse_req_t req, struct node *n, struct ch_bytes dots)
{
	struct mnt *m = mnt_of(req);
	const struct node_id *id = mnt_id(m, n);
	struct ch_submit s = {.op = CH_DISCARD, .context = dots};
	struct strbuf label = STRBUF_INIT;
	char user[VIEW_OWNER_MAX];
	struct err err = ERR_INIT;
	struct parked *p;
	int r;

	p = parked_new(m, req, discard_end, n, NULL);
	if (!p) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	owner_user(fuse_req_ctx(req)->uid, user, sizeof(user));
	s.name = ch_str(id->name);
	s.user = ch_str(user);
	handle_label(id, &label);
	r = strbuf_error(&label);
	if (r == 0)
		r = parked_label(p, id->name, label.buf);
	if (r == 0)
		r = agent_writable(m->agent, &err);
	if (r < 0)
		parked_end(p, r, err.text);
	else
		parked_submit(p, &s);
	strbuf_release(&label);
}

/* A removal that was held goes on. */
static void let_go_end(struct parked *p, int err)
{
	struct mnt *m = p->m;

	if (err == 0) {
		mnt_lock(m);
		inode_unhash(&m->inodes, p->node);
		mnt_unlock(m);
		atomic_fetch_add(&m->n_changes, 1);
	}
	fuse_reply_err(p->req, -err);
	parked_done(p);
}

static void let_go(fuse_req_t req, struct node *n)
{
	struct mnt *m = mnt_of(req);
	struct ch_submit s = {.op = CH_LET_GO};
	char user[VIEW_OWNER_MAX];
	struct parked *p = parked_new(m, req, let_go_end, n, NULL);
	int r;

	if (!p) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	owner_user(fuse_req_ctx(req)->uid, user, sizeof(user));
	s.user = ch_str(user);
	s.name = ch_str(mnt_id(m, n)->name);
	r = agent_writable(m->agent, NULL);
	if (r < 0)
		parked_end(p, r, NULL);
	else
		parked_submit(p, &s);
}

static void ll_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mnt *m = mnt_of(req);
	struct node *dir = mnt_node(m, parent), *n = NULL;
	struct strbuf dots = STRBUF_INIT;
	const struct node_id *id;
	struct agent_view av;
	int r;

	r = agent_view_get(m->agent, &av);
	if (r == 0) {
		r = tree_resolve(m, &av.v, dir, name, &n);
		id = r == 0 ? mnt_id(m, n) : NULL;
		/* A base stays beside its version: nothing is discarded. */
		if (id && id->kind == NODE_CONFLICT)
			r = view_discard(&av.v, ch_str(id->name),
					 ch_str(id->site), &dots);
		agent_view_put(m->agent, &av);
	}
	if (r >= 0 && dots.len)
		discard(req, n, strbuf_bytes(&dots));
	else if (r >= 0 && mnt_id(m, n)->kind == NODE_HELD)
		let_go(req, n);
	else if (r >= 0)
		fuse_reply_err(req, -unlink_node(req, dir, name, n));
	else
		fuse_reply_err(req, -r);
	mnt_lock(m);
	inode_unref(&m->inodes, n);
	mnt_unlock(m);
	strbuf_release(&dots);
}

/* One rename while it is looked at; all nodes are held. */
struct move {
	fuse_req_t req;
	struct mnt *m;
	struct node *from_dir, *to_dir; /* Borrowed from the kernel. */
	const char *from_name, *to_name;
	struct node *from, *to; /* @to: NULL: there is none. */
};

/* The scratch file leaves its name. With the lock held. */
static void leave_name(struct mnt *m, struct node *dir, const char *name,
		       const struct node *n)
{
	struct scratch_name *e;

	e = scratch_find(&m->inodes, dir, name, mnt_monotonic_ms());
	if (e && e->node == n)
		scratch_del(&m->inodes, dir, e);
}

/* A name that was hidden is there again. With the lock held. */
static void show_name(struct mnt *m, struct node *dir, const char *name)
{
	struct scratch_name *e;

	e = scratch_find(&m->inodes, dir, name, mnt_monotonic_ms());
	if (e)
		scratch_del(&m->inodes, dir, e);
}

/*
 * A scratch file is now a file of the tree: the kernel has moved its inode
 * there, so its node becomes that file's (@context: handle.h). Times go on from
 * those of the file that was there, unless a user has set them. With the lock
 * held.
 */
static int become(struct mnt *m, struct node *n, struct node *dir,
		  enum node_kind kind, const struct strbuf *context)
{
	const struct node_id *id = dir->id;
	const struct node *was;
	bool mtime_set = n->mtime_set;
	int64_t mtime_ns = n->mtime_ns;
	uint64_t tag = 0;
	bool tagged = false;
	int r;

	was = inode_find(&m->inodes, kind, id->name, id->site);
	if (was && was->tagged && !mtime_set) {
		tagged = true;
		tag = was->tag;
		mtime_ns = was->mtime_ns;
	}
	r = inode_become(&m->inodes, n, dir, kind, id->name, id->site);
	if (r < 0)
		return r;
	handle_follow_rename(m, n, context);
	n->tagged = tagged;
	n->tag = tag;
	n->mtime_ns = mtime_ns;
	n->mtime_set = mtime_set;
	return 0;
}

/*
 * p->node: the scratch file, named p->word; p->to: the directory that it goes
 * into; p->kind: what it becomes. Of directories that come and go with the
 * file sites the kernel hears later: who renames holds the lock that the
 * notifier would wait for.
 */
static void commit_end(struct parked *p, int err)
{
	struct mnt *m = p->m;
	struct node *from_dir = p->node->parent;

	if (err == 0) {
		mnt_lock(m);
		leave_name(m, from_dir, p->word, p->node);
		show_name(m, p->to, p->to_word);
		/* Without memory the inode stays a scratch file's that has no
		 * name; the next lookup finds the right one. */
		err = become(m, p->node, p->to, p->kind, &p->context);
		mnt_unlock(m);
	}
	if (err == 0 && m->opts->attr_timeout > 0)
		fuse_lowlevel_notify_inval_inode(m->se, p->node->no, -1, 0);
	p->err = err;
	fuse_reply_err(p->req, -err);
	parked_done(p);
}

static struct parked *parked_move(struct move *mv, parked_fn *end,
				  struct node *to)
{
	struct parked *p;

	p = parked_new(mv->m, mv->req, end, mv->from, NULL);
	if (!p)
		return NULL;
	mnt_lock(mv->m);
	p->to = to ? inode_ref(to) : NULL;
	mnt_unlock(mv->m);
	p->word = strdup(mv->from_name);
	p->to_word = strdup(mv->to_name);
	if (!p->word || !p->to_word) {
		parked_done(p);
		return NULL;
	}
	return p;
}

/* mv scratch spec: a version. The rename is answered by it. 1: parked. */
static int move_commit(struct move *mv, enum node_kind kind)
{
	struct strbuf body = STRBUF_INIT, seen = STRBUF_INIT;
	struct mnt *m = mv->m;
	const struct node_id *dir = mnt_id(m, mv->to_dir);
	const struct kind *k = kind_of(kind);
	struct node_id target = {
		.kind = kind, .name = dir->name, .site = dir->site};
	char user[VIEW_OWNER_MAX];
	const struct scratch *s;
	struct parked *p;
	int r;

	r = agent_writable(m->agent, NULL);
	if (r < 0)
		return r;
	p = parked_move(mv, commit_end, mv->to_dir);
	if (!p)
		return -ENOMEM;
	p->kind = kind;
	owner_user(fuse_req_ctx(mv->req)->uid, user, sizeof(user));
	mnt_lock(m);
	s = mv->from->more->scratch;
	strbuf_add(&body, s->data.buf, s->data.len);
	/* Seen there, not in the directory of another resource. */
	if (s->seen[k->file] && mv->from_dir == mv->to_dir)
		strbuf_add(&seen, s->context[k->file].buf,
			   s->context[k->file].len);
	mnt_unlock(m);
	handle_label(&target, &body);
	r = parked_label(p, dir->name, body.buf + s->data.len);
	strbuf_set_len(&body, s->data.len);
	if (r == 0 && seen.len == 0)
		r = handle_current(m, &target, NULL, &seen);
	if (r == 0)
		r = strbuf_error(&body) < 0 ? -ENOMEM : strbuf_error(&seen);
	if (r < 0)
		parked_end(p, r, NULL);
	else
		handle_commit_body(m, &target, strbuf_bytes(&body),
				   strbuf_bytes(&seen), user, p);
	strbuf_release(&body);
	strbuf_release(&seen);
	return 1;
}

/* rsync puts a read-only file in place into the directory that it has made. */
static int move_drop(struct move *mv, enum node_kind kind)
{
	struct mnt *m = mv->m;
	int r;

	mnt_lock(m);
	leave_name(m, mv->from_dir, mv->from_name, mv->from);
	show_name(m, mv->to_dir, mv->to_name);
	r = kind == NODE_SINK ? 0 : become(m, mv->from, mv->to_dir, kind, NULL);
	mnt_unlock(m);
	return r;
}

static int move_scratch(struct move *mv)
{
	struct mnt *m = mv->m;
	bool from_dir = mnt_id(m, mv->from)->kind == NODE_SCRATCH_DIR;
	struct scratch_name *old;
	int r = 0;

	mnt_lock(m);
	if (mv->to) {
		bool to_dir = mv->to->id->kind == NODE_SCRATCH_DIR;

		if (from_dir != to_dir)
			r = to_dir ? -EISDIR : -ENOTDIR;
		else if (mv->to->more && mv->to->more->n_names > 0)
			r = -ENOTEMPTY;
	}
	if (r == 0 && mv->to) { /* Its name is free, also of the 64. */
		old = scratch_find(&m->inodes, mv->to_dir, mv->to_name, 0);
		if (old)
			scratch_del(&m->inodes, mv->to_dir, old);
	}
	if (r == 0 && mv->to_dir == mv->from_dir) /* Never one too many. */
		leave_name(m, mv->from_dir, mv->from_name, mv->from);
	if (r == 0)
		r = scratch_add(&m->inodes, mv->to_dir, mv->to_name, mv->from);
	if (r == 0 && mv->to_dir != mv->from_dir) {
		leave_name(m, mv->from_dir, mv->from_name, mv->from);
		r = inode_become(&m->inodes, mv->from, mv->to_dir,
				 mv->from->id->kind, mv->to_dir->id->name,
				 mv->to_dir->id->site);
	}
	mnt_unlock(m);
	return r;
}

static int scratch_target(struct move *mv)
{
	struct mnt *m = mv->m;
	const struct node_id *dir = mnt_id(m, mv->to_dir);
	enum node_kind k = kind_fixed(dir->kind, mv->to_name);
	enum node_kind what = mnt_id(m, mv->from)->kind;

	if (dir->kind == NODE_CONFLICTS)
		return is_maker(mv->req, dir) ? move_drop(mv, NODE_SINK)
					      : -EPERM;
	if (!kind_takes_scratch(dir->kind))
		return -EPERM;
	if (k == NODE_KIND_N) {
		if (mv->to && !kind_is_scratch(mnt_id(m, mv->to)->kind))
			return -EEXIST; /* A site's directory. */
		if (dir->kind == NODE_RESOURCE &&
		    name_is_reserved(ch_str(mv->to_name)))
			return -EPERM;
		return move_scratch(mv);
	}
	if (what != NODE_SCRATCH)
		return -EPERM;
	if (kind_of(k)->by_write)
		return move_commit(mv, k);
	if (is_maker(mv->req, dir) && !kind_of(k)->dir && !kind_of(k)->loose)
		return move_drop(mv, k);
	return -EACCES;
}

/* mv spec spec~: a copy gets the other name, and spec waits for the next. */
static int move_aside(struct move *mv)
{
	struct mnt *m = mv->m;
	const struct node_id *id = mnt_id(m, mv->from);
	const struct node_id *dir = mnt_id(m, mv->to_dir);
	struct strbuf body = STRBUF_INIT, seen = STRBUF_INIT;
	struct scratch_name *old;
	struct scratch *s = NULL;
	double timeout;
	struct stat st;
	struct agent_view av;
	int r;

	if (mv->to_dir != mv->from_dir)
		return -EPERM;
	if (kind_fixed(dir->kind, mv->to_name) != NODE_KIND_N ||
	    (mv->to && !kind_is_scratch(mnt_id(m, mv->to)->kind)) ||
	    (dir->kind == NODE_RESOURCE &&
	     name_is_reserved(ch_str(mv->to_name))))
		return -EPERM;
	r = agent_view_get(m->agent, &av);
	if (r < 0)
		return r;
	r = render_content(m, &av.v, id, &body, NULL);
	if (r == 0)
		r = render_attr(m, &av.v, mv->from, NULL, &st, &timeout);
	agent_view_put(m->agent, &av);
	if (r == 0)
		r = handle_current(m, id, NULL, &seen);
	mnt_lock(m);
	if (r == 0) {
		s = scratch_new(mv->from);
		r = s ? 0 : -ENOMEM;
	}
	if (r == 0) {
		strbuf_swap(&s->data, &body);
		strbuf_swap(&s->context[kind_of(id->kind)->file], &seen);
		s->seen[kind_of(id->kind)->file] = true;
		s->mode = st.st_mode & 07777;
		s->uid = st.st_uid;
		s->gid = st.st_gid;
		s->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 +
			      st.st_mtim.tv_nsec;
		old = scratch_find(&m->inodes, mv->to_dir, mv->to_name,
				   mnt_monotonic_ms());
		if (old)
			scratch_del(&m->inodes, mv->to_dir, old);
		r = scratch_add(&m->inodes, mv->to_dir, mv->to_name, mv->from);
	}
	if (r == 0)
		r = scratch_hide(&m->inodes, mv->from_dir, mv->from_name,
				 mnt_monotonic_ms() + SCRATCH_HIDE_MS);
	if (r == 0)
		r = inode_become(&m->inodes, mv->from, mv->to_dir, NODE_SCRATCH,
				 dir->name, dir->site);
	mnt_unlock(m);
	strbuf_release(&body);
	strbuf_release(&seen);
	return r;
}

/* What a file of .trash/X is once X is a resource again. */
static enum node_kind restored_kind(enum node_kind k)
{
	switch (k) {
	case NODE_TRASH_SPEC:
		return NODE_SPEC;
	case NODE_TRASH_SITES:
		return NODE_SITES;
	case NODE_TRASH_DRIVER:
		return NODE_DRIVER_WORD;
	case NODE_TRASH_STATUS:
		return NODE_STATUS;
	default:
		return NODE_KIND_N;
	}
}

/* The kernel has moved the directory, and with it what it knows below. */
static int restore_nodes(struct mnt *m, struct node *dir, const char *name)
{
	struct list *l;
	int r;

	r = inode_become(&m->inodes, dir, m->inodes.root, NODE_RESOURCE, name,
			 "");
	for (l = dir->children.next; r == 0 && l != &dir->children;
	     l = l->next) {
		struct node *c = LIST_ENTRY(l, struct node, sibling);
		enum node_kind k = restored_kind(c->id->kind);

		if (k != NODE_KIND_N)
			r = inode_become(&m->inodes, c, dir, k, name, "");
	}
	return r;
}

static void restore_end(struct parked *p, int err)
{
	struct mnt *m = p->m;
	uint64_t known[4];
	size_t n = 0;

	if (err == 0) {
		mnt_lock(m);
		err = restore_nodes(m, p->node, p->to_word);
		for (struct list *l = p->node->children.next;
		     l != &p->node->children && n < 4; l = l->next)
			known[n++] = LIST_ENTRY(l, struct node, sibling)->no;
		mnt_unlock(m);
		atomic_fetch_add(&m->n_changes, 1);
		fuse_lowlevel_notify_inval_inode(m->se, p->node->no, -1, 0);
		while (n > 0)
			fuse_lowlevel_notify_inval_inode(m->se, known[--n], -1,
							 0);
	}
	fuse_reply_err(p->req, -err);
	parked_done(p);
}

static int move_restore(struct move *mv)
{
	const struct node_id *id = mnt_id(mv->m, mv->from);
	struct ch_submit s = {.op = CH_RESTORE, .trash = ch_str(id->name)};
	char user[VIEW_OWNER_MAX];
	struct parked *p;
	int r;

	if (mnt_id(mv->m, mv->to_dir)->kind != NODE_ROOT)
		return -EPERM;
	if (mv->to)
		return -EEXIST;
	r = name_check_resource(ch_str(mv->to_name), NULL);
	if (r == 0)
		r = agent_writable(mv->m->agent, NULL);
	if (r < 0)
		return r;
	p = parked_move(mv, restore_end, NULL);
	if (!p)
		return -ENOMEM;
	owner_user(fuse_req_ctx(mv->req)->uid, user, sizeof(user));
	s.user = ch_str(user);
	s.name = ch_str(mv->to_name);
	parked_submit(p, &s);
	return 1;
}

/* A held removal is undone. The kernel has a file of that name now, which it
 * keeps for no time: see entry_take(). */
static void keep_end(struct parked *p, int err)
{
	struct mnt *m = p->m;

	if (err == 0) {
		mnt_lock(m);
		inode_unhash(&m->inodes, p->node);
		mnt_unlock(m);
		atomic_fetch_add(&m->n_changes, 1);
	}
	fuse_reply_err(p->req, -err);
	parked_done(p);
}

/* mv .held/web web; or into the directory web, which is where mv takes it when
 * the resource lives on elsewhere. */
static int move_keep(struct move *mv)
{
	const struct node_id *id = mnt_id(mv->m, mv->from);
	const struct node_id *dir = mnt_id(mv->m, mv->to_dir);
	struct ch_submit s = {.op = CH_KEEP, .name = ch_str(id->name)};
	bool inside =
		dir->kind == NODE_RESOURCE && strcmp(dir->name, id->name) == 0;
	char user[VIEW_OWNER_MAX];
	struct parked *p;
	int r;

	if ((!inside && dir->kind != NODE_ROOT) ||
	    strcmp(mv->to_name, id->name) != 0)
		return -EPERM;
	if (mv->to)
		return -EEXIST;
	r = agent_writable(mv->m->agent, NULL);
	if (r < 0)
		return r;
	p = parked_move(mv, keep_end, NULL);
	if (!p)
		return -ENOMEM;
	owner_user(fuse_req_ctx(mv->req)->uid, user, sizeof(user));
	s.user = ch_str(user);
	parked_submit(p, &s);
	return 1;
}

/* All that the kernel knows below @dir, itself too, belongs to the resource
 * @name. With the lock held. */
static int rename_nodes(struct mnt *m, struct node *dir, const char *name)
{
	int r;

	r = inode_become(&m->inodes, dir, dir->parent, dir->id->kind, name,
			 dir->id->site);
	for (struct list *l = dir->children.next; r == 0 && l != &dir->children;
	     l = l->next)
		r = rename_nodes(m, LIST_ENTRY(l, struct node, sibling), name);
	return r;
}

static void rename_end(struct parked *p, int err)
{
	struct mnt *m = p->m;

	mnt_lock(m);
	p->node->moving = false;
	/* Without memory what is left of the old name is looked up anew. */
	if (err == 0 && rename_nodes(m, p->node, p->to_word) < 0)
		inode_unhash(&m->inodes, p->node);
	mnt_unlock(m);
	if (err == 0)
		atomic_fetch_add(&m->n_changes, 1);
	fuse_reply_err(p->req, -err);
	parked_done(p);
}

/* mv web web2: one resource, and another name for it. */
static int move_resource(struct move *mv)
{
	const struct node_id *id = mnt_id(mv->m, mv->from);
	struct ch_submit s = {.op = CH_RENAME, .name = ch_str(id->name)};
	char user[VIEW_OWNER_MAX];
	struct parked *p;
	int r;

	if (mnt_id(mv->m, mv->to_dir)->kind != NODE_ROOT)
		return -EPERM;
	if (mv->to) /* It is never replaced, empty or not. */
		return -EEXIST;
	r = name_check_resource(ch_str(mv->to_name), NULL);
	if (r == 0)
		r = agent_writable(mv->m->agent, NULL);
	if (r < 0)
		return r;
	p = parked_move(mv, rename_end, NULL);
	if (!p)
		return -ENOMEM;
	if (parked_label(p, id->name, "mv") < 0) {
		parked_done(p);
		return -ENOMEM;
	}
	mnt_lock(mv->m);
	mv->from->moving = true;
	mnt_unlock(mv->m);
	owner_user(fuse_req_ctx(mv->req)->uid, user, sizeof(user));
	s.user = ch_str(user);
	s.to = ch_str(mv->to_name);
	parked_submit(p, &s);
	return 1;
}

static int move_node(struct move *mv, unsigned int flags)
{
	const struct node_id *id = mnt_id(mv->m, mv->from);

	if ((flags & RENAME_NOREPLACE) && mv->to)
		return -EEXIST;
	if (mv->from == mv->to)
		return 0;
	if (kind_is_scratch(id->kind))
		return scratch_target(mv);
	if (kind_of(id->kind)->by_write)
		return move_aside(mv);
	if (id->kind == NODE_TRASH)
		return move_restore(mv);
	if (id->kind == NODE_HELD)
		return move_keep(mv);
	if (id->kind == NODE_RESOURCE)
		return move_resource(mv);
	return -EPERM; /* Never EXDEV: mv would copy, and delete. */
}

static void ll_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
		      fuse_ino_t newparent, const char *newname,
		      unsigned int flags)
{
	struct mnt *m = mnt_of(req);
	struct move mv = {.req = req,
			  .m = m,
			  .from_dir = mnt_node(m, parent),
			  .to_dir = mnt_node(m, newparent),
			  .from_name = name,
			  .to_name = newname};
	struct agent_view av;
	int r;

	if (flags & ~(unsigned int)RENAME_NOREPLACE) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	r = agent_view_get(m->agent, &av);
	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	r = tree_resolve(m, &av.v, mv.from_dir, name, &mv.from);
	if (r == 0)
		r = tree_resolve(m, &av.v, mv.to_dir, newname, &mv.to);
	agent_view_put(m->agent, &av);
	if (r == -ENOENT && mv.from)
		r = 0;
	if (r == 0)
		r = move_node(&mv, flags);
	mnt_lock(m);
	inode_unref(&m->inodes, mv.from);
	inode_unref(&m->inodes, mv.to);
	mnt_unlock(m);
	if (r <= 0)
		fuse_reply_err(req, -r);
}

void ops_name(struct fuse_lowlevel_ops *ops)
{
	ops->symlink = ll_symlink;
	ops->mknod = ll_mknod;
	ops->link = ll_link;
	ops->readlink = ll_readlink;
	ops->unlink = ll_unlink;
	ops->rename = ll_rename;
}
