/* tree.c -- see tree.h. */
#include "fs/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/name.h"
#include "fs/scratch.h"

static int driver_exists(struct mnt *m, const char *name)
{
	const char *const *all = agent_drivers(m->agent);

	for (; *all; all++)
		if (strcmp(*all, name) == 0)
			return 0;
	return -ENOENT;
}

/* Does a file that not every directory of its kind has stand in this one? */
static int fixed_exists(const struct view *v, enum node_kind k,
			const struct node_id *dir)
{
	struct view_resource res;
	uint64_t len;
	int r;

	if (k == NODE_SPEC_JSON) {
		r = view_resource(v, ch_str(dir->name), &res);
		return r < 0 ? r : res.structured ? 0 : -ENOENT;
	}
	if (kind_of(k)->parent == NODE_TRASH)
		return view_length(v, kind_of(k)->view, ch_str(dir->name),
				   ch_str(""), &len);
	return 0;
}

/* Names that vary: what kind of node is @name in @dir. */
static int named_exists(struct mnt *m, const struct view *v,
			const struct node_id *dir, const char *name,
			enum node_kind *ret_kind)
{
	struct view_resource res;

	switch (dir->kind) {
	case NODE_ROOT:
		*ret_kind = NODE_RESOURCE;
		if (name_check_resource(ch_str(name), NULL) < 0)
			return -ENOENT;
		return view_resource(v, ch_str(name), &res);
	case NODE_RESOURCE:
		*ret_kind = NODE_SITE;
		if (name_check_site(ch_str(name), NULL) < 0)
			return -ENOENT;
		return view_site(v, ch_str(dir->name), ch_str(name));
	case NODE_CONFLICTS:
		*ret_kind = NODE_CONFLICT;
		return view_conflict(v, ch_str(dir->name), ch_str(name));
	case NODE_MEMBERS:
		*ret_kind = NODE_MEMBER;
		return view_member(v, ch_str(name));
	case NODE_DRIVERS:
		*ret_kind = NODE_DRIVER;
		return driver_exists(m, name);
	case NODE_TRASHES:
		*ret_kind = NODE_TRASH;
		return view_trash(v, ch_str(name), &res);
	case NODE_HELDS:
		*ret_kind = NODE_HELD;
		return view_held(v, ch_str(name));
	default:
		return -ENOENT;
	}
}

/* Where name and site of a child's identity come from. */
static void child_words(const struct node_id *dir, enum node_kind k,
			const char *name, const char **ret_name,
			const char **ret_site)
{
	*ret_name = dir->name;
	*ret_site = dir->site;
	if (k == NODE_RESOURCE || k == NODE_DRIVER || k == NODE_TRASH ||
	    k == NODE_HELD)
		*ret_name = name;
	else if (k == NODE_SITE || k == NODE_CONFLICT || k == NODE_MEMBER)
		*ret_site = name;
}

enum node_kind tree_kind_of(struct mnt *m, struct node *dir, const char *name)
{
	return kind_fixed(mnt_id(m, dir)->kind, name);
}

const char *tree_name_of(const struct node_id *id)
{
	if (kind_of(id->kind)->name)
		return kind_of(id->kind)->name;
	if (id->kind == NODE_RESOURCE || id->kind == NODE_DRIVER ||
	    id->kind == NODE_TRASH || id->kind == NODE_HELD)
		return id->name;
	return id->site;
}

bool tree_is_always_there(const struct node_id *id)
{
	const struct kind *k = kind_of(id->kind);

	return k->loose || (k->name && k->parent != NODE_TRASH &&
			    id->kind != NODE_SPEC_JSON);
}

int tree_still_there(struct mnt *m, const struct view *v, struct node *n)
{
	const struct node_id *id = mnt_id(m, n), *dir;
	enum node_kind k;

	if (kind_of(id->kind)->loose || !n->parent)
		return 0;
	dir = mnt_id(m, n->parent);
	if (kind_of(id->kind)->name)
		return fixed_exists(v, id->kind, dir);
	return named_exists(m, v, dir, tree_name_of(id), &k);
}

int tree_resolve(struct mnt *m, const struct view *v, struct node *dir,
		 const char *name, struct node **ret_node)
{
	const struct node_id *id = mnt_id(m, dir);
	const char *id_name, *id_site;
	struct scratch_name *local;
	struct node *n = NULL;
	enum node_kind k;
	int r;

	if (strlen(name) > TREE_NAME_MAX)
		return -ENAMETOOLONG;
	if (!kind_of(id->kind)->dir)
		return -ENOTDIR;
	mnt_lock(m);
	local = scratch_find(&m->inodes, dir, name, mnt_monotonic_ms());
	if (local && local->node)
		n = inode_ref(local->node);
	mnt_unlock(m);
	if (local) {
		if (!n)
			return -ENOENT;
		*ret_node = n;
		return 0;
	}
	k = kind_fixed(id->kind, name);
	if (k != NODE_KIND_N)
		r = fixed_exists(v, k, id);
	else
		r = named_exists(m, v, id, name, &k);
	if (r < 0)
		return r;
	child_words(id, k, name, &id_name, &id_site);
	mnt_lock(m);
	if (kind_of(k)->loose)
		n = inode_new_loose(&m->inodes, dir, k, id_name, id_site);
	else
		n = inode_get(&m->inodes, dir, k, id_name, id_site);
	mnt_unlock(m);
	if (!n)
		return -ENOMEM;
	*ret_node = n;
	return 0;
}

void dirlist_release(struct dirlist *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->names[i]);
	free(l->names);
	free(l->types);
	free(l->inos);
	memset(l, 0, sizeof(*l));
}

static int dirlist_add(struct dirlist *l, const char *name, size_t len,
		       mode_t type, uint64_t ino)
{
	char *copy;

	if (l->n == l->alloc) {
		size_t alloc = l->alloc ? l->alloc * 2 : 16;
		char **names;
		mode_t *types;
		uint64_t *inos;

		names = realloc(l->names, alloc * sizeof(*names));
		if (!names)
			return -ENOMEM;
		l->names = names;
		types = realloc(l->types, alloc * sizeof(*types));
		if (!types)
			return -ENOMEM;
		l->types = types;
		inos = realloc(l->inos, alloc * sizeof(*inos));
		if (!inos)
			return -ENOMEM;
		l->inos = inos;
		l->alloc = alloc;
	}
	copy = strndup(name, len);
	if (!copy)
		return -ENOMEM;
	l->names[l->n] = copy;
	l->inos[l->n] = ino;
	l->types[l->n++] = type;
	return 0;
}

/* What a callback needs to add the names that it is called with. */
struct listing {
	struct dirlist l;
	const struct node_id *dir;
	enum node_kind kind; /* Of what is listed. */
};

static int add_child(struct listing *to, const char *name, size_t len)
{
	bool dir = kind_of(to->kind)->dir;
	const char *id_name, *id_site;
	int r;

	r = dirlist_add(&to->l, name, len, dir ? S_IFDIR : S_IFREG, 0);
	if (r < 0)
		return r;
	child_words(to->dir, to->kind, to->l.names[to->l.n - 1], &id_name,
		    &id_site);
	to->l.inos[to->l.n - 1] = inode_number(to->kind, id_name, id_site);
	return 0;
}

static int add_name(void *arg, struct ch_bytes name,
		    const struct view_resource *info)
{
	struct listing *to = arg;
	int r = add_child(to, name.p, name.len);

	if (r == 0 && to->kind == NODE_RESOURCE && info)
		to->l.inos[to->l.n - 1] = inode_of_lineage(info->lineage);
	return r;
}

static int list_fixed(struct mnt *m, const struct view *v, struct node *dir,
		      struct listing *to)
{
	const struct node_id *id = to->dir;
	int r = 0;

	for (enum node_kind k = NODE_ROOT; r == 0 && k < NODE_KIND_N; k++) {
		const struct kind *kind = kind_of(k);
		bool hidden;

		if (kind->parent != id->kind || !kind->name || kind->hidden)
			continue;
		r = fixed_exists(v, k, id);
		if (r == -ENOENT) {
			r = 0;
			continue;
		}
		mnt_lock(m);
		hidden = scratch_find(&m->inodes, dir, kind->name,
				      mnt_monotonic_ms()) != NULL;
		mnt_unlock(m);
		to->kind = k;
		if (r == 0 && !hidden)
			r = add_child(to, kind->name, strlen(kind->name));
	}
	return r;
}

static mode_t type_of(const struct node *n)
{
	if (n->id->kind == NODE_SCRATCH_LINK)
		return S_IFLNK;
	return kind_of(n->id->kind)->dir ? S_IFDIR : S_IFREG;
}

static int list_scratch(struct mnt *m, struct node *dir, struct dirlist *l)
{
	struct list *at;
	int r = 0;

	mnt_lock(m);
	if (dir->more)
		for (at = dir->more->names.next;
		     r == 0 && at != &dir->more->names; at = at->next) {
			struct scratch_name *e =
				LIST_ENTRY(at, struct scratch_name, link);

			if (e->node)
				r = dirlist_add(l, e->name, strlen(e->name),
						type_of(e->node),
						e->node->id->hash);
		}
	mnt_unlock(m);
	return r;
}

static int list_drivers(struct mnt *m, struct listing *to)
{
	const char *const *all = agent_drivers(m->agent);
	int r = 0;

	for (; r == 0 && *all; all++)
		r = add_child(to, *all, strlen(*all));
	return r;
}

/* Those whose names vary. */
static int list_named(struct mnt *m, const struct view *v, struct listing *to)
{
	struct ch_bytes name = ch_str(to->dir->name);

	switch (to->dir->kind) {
	case NODE_ROOT:
		to->kind = NODE_RESOURCE;
		return view_resources(v, ch_str(""), add_name, to);
	case NODE_RESOURCE:
		to->kind = NODE_SITE;
		return view_sites(v, name, add_name, to);
	case NODE_CONFLICTS:
		to->kind = NODE_CONFLICT;
		return view_conflicts(v, name, add_name, to);
	case NODE_MEMBERS:
		to->kind = NODE_MEMBER;
		return view_members(v, add_name, to);
	case NODE_DRIVERS:
		to->kind = NODE_DRIVER;
		return list_drivers(m, to);
	case NODE_TRASHES:
		to->kind = NODE_TRASH;
		return view_trashes(v, add_name, to);
	case NODE_HELDS:
		to->kind = NODE_HELD;
		return view_helds(v, add_name, to);
	default:
		return 0;
	}
}

int tree_list(struct mnt *m, const struct view *v, struct node *dir,
	      struct dirlist *ret_list)
{
	struct listing to = {.dir = mnt_id(m, dir)};
	int r;

	r = tree_still_there(m, v, dir);
	if (r == 0)
		r = list_fixed(m, v, dir, &to);
	if (r == 0)
		r = list_scratch(m, dir, &to.l);
	if (r == 0)
		r = list_named(m, v, &to);
	if (r < 0 && r != -ENOENT) { /* Gone since: an empty listing. */
		dirlist_release(&to.l);
		return r;
	}
	*ret_list = to.l;
	return 0;
}
