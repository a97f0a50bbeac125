/* inode.c -- see inode.h. */
#include "fs/inode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "fs/scratch.h"

uint64_t inode_hash(uint64_t seed, const void *p, size_t len)
{
	const unsigned char *b = p;
	uint64_t h = seed ^ 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ b[i]) * 0x100000001b3u;
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdu;
	h ^= h >> 33;
	return h;
}

uint64_t inode_number(enum node_kind kind, const char *name, const char *site)
{
	uint64_t h;

	if (kind == NODE_ROOT)
		return 1; /* FUSE_ROOT_ID */

	h = inode_hash((uint64_t)kind + 1, name, strlen(name) + 1);
	h = inode_hash(h, site, strlen(site) + 1);
	return h > 1 ? h : h + 2; /* 0 is no inode, 1 is the root. */
}

uint64_t inode_of_lineage(uint64_t lineage)
{
	uint64_t h = inode_hash(0, &lineage, sizeof(lineage));

	return h > 1 ? h : h + 2;
}

static struct node_id *id_new(enum node_kind kind, const char *name,
			      const char *site)
{
	size_t name_len = strlen(name) + 1, site_len = strlen(site) + 1;
	struct node_id *id;

	id = malloc(sizeof(*id) + name_len + site_len);
	if (!id)
		return NULL;
	memcpy(id->text, name, name_len);
	memcpy(id->text + name_len, site, site_len);
	id->kind = kind;
	id->name = id->text;
	id->site = id->text + name_len;
	id->hash = inode_number(kind, name, site);
	id->older = NULL;
	return id;
}

static void node_free(struct node *n)
{
	while (n->id) {
		struct node_id *id = n->id;

		n->id = id->older;
		free(id);
	}
	if (n->more)
		scratch_release(n->more);
	free(n->more);
	free(n);
}

static void table_add_id(struct inodes *t, struct node *n)
{
	struct node **at = &t->by_id[n->id->hash & t->mask];

	n->id_next = *at;
	*at = n;
	n->hashed = true;
}

static void table_add_no(struct inodes *t, struct node *n)
{
	struct node **at = &t->by_no[n->no & t->mask];

	n->no_next = *at;
	*at = n;
}

static void table_del_id(struct inodes *t, struct node *n)
{
	struct node **at = &t->by_id[n->id->hash & t->mask];

	while (*at != n)
		at = &(*at)->id_next;
	*at = n->id_next;
	n->hashed = false;
}

static void table_del_no(struct inodes *t, struct node *n)
{
	struct node **at = &t->by_no[n->no & t->mask];

	while (*at != n)
		at = &(*at)->no_next;
	*at = n->no_next;
}

/* Twice the size; without memory it stays as it is, and gets slower. */
static void table_grow(struct inodes *t)
{
	size_t size = (t->mask + 1) * 2, old = t->mask + 1;
	struct node **by_id, **by_no, **was_id = t->by_id, **was_no = t->by_no;

	by_id = calloc(size, sizeof(*by_id));
	by_no = calloc(size, sizeof(*by_no));
	if (!by_id || !by_no) {
		free(by_id);
		free(by_no);
		return;
	}
	t->by_id = by_id;
	t->by_no = by_no;
	t->mask = size - 1;
	for (size_t i = 0; i < old; i++) {
		for (struct node *n = was_id[i], *next; n; n = next) {
			next = n->id_next;
			table_add_id(t, n);
		}
		for (struct node *n = was_no[i], *next; n; n = next) {
			next = n->no_next;
			table_add_no(t, n);
		}
	}
	free(was_id);
	free(was_no);
}

static struct node *node_new(struct inodes *t, struct node *parent,
			     enum node_kind kind, const char *name,
			     const char *site)
{
	struct node *n;

	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->id = id_new(kind, name, site);
	if (!n->id) {
		free(n);
		return NULL;
	}
	n->no = ++t->no_last;
	n->refs = 1;
	list_init(&n->children);
	list_init(&n->sibling);
	if (parent) {
		n->parent = inode_ref(parent);
		list_add_tail(&parent->children, &n->sibling);
	}
	table_add_no(t, n);
	if (++t->n > t->mask)
		table_grow(t);
	return n;
}

int inodes_init(struct inodes *t)
{
	memset(t, 0, sizeof(*t));
	t->by_id = calloc(64, sizeof(struct node *));
	t->by_no = calloc(64, sizeof(struct node *));
	t->mask = 63;
	if (t->by_id && t->by_no)
		t->root = node_new(t, NULL, NODE_ROOT, "", "");
	if (!t->root) {
		free(t->by_id);
		free(t->by_no);
		return -ENOMEM;
	}
	CHECK(t->root->no == 1); /* FUSE_ROOT_ID */
	table_add_id(t, t->root);
	return 0;
}

void inodes_release(struct inodes *t)
{
	for (size_t i = 0; i <= t->mask; i++)
		while (t->by_no[i]) {
			struct node *n = t->by_no[i];

			t->by_no[i] = n->no_next;
			node_free(n);
		}
	free(t->by_id);
	free(t->by_no);
	memset(t, 0, sizeof(*t));
}

struct node *inode_by_no(const struct inodes *t, uint64_t no)
{
	struct node *n = t->by_no[no & t->mask];

	while (n && n->no != no)
		n = n->no_next;
	return n;
}

struct node *inode_find(const struct inodes *t, enum node_kind kind,
			const char *name, const char *site)
{
	uint64_t hash = inode_number(kind, name, site);
	struct node *n = t->by_id[hash & t->mask];

	while (n && !(n->id->hash == hash && n->id->kind == kind &&
		      strcmp(n->id->name, name) == 0 &&
		      strcmp(n->id->site, site) == 0))
		n = n->id_next;
	return n;
}

struct node *inode_get(struct inodes *t, struct node *parent,
		       enum node_kind kind, const char *name, const char *site)
{
	struct node *n;

	n = inode_find(t, kind, name, site);
	if (n)
		return inode_ref(n);
	n = node_new(t, parent, kind, name, site);
	if (n)
		table_add_id(t, n);
	return n;
}

struct node *inode_new_loose(struct inodes *t, struct node *parent,
			     enum node_kind kind, const char *name,
			     const char *site)
{
	struct node *n;

	n = node_new(t, parent, kind, name, site);
	if (n) {
		t->n_loose++;
		n->id->hash = inode_hash(n->id->hash, &t->n_loose,
					 sizeof(t->n_loose));
	}
	return n;
}

struct node *inode_ref(struct node *n)
{
	n->refs++;
	return n;
}

void inode_unref(struct inodes *t, struct node *n)
{
	while (n) {
		struct node *parent = n->parent;

		CHECK(n->refs > 0);
		if (--n->refs > 0)
			return;
		if (n->hashed)
			table_del_id(t, n);
		table_del_no(t, n);
		t->n--;
		list_del(&n->sibling);
		node_free(n);
		n = parent;
	}
}

void inode_looked_up(struct node *n)
{
	if (n->n_lookup++ == 0)
		inode_ref(n);
}

void inode_forget(struct inodes *t, struct node *node, uint64_t n)
{
	if (n > node->n_lookup)
		n = node->n_lookup;
	node->n_lookup -= n;
	if (n > 0 && node->n_lookup == 0 && node != t->root) {
		node->cached = false;
		inode_unref(t, node);
	}
}

void inode_unhash(struct inodes *t, struct node *n)
{
	if (n->hashed)
		table_del_id(t, n);
	for (struct list *l = n->children.next; l != &n->children; l = l->next)
		inode_unhash(t, LIST_ENTRY(l, struct node, sibling));
}

int inode_become(struct inodes *t, struct node *n, struct node *parent,
		 enum node_kind kind, const char *name, const char *site)
{
	struct node *was = n->parent, *other;
	struct node_id *id;

	id = id_new(kind, name, site);
	if (!id)
		return -ENOMEM;
	other = inode_find(t, kind, name, site);
	if (other && other != n)
		inode_unhash(t, other);
	if (n->hashed)
		table_del_id(t, n);
	n->ino_old = n->id->hash;
	id->older = n->id;
	n->id = id;
	if (kind_of(kind)->loose)
		id->hash = inode_hash(id->hash, &n->no, sizeof(n->no));
	else
		table_add_id(t, n);
	n->tagged = false;
	if (parent != was) {
		n->parent = inode_ref(parent);
		list_del(&n->sibling);
		list_add_tail(&parent->children, &n->sibling);
		inode_unref(t, was);
	}
	return 0;
}

struct node_more *inode_more(struct node *n)
{
	if (!n->more) {
		n->more = calloc(1, sizeof(*n->more));
		if (!n->more)
			return NULL;
		list_init(&n->more->names);
		list_init(&n->more->waiting);
	}
	return n->more;
}

void inode_less(struct node *n)
{
	struct node_more *more = n->more;

	if (--more->n_writers > 0 || kind_is_scratch(n->id->kind) ||
	    more->scratch)
		return;
	CHECK(more->n_commits == 0);
	CHECK(list_is_empty(&more->waiting));
	n->more = NULL;
	free(more);
}

void inode_walk(struct node *n, inode_fn *fn, void *arg)
{
	fn(arg, n);
	for (struct list *l = n->children.next; l != &n->children; l = l->next)
		inode_walk(LIST_ENTRY(l, struct node, sibling), fn, arg);
}
