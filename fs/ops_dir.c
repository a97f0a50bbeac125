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

/*
 * cp -r makes a directory, and then each file in it as one that cannot be
 * there: but ours are from the start. To its maker, and only while it is about
 * to make one, such a name is not there.
 */
static bool is_being_made(fuse_req_t req, struct node *dir, const char *name)
{
	struct mnt *m = mnt_of(req);
	const struct node_id *id = mnt_id(m, dir);
	enum node_kind k = kind_fixed(id->kind, name);
	pid_t tid = fuse_req_ctx(req)->pid;
	bool any, made, again;
	struct proc who;

	if (id->kind != NODE_RESOURCE && id->kind != NODE_SITE)
		return false;
	mnt_lock(m);
	any = makers_any(&m->makers, id->name);
	mnt_unlock(m);
	if (!any)
		return false;
	who = proc_of(tid);
	mnt_lock(m);
	made = makers_has(&m->makers, &who, id->name, id->site);
	again = makers_find(&m->makers, &who, id->name, name);
	mnt_unlock(m);
	if (!made || again)
		return false;
	return proc_makes_name(tid, k == NODE_KIND_N || kind_of(k)->dir);
}

/* Has the caller just removed what stays all the same? */
static bool is_removed(fuse_req_t req, struct node *dir, const char *name)
{
	struct mnt *m = mnt_of(req);
	const struct node_id *id = mnt_id(m, dir);
	enum node_kind k = kind_fixed(id->kind, name);
	int64_t now = mnt_monotonic_ms();
	uint64_t ino, candidates[MNT_REMOVED_MAX];
	struct proc who;
	size_t n = 0;

	if (k == NODE_KIND_N)
		return false;
	ino = inode_number(k, id->name, id->site);
	mnt_lock(m);
	for (size_t i = 0; i < MNT_REMOVED_MAX; i++)
		if (m->removed[i].ino == ino && m->removed[i].until_ms > now)
			candidates[n++] = m->removed[i].who;
	mnt_unlock(m);
	if (n == 0)
		return false;
	who = proc_of(fuse_req_ctx(req)->pid);
	while (n > 0)
		if (candidates[--n] == proc_number(&who))
			return true;
	return false;
}

static void ll_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mnt *m = mnt_of(req);
	struct node *dir = mnt_node(m, parent);
	struct fuse_entry_param e;
	struct agent_view av;
	struct node *n;
	int r;

	r = mnt_view_get(m, &av);
	if (r == 0) {
		if (is_being_made(req, dir, name) || is_removed(req, dir, name))
			r = -ENOENT;
		else
			r = tree_resolve(m, &av.v, dir, name, &n);
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

/* All resources with their attributes: one scan of the store instead of a
 * look at each of them. */
struct scan {
	struct listing *l;
	const struct dirlist *names;
	size_t i; /* Of the next name. */
	bool full;
};

static bool scan_add(struct scan *s, const struct view_resource *info)
{
	const char *name = s->names->names[s->i];
	struct fuse_entry_param e;
	struct listing *l = s->l;
	size_t room = l->size - l->len;
	struct node *n;

	if (fuse_add_direntry_plus(l->req, NULL, 0, name, NULL, 0) > room)
		return false;
	entry_plain(&e, s->names->types[s->i], s->names->inos[s->i]);
	if (info) {
		mnt_lock(l->m);
		n = inode_get(&l->m->inodes, l->dir, NODE_RESOURCE, name, "");
		mnt_unlock(l->m);
		if (n && entry_take(l->m, l->v, n, info, &e) < 0)
			entry_plain(&e, S_IFDIR, s->names->inos[s->i]);
	}
	s->i++;
	l->len += fuse_add_direntry_plus(l->req, l->buf + l->len, room, name,
					 &e, (off_t)s->i + 2);
	return true;
}

/* The names were taken before: what is new since is not among them, and what
 * is gone is listed without attributes. */
static int scan_name(void *arg, struct ch_bytes name,
		     const struct view_resource *info)
{
	struct scan *s = arg;
	int order = 1;

	while (s->i < s->names->n && order > 0) {
		const char *next = s->names->names[s->i];
		size_t len = strlen(next);

		order = memcmp(name.p, next, name.len < len ? name.len : len);
		if (order == 0)
			order = name.len > len ? 1 : name.len < len ? -1 : 0;
		if (order < 0)
			break;
		if (!scan_add(s, order == 0 ? info : NULL)) {
			s->full = true;
			break;
		}
	}
	return s->full || s->i == s->names->n;
}

/* From the @i-th name on, which is a resource's. */
static int list_resources(struct listing *l, const struct dirlist *names,
			  size_t i)
{
	struct scan s = {.l = l, .names = names, .i = i};
	const char *after = i > 0 ? names->names[i - 1] : "";
	int r;

	r = view_resources(l->v, ch_str(after[0] == '.' ? "" : after),
			   scan_name, &s);
	if (r < 0)
		return r;
	while (!s.full && s.i < names->n && scan_add(&s, NULL))
		;
	return 0;
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

		if (l->plus && i >= 2 && d->list.names[i - 2][0] != '.' &&
		    mnt_id(l->m, l->dir)->kind == NODE_ROOT)
			return list_resources(l, &d->list, i - 2);
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
	struct listing l = {.req = req, .m = m, .size = size, .plus = plus};
	struct agent_view av;
	int r;

	l.dir = mnt_node(m, ino);
	l.buf = malloc(size ? size : 1);
	r = l.buf ? mnt_view_get(m, &av) : -ENOMEM;
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
	site = p->kind == NODE_SITE ? p->word : "";
	if (err == -EEXIST && p->again)
		err = 0;
	if (err == 0) {
		mnt_lock(m);
		n = inode_get(&m->inodes, p->node, p->kind, name, site);
		if (n) {
			inode_looked_up(n);
			e.ino = n->no;
			e.attr = p->st;
			e.attr.st_ino = n->id->hash;
			inode_unref(&m->inodes, n);
			if (p->kind != NODE_CONFLICTS)
				made = makers_add(&m->makers, &p->who, name,
						  site);
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
	st->st_mode =
		S_IFDIR | (o->set_umask ? 0777 & ~o->umask : mode & 07777);
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
	if (parent == NODE_MEMBERS)
		return err_set(reterr, -EPERM,
			       "a site is here once it was heard from, or if "
			       "the config names it under peers");
	if (parent != NODE_RESOURCE)
		return err_set(reterr, -EPERM, "no directory can be made here");
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

/* Does the maker of a resource make a directory in it that is there already:
 * conflicts, or a site that the file sites has brought? */
static bool is_ours_to_make(fuse_req_t req, const struct node_id *dir,
			    const char *name)
{
	struct mnt *m = mnt_of(req);
	struct proc who;
	bool yes;

	if (dir->kind != NODE_RESOURCE)
		return false;
	who = proc_of(fuse_req_ctx(req)->pid);
	mnt_lock(m);
	yes = makers_has(&m->makers, &who, dir->name, "") &&
	      !makers_find(&m->makers, &who, dir->name, name);
	mnt_unlock(m);
	return yes;
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
	p->again = is_ours_to_make(req, id, name);
	mkdir_stat(m, fuse_req_ctx(req), mode, &p->st);
	if (p->again && kind_fixed(id->kind, name) != NODE_KIND_N)
		p->kind = kind_fixed(id->kind, name);
	else if (id->kind == NODE_RESOURCE)
		r = parked_label(p, id->name, name);
	else if (id->kind == NODE_MEMBERS)
		r = parked_label(p, MEMBERS_ERROR, name);
	if (!p->word || r < 0)
		parked_end(p, -ENOMEM, NULL);
	else if (p->kind == NODE_CONFLICTS)
		parked_end(p, 0, NULL);
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
	case NODE_MEMBER:
		s.op = CH_SITE_GONE;
		s.name = ch_str("");
		s.site = ch_str(id->site);
		break;
	case NODE_TRASH:
		s.op = CH_FORGET;
		s.name = ch_str("");
		s.trash = ch_str(id->name);
		break;
	case NODE_HELDS: /* rm -r lets go of all, and it stays. */
		parked_end(p, p->empty ? 0 : -ENOTEMPTY, NULL);
		return;
	case NODE_CONFLICTS: /* It goes with its resource. */
	case NODE_SCRATCH_DIR:
		parked_end(p, scratch ? -ENOTEMPTY : 0, NULL);
		return;
	default:
		parked_end(p, -EPERM, NULL);
		return;
	}
	r = scratch ? err_set(&err, -ENOTEMPTY, "scratch files are in it")
		    : agent_writable(p->m->agent, &err);
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

static int is_any(void *arg, struct ch_bytes name,
		  const struct view_resource *info)
{
	(void)arg;
	(void)name;
	(void)info;
	return 1;
}

static void ll_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mnt *m = mnt_of(req);
	struct node *dir = mnt_node(m, parent), *n = NULL;
	const struct node_id *id;
	struct agent_view av;
	struct parked *p;
	bool empty = false;
	int r;

	r = agent_view_get(m->agent, &av);
	if (r == 0) {
		r = tree_resolve(m, &av.v, dir, name, &n);
		empty = view_helds(&av.v, is_any, NULL) == 0;
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
	p->empty = empty;
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
