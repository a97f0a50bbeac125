/* ops_dir.c -- handlers of directories: lookup, listing, mkdir, rmdir. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/name.h"
#include "fs/entry.h"
#include "fs/notify.h"
#include "fs/owner.h"
#include "fs/render.h"
#include "fs/reply.h"
#include "fs/scratch.h"
#include "fs/tree.h"

static void ll_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mnt *m = mnt_of(req);
	struct fuse_entry_param e;
	struct agent_view av;
	struct node *n;
	int r;

	r = agent_view_get(m->agent, &av);
	if (r == 0) {
		r = tree_resolve(m, &av.v, mnt_node(m, parent), name, &n);
		if (r == 0)
			r = entry_take(m, &av.v, n, NULL, &e);
		agent_view_put(m->agent, &av);
	}
	if (r < 0)
		fuse_reply_err(req, -r);
	else if (fuse_reply_entry(req, &e) < 0)
		entry_undo(m, e.ino);
}

static void ll_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	entry_forget(mnt_of(req), ino, nlookup);
	fuse_reply_none(req);
}

static void ll_forget_multi(fuse_req_t req, size_t count,
			    struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		entry_forget(mnt_of(req), forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

/* An open directory: its names as they were when it was read from the start. */
struct dir_handle {
	struct list link; /* mnt.dirs */
	struct dirlist list;
	bool listed;
};

static struct dir_handle *dir_of(const struct fuse_file_info *fi)
{
	return (struct dir_handle *)(uintptr_t)fi->fh;
}

static void dir_free(struct mnt *m, struct dir_handle *d)
{
	mnt_lock(m);
	list_del(&d->link);
	mnt_unlock(m);
	dirlist_release(&d->list);
	free(d);
}

void ops_dir_release(struct mnt *m)
{
	while (!list_is_empty(&m->dirs))
		dir_free(m, LIST_ENTRY(m->dirs.next, struct dir_handle, link));
}

static void ll_opendir(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct mnt *m = mnt_of(req);
	struct dir_handle *d = calloc(1, sizeof(*d));

	(void)ino;
	if (!d) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	mnt_lock(m);
	list_add_tail(&m->dirs, &d->link);
	mnt_unlock(m);
	fi->fh = (uintptr_t)d;
	if (fuse_reply_open(req, fi) < 0)
		dir_free(m, d);
}

static void ll_releasedir(fuse_req_t req, fuse_ino_t ino,
			  struct fuse_file_info *fi)
{
	(void)ino;
	dir_free(mnt_of(req), dir_of(fi));
	fuse_reply_err(req, 0);
}

static void ll_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
			struct fuse_file_info *fi)
{
	(void)ino;
	(void)datasync;
	(void)fi;
	fuse_reply_err(req, 0); /* All that is done here is done durably. */
}

/* One answer to readdir or readdirplus while it is filled. */
struct listing {
	fuse_req_t req;
	struct mnt *m;
	const struct view *v;
	struct node *dir;
	char *buf;
	size_t size, len;
	bool plus;
};

/* Files whose length costs work are looked up when somebody asks. */
static bool is_dear(struct listing *l, const char *name)
{
	enum node_kind dir = mnt_id(l->m, l->dir)->kind;
	enum node_kind k = kind_fixed(dir, name);

	return dir == NODE_CONFLICTS ||
	       (k != NODE_KIND_N && kind_of(k)->derived);
}

static void entry_plain(struct fuse_entry_param *e, mode_t type, uint64_t ino)
{
	memset(e, 0, sizeof(*e));
	e->attr.st_mode = type;
	e->attr.st_ino = ino;
}

/* False: no room. */
static bool listing_add(struct listing *l, const char *name, mode_t type,
			uint64_t ino, off_t next)
{
	size_t room = l->size - l->len, need;
	struct fuse_entry_param e;
	bool dots = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
	struct node *n;

	entry_plain(&e, type, ino);
	if (!l->plus) {
		need = fuse_add_direntry(l->req, l->buf + l->len, room, name,
					 &e.attr, next);
		if (need > room)
			return false;
		l->len += need;
		return true;
	}
	need = fuse_add_direntry_plus(l->req, NULL, 0, name, NULL, 0);
	if (need > room)
		return false;
	/* What cannot be looked up now is listed without attributes. */
	if (!dots && !is_dear(l, name) &&
	    tree_resolve(l->m, l->v, l->dir, name, &n) == 0 &&
	    entry_take(l->m, l->v, n, NULL, &e) < 0)
		entry_plain(&e, type, ino);
	l->len += fuse_add_direntry_plus(l->req, l->buf + l->len, room, name,
					 &e, next);
	return true;
}

static uint64_t parent_ino(struct mnt *m, struct node *n)
{
	return n->parent ? mnt_id(m, n->parent)->hash : mnt_id(m, n)->hash;
}

static int list_from(struct listing *l, struct dir_handle *d, off_t off)
{
	int r;

	if (off == 0 || !d->listed) {
		dirlist_release(&d->list);
		r = tree_list(l->m, l->v, l->dir, &d->list);
		if (r < 0)
			return r;
		d->listed = true;
	}
	/* A cookie is a place in these names: they stay as they are. */
	for (size_t i = (size_t)off; i < d->list.n + 2; i++) {
		off_t next = (off_t)i + 1;
		bool room;

		if (i == 0)
			room = listing_add(l, ".", S_IFDIR,
					   mnt_id(l->m, l->dir)->hash, next);
		else if (i == 1)
			room = listing_add(l, "..", S_IFDIR,
					   parent_ino(l->m, l->dir), next);
		else
			room = listing_add(l, d->list.names[i - 2],
					   d->list.types[i - 2],
					   d->list.inos[i - 2], next);
		if (!room)
			break;
	}
	return 0;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		 struct fuse_file_info *fi, bool plus)
{
	struct mnt *m = mnt_of(req);
	struct listing l = {
		.req = req, .m = m, .size = size, .plus = plus};
	struct agent_view av;
	int r;

	l.dir = mnt_node(m, ino);
	l.buf = malloc(size ? size : 1);
	r = l.buf ? agent_view_get(m->agent, &av) : -ENOMEM;
	if (r == 0) {
		l.v = &av.v;
		r = list_from(&l, dir_of(fi), off);
		agent_view_put(m->agent, &av);
	}
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_buf(req, l.buf, l.len);
	free(l.buf);
}

static void ll_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	list(req, ino, size, off, fi, false);
}

static void ll_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size,
			   off_t off, struct fuse_file_info *fi)
{
	list(req, ino, size, off, fi, true);
}

/* The file sites of a resource has changed with its directories. */
static void sites_changed(struct mnt *m, const char *name)
{
	struct node *n;
	uint64_t no;

	mnt_lock(m);
	n = inode_find(&m->inodes, NODE_SITES, name, "");
	no = n ? n->no : 0;
	mnt_unlock(m);
	if (no)
		fuse_lowlevel_notify_inval_inode(m->se, no, -1, 0);
}

static void mkdir_end(struct parked *p, int err)
{
	struct mnt *m = p->m;
	struct fuse_entry_param e = {.generation = 1};
	const char *name, *site;
	struct node *n = NULL;
	bool made = true;

	name = p->kind == NODE_RESOURCE ? p->word : mnt_id(m, p->node)->name;
	site = p->kind == NODE_RESOURCE ? "" : p->word;
	if (err == 0) {
		mnt_lock(m);
		n = inode_get(&m->inodes, p->node, p->kind, name, site);
		if (n) {
			inode_looked_up(n);
			e.ino = n->no;
			e.attr = p->st;
			e.attr.st_ino = n->id->hash;
			inode_unref(&m->inodes, n);
			made = makers_add(&m->makers, &p->who, name, site);
		}
		mnt_unlock(m);
		atomic_fetch_add(&m->n_changes, 1);
		if (!n)
			err = -ENOMEM;
	}
	if (err == 0 && made)
		notify_makers(m->notify);
	if (err == 0 && !made && p->kind == NODE_RESOURCE)
		agent_quiet(m->agent, ch_str(name));
	if (err == 0 && p->kind == NODE_SITE)
		sites_changed(m, name);
	e.entry_timeout = m->opts->entry_timeout;
	if (err < 0)
		fuse_reply_err(p->req, -err);
	else if (fuse_reply_entry(p->req, &e) < 0)
		entry_undo(m, e.ino);
	parked_done(p);
}

/* Attributes that the reply needs before a view can show them; the kernel
 * keeps them for no time. */
static void mkdir_stat(struct mnt *m, const struct fuse_ctx *ctx, mode_t mode,
		       struct stat *st)
{
	const struct options *o = m->opts;
	int64_t ns = mnt_now_ns();

	memset(st, 0, sizeof(*st));
	st->st_mode = S_IFDIR | (o->set_umask ? 0777 & ~o->umask :
						mode & 07777);
	st->st_nlink = 2;
	st->st_uid = o->set_uid ? o->uid : ctx->uid;
	st->st_gid = o->set_gid ? o->gid : ctx->gid;
	st->st_blksize = 4096;
	st->st_mtim.tv_sec = (time_t)(ns / 1000000000);
	st->st_mtim.tv_nsec = (long)(ns % 1000000000);
	st->st_ctim = st->st_atim = st->st_mtim;
}

static int mkdir_check(enum node_kind parent, const char *name,
		       struct err *reterr)
{
	if (parent == NODE_ROOT)
		return name_check_resource(ch_str(name), reterr);
	if (parent != NODE_RESOURCE)
		return err_set(reterr, -EPERM,
			       "no directory can be made here");
	if (strlen(name) > TREE_NAME_MAX)
		return err_set(reterr, -ENAMETOOLONG, "the name is too long");
	if (kind_fixed(parent, name) != NODE_KIND_N)
		return err_set(reterr, -EEXIST, "that is a file of cheops");
	return name_check_site(ch_str(name), reterr);
}

static void mkdir_submit(fuse_req_t req, struct parked *p, const char *name,
			 mode_t mode)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	const struct node_id *dir = mnt_id(p->m, p->node);
	char owner[VIEW_OWNER_MAX], group[VIEW_OWNER_MAX];
	struct ch_submit s = {.op = CH_MKDIR};
	struct err err = ERR_INIT;
	int r;

	owner_user(ctx->uid, owner, sizeof(owner));
	owner_group(ctx->gid, group, sizeof(group));
	s.name = ch_str(name);
	s.mode = mode & 07777;
	s.owner = ch_str(owner);
	s.group = ch_str(group);
	s.user = s.owner;
	if (dir->kind == NODE_RESOURCE) {
		s.op = CH_SITE_ADD;
		s.name = ch_str(dir->name);
		s.site = ch_str(name);
	}
	r = mkdir_check(dir->kind, name, &err);
	if (r == 0)
		r = agent_writable(p->m->agent, &err);
	if (r < 0)
		parked_end(p, r, err.text);
	else
		parked_submit(p, &s);
}

static void ll_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name,
		     mode_t mode)
{
	struct mnt *m = mnt_of(req);
	struct node *dir = mnt_node(m, parent);
	const struct node_id *id = mnt_id(m, dir);
	struct parked *p;
	int r = 0;

	/* rsync --delay-updates keeps its files in such a one. */
	if (kind_takes_scratch(id->kind) &&
	    (name[0] == '.' || id->kind == NODE_SCRATCH_DIR)) {
		entry_scratch(req, dir, name, NODE_SCRATCH_DIR, mode, NULL);
		return;
	}
	p = parked_new(m, req, mkdir_end, dir, NULL);
	if (!p) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	p->kind = id->kind == NODE_ROOT ? NODE_RESOURCE : NODE_SITE;
	p->who = proc_of(fuse_req_ctx(req)->pid);
	p->word = strdup(name);
	mkdir_stat(m, fuse_req_ctx(req), mode, &p->st);
	if (id->kind == NODE_RESOURCE)
		r = parked_label(p, id->name, name);
	if (!p->word || r < 0)
		parked_end(p, -ENOMEM, NULL);
	else
		mkdir_submit(req, p, name, mode);
}

/* p->to is the directory that goes. */
static void rmdir_end(struct parked *p, int err)
{
	struct mnt *m = p->m;
	const struct node_id *id = mnt_id(m, p->to);

	if (err == 0) {
		mnt_lock(m);
		scratch_clear(&m->inodes, p->to);
		inode_unhash(&m->inodes, p->to);
		mnt_unlock(m);
		atomic_fetch_add(&m->n_changes, 1);
		if (id->kind == NODE_SITE)
			sites_changed(m, id->name);
	}
	fuse_reply_err(p->req, -err);
	parked_done(p);
}

static void rmdir_submit(fuse_req_t req, struct parked *p)
{
	const struct node_id *id = mnt_id(p->m, p->to);
	struct proc who = proc_of(fuse_req_ctx(req)->pid);
	struct ch_submit s = {.group_id = proc_number(&who)};
	char user[VIEW_OWNER_MAX];
	struct err err = ERR_INIT;
	bool scratch;
	int r;

	owner_user(fuse_req_ctx(req)->uid, user, sizeof(user));
	s.user = ch_str(user);
	s.name = ch_str(id->name);
	mnt_lock(p->m);
	scratch = p->to->more && p->to->more->n_names > 0;
	mnt_unlock(p->m);
	switch (id->kind) {
	case NODE_RESOURCE:
		s.op = CH_RMDIR;
		break;
	case NODE_SITE:
		s.op = CH_SITE_DEL;
		s.site = ch_str(id->site);
		break;
	case NODE_TRASH:
		s.op = CH_FORGET;
		s.name = ch_str("");
		s.trash = ch_str(id->name);
		break;
	case NODE_CONFLICTS: /* It goes with its resource. */
	case NODE_SCRATCH_DIR:
		parked_end(p, scratch ? -ENOTEMPTY : 0, NULL);
		return;
	default:
		parked_end(p, -EPERM, NULL);
		return;
	}
	r = scratch ? err_set(&err, -ENOTEMPTY, "scratch files are in it") :
		      agent_writable(p->m->agent, &err);
	if (r < 0)
		parked_end(p, r, err.text);
	else
		parked_submit(p, &s);
}

static void rmdir_scratch(struct mnt *m, struct node *dir, const char *name)
{
	struct scratch_name *e;

	mnt_lock(m);
	e = scratch_find(&m->inodes, dir, name, mnt_monotonic_ms());
	if (e && e->node)
		scratch_del(&m->inodes, dir, e);
	mnt_unlock(m);
}

static void ll_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mnt *m = mnt_of(req);
	struct node *dir = mnt_node(m, parent), *n = NULL;
	const struct node_id *id;
	struct agent_view av;
	struct parked *p;
	int r;

	r = agent_view_get(m->agent, &av);
	if (r == 0) {
		r = tree_resolve(m, &av.v, dir, name, &n);
		agent_view_put(m->agent, &av);
	}
	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	p = parked_new(m, req, rmdir_end, dir, NULL);
	if (!p) {
		mnt_lock(m);
		inode_unref(&m->inodes, n);
		mnt_unlock(m);
		fuse_reply_err(req, ENOMEM);
		return;
	}
	p->to = n;
	id = mnt_id(m, n);
	if (id->kind == NODE_SCRATCH_DIR && !(n->more && n->more->n_names))
		rmdir_scratch(m, dir, name);
	if (!kind_of(id->kind)->dir)
		parked_end(p, -ENOTDIR, NULL);
	else if ((id->kind == NODE_RESOURCE || id->kind == NODE_SITE) &&
		 parked_label(p, id->name, id->site) < 0)
		parked_end(p, -ENOMEM, NULL);
	else
		rmdir_submit(req, p);
}

void ops_dir(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = ll_lookup;
	ops->forget = ll_forget;
	ops->forget_multi = ll_forget_multi;
	ops->opendir = ll_opendir;
	ops->readdir = ll_readdir;
	ops->readdirplus = ll_readdirplus;
	ops->releasedir = ll_releasedir;
	ops->fsyncdir = ll_fsyncdir;
	ops->mkdir = ll_mkdir;
	ops->rmdir = ll_rmdir;
}
