/* attr.c -- the attributes of a node: the second half of render.h. */
#include <errno.h>
#include <string.h>

#include "fs/events.h"
#include "fs/owner.h"
#include "fs/render.h"
#include "fs/scratch.h"

#define MS_NS 1000000

/* What is known of a node before its content is looked at. */
struct face {
	mode_t mode; /* Permission bits. */
	uid_t uid;
	gid_t gid;
	int64_t base_ns; /* When its content is from, if that is known. */
	uint64_t tag, len;
	uint64_t ino; /* 0: its identity's. */
};

static bool belongs_to_resource(enum node_kind k)
{
	switch (k) {
	case NODE_RESOURCE:
	case NODE_SITE:
	case NODE_CONFLICTS:
	case NODE_SPEC:
	case NODE_SPEC_JSON:
	case NODE_DRIVER_WORD:
	case NODE_SITES:
	case NODE_POLICY:
	case NODE_HOLD:
	case NODE_STATUS:
	case NODE_STATE:
	case NODE_ERROR:
	case NODE_WAIT:
	case NODE_CONFLICT:
	case NODE_SITE_STATUS:
	case NODE_SITE_STATE:
	case NODE_SITE_SPEC:
	case NODE_SITE_PATCH:
	case NODE_SITE_OBSERVED:
	case NODE_SITE_WAIT:
		return true;
	case NODE_ROOT:
	case NODE_MEMBERS:
	case NODE_MEMBER:
	case NODE_DRIVERS:
	case NODE_DRIVER:
	case NODE_TRASHES:
	case NODE_TRASH:
	case NODE_HELDS:
	case NODE_HELD:
	case NODE_EVENTS:
	case NODE_VERSION:
	case NODE_README:
	case NODE_MEMBER_STATUS:
	case NODE_MEMBER_HEARTBEAT:
	case NODE_MEMBER_ADDRESS:
	case NODE_MEMBER_LABELS:
	case NODE_MEMBERS_ERROR:
	case NODE_DRIVER_STATUS:
	case NODE_DRIVER_ORPHANED:
	case NODE_TRASH_SPEC:
	case NODE_TRASH_SITES:
	case NODE_TRASH_DRIVER:
	case NODE_TRASH_STATUS:
	case NODE_SCRATCH:
	case NODE_SCRATCH_DIR:
	case NODE_SCRATCH_LINK:
	case NODE_SINK:
	case NODE_KIND_N:
		break;
	}
	return false;
}

/* Modes of what is in a resource follow from the modes that are kept: the
 * directory's, and the spec's own. */
static void face_of_resource(struct mnt *m, const struct node_id *id,
			     const struct view_resource *res, struct face *f)
{
	const struct kind *k = kind_of(id->kind);
	const char *owner = res->owner, *group = res->group;

	f->base_ns = (int64_t)res->changed_ms * MS_NS;
	if (k->dir) {
		f->mode = res->mode & 07777;
		if (id->kind == NODE_CONFLICTS)
			f->mode &= 0555;
		f->tag = inode_hash(res->changed_ms, &res->sites,
				    sizeof(res->sites));
		f->tag += res->versions;
		if (id->kind == NODE_RESOURCE)
			f->ino = inode_of_lineage(res->lineage);
	} else if (id->kind == NODE_SPEC) {
		f->mode = res->spec_mode & 0666; /* Nobody runs a spec. */
		f->base_ns = (int64_t)res->spec_ms * MS_NS;
		if (res->spec_owner[0])
			owner = res->spec_owner;
		if (res->spec_group[0])
			group = res->spec_group;
	} else {
		f->mode = res->mode & (k->write ? 0666 : 0444);
	}
	if (res->secret && k->secret)
		f->mode &= 0700;
	f->uid = owner_uid(owner, m->uid);
	f->gid = owner_gid(group, m->gid);
}

static void face_of_scratch(const struct scratch *s, struct face *f)
{
	f->mode = s->mode;
	f->uid = s->uid;
	f->gid = s->gid;
	f->base_ns = s->mtime_ns;
	f->len = s->data.len;
}

/* Directories and files that belong to no resource. */
static void face_of_ours(struct mnt *m, const struct view *v,
			 const struct node_id *id, struct face *f)
{
	const struct kind *k = kind_of(id->kind);
	struct view_resource was;

	f->base_ns = m->mounted_ns;
	f->mode = k->dir ? 0755 : render_is_writable(m, id) ? 0644 : 0444;
	if (id->kind == NODE_ROOT || id->kind == NODE_TRASHES ||
	    id->kind == NODE_HELDS)
		f->tag = atomic_load(&m->n_changes);
	if (id->kind == NODE_SINK)
		f->mode = 0600;
	/* What was private must not become public by being deleted. */
	if ((id->kind == NODE_TRASH || k->parent == NODE_TRASH) &&
	    view_trash(v, ch_str(id->name), &was) == 0) {
		f->base_ns = (int64_t)was.changed_ms * MS_NS;
		f->mode = was.mode & (k->dir ? 0777 : 0444);
		if (was.secret)
			f->mode &= 0700;
		f->uid = owner_uid(was.owner, m->uid);
		f->gid = owner_gid(was.group, m->gid);
	}
}

/*
 * The time of the last change, from what was seen before: it grows strictly
 * when the content changes, and a time that a user has set stays until then.
 * Called with the lock held.
 */
static int64_t touch(struct node *n, const struct kind *k, const struct face *f)
{
	int64_t fresh = f->base_ns;

	if (kind_is_scratch(n->id->kind))
		return f->base_ns;
	if (n->tagged && n->tag == f->tag)
		return n->mtime_ns;
	if (k->dynamic || (k->dir && n->tagged) || fresh <= 0)
		fresh = mnt_now_ns();
	if (n->tagged && fresh <= n->mtime_ns)
		fresh = n->mtime_ns + 1;
	if (n->tagged || !n->mtime_set)
		n->mtime_ns = fresh;
	n->mtime_set = false;
	n->tag = f->tag;
	n->len = f->len;
	n->tagged = true;
	return n->mtime_ns;
}

static void stat_fill(struct mnt *m, const struct view *v, struct node *n,
		      const struct kind *k, const struct face *f,
		      struct stat *st, double *timeout)
{
	const struct options *o = m->opts;
	int64_t ns;

	memset(st, 0, sizeof(*st));
	mnt_lock(m);
	ns = touch(n, k, f);
	if (*timeout > 0 && !mnt_is_fresh(m, v->stamp, n->id->name))
		*timeout = 0;
	n->cached |= *timeout > 0;
	st->st_ino = f->ino ? f->ino : n->id->hash;
	st->st_nlink = k->dir ? 2 : 1;
	if (!n->hashed && !k->loose)
		st->st_nlink = 0;
	st->st_mode = n->id->kind == NODE_SCRATCH_LINK ? S_IFLNK
		      : k->dir                         ? S_IFDIR
						       : S_IFREG;
	mnt_unlock(m);
	st->st_mode |= f->mode;
	st->st_uid = o->set_uid ? o->uid : f->uid;
	st->st_gid = o->set_gid ? o->gid : f->gid;
	if (o->set_umask && !S_ISLNK(st->st_mode)) {
		mode_t all = k->dir           ? 0777
			     : f->mode & 0222 ? 0666 | (f->mode & 0111)
					      : 0444;

		st->st_mode = (st->st_mode & S_IFMT) | (all & ~o->umask);
	}
	st->st_size = (off_t)f->len;
	st->st_blksize = 4096;
	st->st_blocks = (blkcnt_t)((f->len + 511) / 512);
	st->st_mtim.tv_sec = (time_t)(ns / 1000000000);
	st->st_mtim.tv_nsec = (long)(ns % 1000000000);
	st->st_atim = st->st_mtim;
	st->st_ctim = st->st_mtim;
}

int render_attr(struct mnt *m, const struct view *v, struct node *n,
		const struct view_resource *info, struct stat *ret_st,
		double *ret_timeout)
{
	const struct node_id *id = mnt_id(m, n);
	const struct kind *k = kind_of(id->kind);
	struct face f = {.uid = m->uid, .gid = m->gid};
	struct view_resource res;
	int r = 0;

	*ret_timeout = k->dynamic ? 0 : m->opts->attr_timeout;
	if (belongs_to_resource(id->kind)) {
		if (!info) {
			r = view_resource(v, ch_str(id->name), &res);
			info = &res;
		}
		if (r < 0)
			return r;
		face_of_resource(m, id, info, &f);
	} else if (kind_is_scratch(id->kind)) {
		mnt_lock(m);
		if (n->more && n->more->scratch)
			face_of_scratch(n->more->scratch, &f);
		mnt_unlock(m);
		*ret_timeout = 0;
	} else {
		face_of_ours(m, v, id, &f);
	}
	if (k->dir) {
		mnt_lock(m);
		if (n->more)
			f.tag += n->more->n_changes << 32;
		mnt_unlock(m);
	} else if (id->kind == NODE_EVENTS) {
		uint64_t ms;

		f.len = events_size(agent_events(m->agent), &ms);
		f.tag = f.len;
	} else if (k->source != SOURCE_SCRATCH && k->source != SOURCE_NONE) {
		r = render_tag(m, v, n, id, &f.tag, &f.len);
		if (r < 0)
			return r;
	} else if (k->source == SOURCE_SCRATCH) {
		f.tag = (uint64_t)f.base_ns;
	}
	stat_fill(m, v, n, k, &f, ret_st, ret_timeout);
	return 0;
}
