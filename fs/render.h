/*
 * render.h -- what a file of the tree shows, and the attributes of all nodes.
 */
#ifndef CHEOPS_FS_RENDER_H
#define CHEOPS_FS_RENDER_H

#include <stdint.h>
#include <sys/stat.h>

#include "core/strbuf.h"
#include "core/view.h"
#include "fs/ops.h"

/* Append the content of a file (not .events, not scratch). 0; -ENOENT: the
 * file is gone; else as view_content(). */
int render_content(struct mnt *m, const struct view *v,
		   const struct node_id *id, struct strbuf *out,
		   struct err *reterr);

/* Does this site let users write to that file? (labels of others: no.) */
bool render_is_writable(struct mnt *m, const struct node_id *id);

/* A number that changes with the content, and how long that is. Where content
 * is dear, what it is made from is looked at instead. */
int render_tag(struct mnt *m, const struct view *v, struct node *n,
	       const struct node_id *id, uint64_t *ret_tag, uint64_t *ret_len);

/* A number that changes when the content changes in a way that matters to who
 * polls: not when only time has passed. */
int render_meaning(struct mnt *m, const struct view *v,
		   const struct node_id *id, uint64_t *ret_meaning);
uint64_t render_meaning_of(const char *p, size_t len);

/*
 * The attributes of @n. @info: of the resource that it belongs to, or NULL:
 * read here. @ret_timeout: seconds that the kernel may keep them. 0; -ENOENT:
 * what it belongs to is gone; -EIO, -ENOMEM.
 */
int render_attr(struct mnt *m, const struct view *v, struct node *n,
		const struct view_resource *info, struct stat *ret_st,
		double *ret_timeout);

extern const char render_readme[];

#endif
