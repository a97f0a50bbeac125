/*
 * tree.h -- names to nodes, and directories to names.
 */
#ifndef CHEOPS_FS_TREE_H
#define CHEOPS_FS_TREE_H

#include <sys/types.h>

#include "core/view.h"
#include "fs/ops.h"

#define TREE_NAME_MAX 255

/*
 * The node of @name in @dir; the caller gets a reference. 0; -ENOENT: there
 * is none, or it is hidden; -ENAMETOOLONG; -ENOTDIR; -EIO, -ENOMEM.
 */
int tree_resolve(struct mnt *m, const struct view *v, struct node *dir,
		 const char *name, struct node **ret_node);

/* What a name in @dir would be: the kind of a file that the tree provides
 * (there or not), or NODE_KIND_N. */
enum node_kind tree_kind_of(struct mnt *m, struct node *dir, const char *name);

/* Is @n still in the tree: 0; -ENOENT; -EIO, -ENOMEM. And its name. */
int tree_still_there(struct mnt *m, const struct view *v, struct node *n);
/* Is it as long as its directory is? Then the above need not be asked. */
bool tree_is_always_there(const struct node_id *id);
const char *tree_name_of(const struct node_id *id);

/* The names of a directory at one moment. */
struct dirlist {
	char **names;
	mode_t *types; /* S_IFDIR, S_IFREG, S_IFLNK */
	uint64_t *inos;
	size_t n, alloc;
};

/* Without . and .. */
int tree_list(struct mnt *m, const struct view *v, struct node *dir,
	      struct dirlist *ret_list);
void dirlist_release(struct dirlist *l);

#endif
