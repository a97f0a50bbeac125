/* ops_attr.c -- handlers of attributes: getattr, setattr, statfs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/handle.h"
#include "fs/owner.h"
#include "fs/render.h"
#include "fs/reply.h"
#include "fs/scratch.h"

#define SET_OWNER (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)

static int attr_now(struct mnt *m, struct node *n, struct stat *ret_st,
		    double *ret_timeout)
{
	struct agent_view av;
	int r;

	r = mnt_view_get(m, &av);
	if (r < 0)
		return r;
	r = render_attr(m, &av.v, n, NULL, ret_st, ret_timeout);
	agent_view_put(m->agent, &av);
	return r;
}

/* Of what is gone while somebody has it open. */
static void attr_gone(struct mnt *m, struct node *n, struct stat *ret_st)
{
	const struct node_id *id = mnt_id(m, n);
	bool dir = kind_of(id->kind)->dir;

	memset(ret_st, 0, sizeof(*ret_st));
	ret_st->st_ino = id->hash;
	ret_st->st_mode = dir ? S_IFDIR | 0700 : S_IFREG | 0600;
	ret_st->st_uid = m->uid;
	ret_st->st_gid = m->gid;
	ret_st->st_blksize = 4096;
}

static void ll_getattr(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct mnt *m = mnt_of(req);
	double timeout;
	struct stat st;
	int r;

	(void)fi;
	r = attr_now(m, mnt_node(m, ino), &st, &timeout);
	if (r == -ENOENT) {
		attr_gone(m, mnt_node(m, ino), &st);
		timeout = 0;
		r = 0;
	}
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_attr(req, &st, timeout);
}

/* The end of a setattr that needed a commit; p->st is what it led to. */
static void setattr_end(struct parked *p, int err)
{
	if (err < 0)
		fuse_reply_err(p->req, -err);
	else
		fuse_reply_attr(p->req, &p->st, p->timeout);
	parked_done(p);
}

static void apply(struct stat *st, const struct stat *attr, int to_set)
{
	if (to_set & FUSE_SET_ATTR_MODE)
		st->st_mode = (st->st_mode & S_IFMT) | (attr->st_mode & 07777);
	if (to_set & FUSE_SET_ATTR_UID)
		st->st_uid = attr->st_uid;
	if (to_set & FUSE_SET_ATTR_GID)
		st->st_gid = attr->st_gid;
	if (to_set & FUSE_SET_ATTR_SIZE) {
		st->st_size = attr->st_size;
		st->st_blocks = (attr->st_size + 511) / 512;
	}
}

/* Modes and owners that we keep: of a resource's directory, and its spec. */
static void set_owner(fuse_req_t req, struct node *n, const struct stat *then)
{
	struct mnt *m = mnt_of(req);
	const struct node_id *id = mnt_id(m, n);
	char owner[VIEW_OWNER_MAX], group[VIEW_OWNER_MAX];
	char user[VIEW_OWNER_MAX];
	struct ch_submit s = {.op = CH_MODE};
	struct parked *p;
	int r;

	owner_user(then->st_uid, owner, sizeof(owner));
	owner_group(then->st_gid, group, sizeof(group));
	owner_user(fuse_req_ctx(req)->uid, user, sizeof(user));
	s.name = ch_str(id->name);
	s.of_spec = id->kind == NODE_SPEC;
	s.mode = then->st_mode & 07777;
	s.owner = ch_str(owner);
	s.group = ch_str(group);
	s.user = ch_str(user);
	p = parked_new(m, req, setattr_end, n, NULL);
	if (!p) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	p->st = *then;
	p->timeout = 0; /* What it is from now on, the next look tells. */
	r = parked_label(p, id->name, s.of_spec ? "spec" : "");
	if (r == 0)
		r = agent_writable(m->agent, NULL);
	if (r < 0)
		parked_end(p, r, NULL);
	else
		parked_submit(p, &s);
}

static void set_scratch(struct mnt *m, struct node *n, const struct stat *attr,
			int to_set)
{
	struct scratch *s;

	mnt_lock(m);
	s = n->more ? n->more->scratch : NULL;
	if (s && (to_set & FUSE_SET_ATTR_MODE))
		s->mode = attr->st_mode & 07777;
	if (s && (to_set & FUSE_SET_ATTR_UID))
		s->uid = attr->st_uid;
	if (s && (to_set & FUSE_SET_ATTR_GID))
		s->gid = attr->st_gid;
	mnt_unlock(m);
}

/* Times stay until the next version: rsync looks whether they are its own. */
static void set_time(struct mnt *m, struct node *n, const struct stat *attr,
		     int to_set)
{
	int64_t ns = mnt_now_ns();

	if (!(to_set & FUSE_SET_ATTR_MTIME_NOW))
		ns = (int64_t)attr->st_mtim.tv_sec * 1000000000 +
		     attr->st_mtim.tv_nsec;
	mnt_lock(m);
	n->mtime_ns = ns;
	n->mtime_set = true;
	if (n->more && n->more->scratch)
		n->more->scratch->mtime_ns = ns;
	mnt_unlock(m);
}

/* truncate(2) of a file that is not open: a version of its own. Its answer is
 * the request's. */
static void truncate_commit(fuse_req_t req, struct node *n, off_t size,
			    const struct stat *now)
{
	struct mnt *m = mnt_of(req);
	const struct node_id *id = mnt_id(m, n);
	struct strbuf body = STRBUF_INIT, seen = STRBUF_INIT;
	struct strbuf name = STRBUF_INIT;
	char user[VIEW_OWNER_MAX];
	struct parked *p;
	int r;

	p = parked_new(m, req, setattr_end, n, NULL);
	if (!p) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	p->st = *now;
	p->st.st_size = size;
	p->st.st_blocks = (size + 511) / 512;
	owner_user(fuse_req_ctx(req)->uid, user, sizeof(user));
	handle_label(id, &name);
	r = parked_label(p, id->name, name.buf);
	if (r == 0)
		r = agent_writable(m->agent, NULL);
	if (r == 0 && (uint64_t)size > m->opts->spec_max)
		r = -EFBIG;
	if (r == 0)
		r = handle_current(m, id, &body, &seen);
	if (r == 0) {
		strbuf_set_len(&body, (size_t)size);
		r = strbuf_error(&body);
	}
	if (r < 0)
		parked_end(p, r, NULL);
	else
		handle_commit_body(m, id, strbuf_bytes(&body),
				   strbuf_bytes(&seen), user, p);
	strbuf_release(&name);
	strbuf_release(&seen);
	strbuf_release(&body);
}

/* 1: the request is answered from here. */
static int set_size(fuse_req_t req, struct node *n, const struct stat *attr,
		    struct fuse_file_info *fi, const struct stat *now)
{
	struct mnt *m = mnt_of(req);
	const struct node_id *id = mnt_id(m, n);
	struct proc who;
	bool made;

	if (fi)
		return handle_truncate(m, (struct handle *)(uintptr_t)fi->fh,
				       attr->st_size);
	if (id->kind == NODE_SCRATCH)
		return scratch_truncate(m, n, attr->st_size);
	if (render_is_writable(m, id)) {
		truncate_commit(req, n, attr->st_size, now);
		return 1;
	}
	who = proc_of(fuse_req_ctx(req)->pid);
	mnt_lock(m);
	made = makers_has(&m->makers, &who, id->name, id->site);
	mnt_unlock(m);
	return made ? 0 : -EACCES;
}

static void ll_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr,
		       int to_set, struct fuse_file_info *fi)
{
	struct mnt *m = mnt_of(req);
	struct node *n = mnt_node(m, ino);
	const struct node_id *id = mnt_id(m, n);
	struct stat now, then;
	double timeout;
	int r;

	r = attr_now(m, n, &now, &timeout);
	if (r == 0 && (to_set & FUSE_SET_ATTR_SIZE))
		r = set_size(req, n, attr, fi, &now);
	if (r != 0) {
		if (r < 0)
			fuse_reply_err(req, -r);
		return;
	}
	if (to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW))
		set_time(m, n, attr, to_set);
	if (to_set & SET_OWNER) {
		then = now;
		apply(&then, attr, to_set & SET_OWNER);
		if (id->kind == NODE_SPEC)
			then.st_mode &= S_IFMT | 0666;
		if (kind_is_scratch(id->kind)) {
			set_scratch(m, n, attr, to_set);
		} else if ((id->kind == NODE_RESOURCE ||
			    id->kind == NODE_SPEC) &&
			   (then.st_mode != now.st_mode ||
			    then.st_uid != now.st_uid ||
			    then.st_gid != now.st_gid)) {
			set_owner(req, n, &then);
			return;
		}
	}
	r = attr_now(m, n, &now, &timeout);
	if (fi && (to_set & FUSE_SET_ATTR_SIZE)) {
		/* Of the open file; the file itself is as long as it was. */
		now.st_size = attr->st_size;
		timeout = 0;
	}
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_attr(req, &now, timeout);
}

static void ll_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct mnt *m = mnt_of(req);
	struct statvfs st = {.f_bsize = 4096, .f_frsize = 4096};
	uint64_t left = 0, total = 0;

	(void)ino;
	agent_space(m->agent, &left, &total);
	st.f_blocks = total / 4096;
	st.f_bfree = left / 4096;
	st.f_bavail = left / 4096;
	st.f_namemax = 255;
	fuse_reply_statfs(req, &st);
}

void ops_attr(struct fuse_lowlevel_ops *ops)
{
	ops->getattr = ll_getattr;
	ops->setattr = ll_setattr;
	ops->statfs = ll_statfs;
}
