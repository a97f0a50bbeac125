/* scratch.c -- see scratch.h. */
#include "fs/scratch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct scratch_name *name_of(struct list *l)
{
	return LIST_ENTRY(l, struct scratch_name, link);
}

struct scratch *scratch_new(struct node *n)
{
	struct node_more *more = inode_more(n);
	struct scratch *s;

	if (!more)
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	strbuf_init(&s->data);
	for (size_t i = 0; i < CH_FILES; i++)
		strbuf_init(&s->context[i]);
	more->scratch = s;
	return s;
}

void scratch_free(struct scratch *s)
{
	if (!s)
		return;
	strbuf_release(&s->data);
	for (size_t i = 0; i < CH_FILES; i++)
		strbuf_release(&s->context[i]);
	free(s);
}

struct scratch_name *scratch_find(struct inodes *t, struct node *dir,
				  const char *name, int64_t now_ms)
{
	struct list *l;

	if (!dir->more)
		return NULL;
	for (l = dir->more->names.next; l != &dir->more->names; l = l->next) {
		struct scratch_name *e = name_of(l);

		if (strcmp(e->name, name) != 0)
			continue;
		if (e->node || e->hidden_until > now_ms)
			return e;
		scratch_del(t, dir, e);
		return NULL;
	}
	return NULL;
}

static int name_add(struct node *dir, const char *name, struct node *node,
		    int64_t until_ms)
{
	struct node_more *more = inode_more(dir);
	size_t len = strlen(name) + 1;
	struct scratch_name *e;

	if (!more)
		return -ENOMEM;
	e = calloc(1, sizeof(*e) + len);
	if (!e)
		return -ENOMEM;
	memcpy(e->name, name, len);
	e->node = node ? inode_ref(node) : NULL;
	e->hidden_until = until_ms;
	if (list_is_empty(&more->names))
		inode_ref(dir);
	list_add_tail(&more->names, &e->link);
	more->n_names += node != NULL;
	more->n_changes++;
	return 0;
}

int scratch_add(struct inodes *t, struct node *dir, const char *name,
		struct node *node)
{
	struct scratch_name *old;
	int r;

	if (dir->more && dir->more->n_names >= SCRATCH_NAMES_MAX)
		return -EDQUOT;
	r = name_add(dir, name, node, 0);
	if (r < 0)
		return r;
	old = scratch_find(t, dir, name, 0);
	if (old && old->node != node)
		scratch_del(t, dir, old);
	return 0;
}

int scratch_hide(struct inodes *t, struct node *dir, const char *name,
		 int64_t until_ms)
{
	struct scratch_name *old = scratch_find(t, dir, name, 0);

	if (old)
		scratch_del(t, dir, old);
	return name_add(dir, name, NULL, until_ms);
}

void scratch_del(struct inodes *t, struct node *dir, struct scratch_name *e)
{
	struct node *node = e->node;

	list_del(&e->link);
	dir->more->n_names -= node != NULL;
	dir->more->n_changes++;
	free(e);
	inode_unref(t, node);
	if (list_is_empty(&dir->more->names))
		inode_unref(t, dir);
}

void scratch_clear(struct inodes *t, struct node *dir)
{
	if (!dir->more)
		return;
	inode_ref(dir);
	while (!list_is_empty(&dir->more->names)) {
		struct scratch_name *e = name_of(dir->more->names.next);

		if (e->node)
			scratch_clear(t, e->node);
		scratch_del(t, dir, e);
	}
	inode_unref(t, dir);
}

void scratch_release(struct node_more *more)
{
	while (!list_is_empty(&more->names)) {
		struct scratch_name *e = name_of(more->names.next);

		list_del(&e->link);
		free(e);
	}
	scratch_free(more->scratch);
}
