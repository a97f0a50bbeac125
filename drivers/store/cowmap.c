/* cowmap.c -- see cowmap.h. */
#include "drivers/store/cowmap.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "core/check.h"
#include "core/mem.h"

/* Deeper than an AVL tree of 2^64 nodes gets. */
#define DEPTH_MAX 96

/* One pair; shared by all nodes that stand for it. */
struct item {
	atomic_size_t refs;
	size_t key_len, value_len;
	unsigned char bytes[]; /* The key, then the value. */
};

struct cowmap_node {
	atomic_size_t refs;
	struct cowmap_node *left, *right;
	struct item *item;
	int height; /* 1 for a leaf. */
};

static struct ch_bytes item_key(const struct item *it)
{
	return (struct ch_bytes){it->bytes, it->key_len};
}

static struct ch_bytes item_value(const struct item *it)
{
	return (struct ch_bytes){it->bytes + it->key_len, it->value_len};
}

static size_t item_cost(const struct item *it)
{
	return sizeof(struct cowmap_node) + sizeof(*it) + it->key_len +
	       it->value_len;
}

static struct item *item_new(struct ch_bytes key, struct ch_bytes value)
{
	struct item *it;

	it = mem_realloc(NULL, sizeof(*it) + key.len + value.len);
	if (!it)
		return NULL;
	atomic_init(&it->refs, 1);
	it->key_len = key.len;
	it->value_len = value.len;
	if (key.len)
		memcpy(it->bytes, key.p, key.len);
	if (value.len)
		memcpy(it->bytes + key.len, value.p, value.len);
	return it;
}

/* True for who held the last reference, after all that others did with it. */
static bool drop(atomic_size_t *refs)
{
	return atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

static void hold(atomic_size_t *refs)
{
	atomic_fetch_add_explicit(refs, 1, memory_order_relaxed);
}

static struct item *item_ref(struct item *it)
{
	hold(&it->refs);
	return it;
}

static void item_unref(struct item *it)
{
	if (drop(&it->refs))
		mem_free(it);
}

static struct cowmap_node *node_ref(struct cowmap_node *n)
{
	if (n)
		hold(&n->refs);
	return n;
}

static void node_unref(struct cowmap_node *n)
{
	while (n && drop(&n->refs)) {
		struct cowmap_node *right = n->right;

		node_unref(n->left);
		item_unref(n->item);
		mem_free(n);
		n = right;
	}
}

/* Takes a reference on @it of its own. */
static struct cowmap_node *node_new(struct item *it)
{
	struct cowmap_node *n;

	n = mem_alloc(sizeof(*n));
	if (!n)
		return NULL;
	atomic_init(&n->refs, 1);
	n->item = item_ref(it);
	n->height = 1;
	return n;
}

/*
 * Make *@p a node that this tree alone holds, so that it may be changed. All
 * nodes above it must be so already: a node that is held once, but below a
 * shared one, is shared.
 */
static int node_own(struct cowmap_node **p)
{
	struct cowmap_node *old = *p, *n;

	if (atomic_load_explicit(&old->refs, memory_order_acquire) == 1)
		return 0;
	n = node_new(old->item);
	if (!n)
		return -ENOMEM;
	n->left = node_ref(old->left);
	n->right = node_ref(old->right);
	n->height = old->height;
	node_unref(old);
	*p = n;
	return 0;
}

static int height(const struct cowmap_node *n)
{
	return n ? n->height : 0;
}

static void node_measure(struct cowmap_node *n)
{
	int l = height(n->left), r = height(n->right);

	n->height = 1 + (l > r ? l : r);
}

/* Lift the left child of *@p, which is owned, into its place. */
static int rotate_right(struct cowmap_node **p)
{
	struct cowmap_node *n = *p, *up;
	int r;

	r = node_own(&n->left);
	if (r < 0)
		return r;
	up = n->left;
	n->left = up->right;
	up->right = n;
	node_measure(n);
	node_measure(up);
	*p = up;
	return 0;
}

static int rotate_left(struct cowmap_node **p)
{
	struct cowmap_node *n = *p, *up;
	int r;

	r = node_own(&n->right);
	if (r < 0)
		return r;
	up = n->right;
	n->right = up->left;
	up->left = n;
	node_measure(n);
	node_measure(up);
	*p = up;
	return 0;
}

/* Restore M2 at *@p, which is owned, after a change by one below it. */
static int balance(struct cowmap_node **p)
{
	struct cowmap_node *n = *p;
	int lean = height(n->left) - height(n->right);
	int r;

	if (lean > 1) {
		if (height(n->left->left) < height(n->left->right)) {
			r = node_own(&n->left);
			if (r == 0)
				r = rotate_left(&n->left);
			if (r < 0)
				return r;
		}
		return rotate_right(p);
	}
	if (lean < -1) {
		if (height(n->right->right) < height(n->right->left)) {
			r = node_own(&n->right);
			if (r == 0)
				r = rotate_right(&n->right);
			if (r < 0)
				return r;
		}
		return rotate_left(p);
	}
	node_measure(n);
	return 0;
}

int cowmap_key_cmp(struct ch_bytes a, struct ch_bytes b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int r = len ? memcmp(a.p, b.p, len) : 0;

	if (r == 0)
		r = (a.len > b.len) - (a.len < b.len);
	return r;
}

void cowmap_init(struct cowmap *m)
{
	*m = (struct cowmap){NULL, 0, 0};
}

void cowmap_release(struct cowmap *m)
{
	node_unref(m->root);
	cowmap_init(m);
}

struct cowmap cowmap_copy(const struct cowmap *m)
{
	struct cowmap copy = *m;

	node_ref(copy.root);
	return copy;
}

static const struct item *find(const struct cowmap *m, struct ch_bytes key)
{
	const struct cowmap_node *n = m->root;

	while (n) {
		int r = cowmap_key_cmp(key, item_key(n->item));

		if (r == 0)
			return n->item;
		n = r < 0 ? n->left : n->right;
	}
	return NULL;
}

int cowmap_get(const struct cowmap *m, struct ch_bytes key,
	       struct ch_bytes *ret_value)
{
	const struct item *it = find(m, key);

	if (!it)
		return -ENOENT;
	*ret_value = item_value(it);
	return 0;
}

/* How much a change has added to a map, and taken away. */
struct delta {
	size_t n_plus, n_minus;
	size_t bytes_plus, bytes_minus;
};

static void delta_apply(const struct delta *d, struct cowmap *m)
{
	m->n = m->n + d->n_plus - d->n_minus;
	m->bytes = m->bytes + d->bytes_plus - d->bytes_minus;
}

static int put_at(struct cowmap_node **p, struct item *it, struct delta *d)
{
	int r, order;

	if (!*p) {
		*p = node_new(it);
		if (!*p)
			return -ENOMEM;
		d->n_plus++;
		d->bytes_plus += item_cost(it);
		return 0;
	}
	r = node_own(p);
	if (r < 0)
		return r;
	order = cowmap_key_cmp(item_key(it), item_key((*p)->item));
	if (order == 0) {
		d->bytes_plus += item_cost(it);
		d->bytes_minus += item_cost((*p)->item);
		item_unref((*p)->item);
		(*p)->item = item_ref(it);
		return 0;
	}
	r = put_at(order < 0 ? &(*p)->left : &(*p)->right, it, d);
	return r < 0 ? r : balance(p);
}

int cowmap_put(struct cowmap *m, struct ch_bytes key, struct ch_bytes value)
{
	struct delta d = {0};
	struct item *it;
	int r;

	it = item_new(key, value);
	if (!it)
		return -ENOMEM;
	r = put_at(&m->root, it, &d);
	delta_apply(&d, m);
	item_unref(it);
	return r;
}

/* Put what is right of *@p, which is owned and has no left, in its place. */
static void cut(struct cowmap_node **p)
{
	struct cowmap_node *n = *p;

	CHECK(!n->left);
	*p = n->right;
	n->right = NULL;
	node_unref(n);
}

/* Take the leftmost node out of *@p. @ret_item is a reference on its item. */
static int cut_first(struct cowmap_node **p, struct item **ret_item)
{
	int r;

	r = node_own(p);
	if (r < 0)
		return r;
	if ((*p)->left) {
		r = cut_first(&(*p)->left, ret_item);
		return r < 0 ? r : balance(p);
	}
	*ret_item = item_ref((*p)->item);
	cut(p);
	return 0;
}

/* @key is there. */
static int del_at(struct cowmap_node **p, struct ch_bytes key, struct delta *d)
{
	struct item *next = NULL;
	int r, order;

	r = node_own(p);
	if (r < 0)
		return r;
	order = cowmap_key_cmp(key, item_key((*p)->item));
	if (order != 0) {
		r = del_at(order < 0 ? &(*p)->left : &(*p)->right, key, d);
		return r < 0 ? r : balance(p);
	}

	d->n_minus++;
	d->bytes_minus += item_cost((*p)->item);
	if (!(*p)->left) {
		cut(p);
		return 0;
	}
	if (!(*p)->right) {
		struct cowmap_node *left = (*p)->left;

		(*p)->left = NULL;
		node_unref(*p);
		*p = left;
		return 0;
	}
	r = cut_first(&(*p)->right, &next);
	if (next) {
		item_unref((*p)->item);
		(*p)->item = next;
	}
	return r < 0 ? r : balance(p);
}

int cowmap_del(struct cowmap *m, struct ch_bytes key)
{
	struct delta d = {0};
	int r;

	/* What is not there must not cost copies of the path to it. */
	if (!find(m, key))
		return 0;
	r = del_at(&m->root, key, &d);
	delta_apply(&d, m);
	return r;
}

static bool starts_with(struct ch_bytes key, struct ch_bytes prefix)
{
	return key.len >= prefix.len &&
	       (prefix.len == 0 || memcmp(key.p, prefix.p, prefix.len) == 0);
}

int cowmap_scan(const struct cowmap *m, struct ch_bytes prefix,
		struct ch_bytes from, ch_scan_fn *fn, void *arg)
{
	/* The nodes whose turn comes once all left of them is done. */
	const struct cowmap_node *wait[DEPTH_MAX], *n = m->root;
	struct ch_bytes first =
		cowmap_key_cmp(from, prefix) > 0 ? from : prefix;
	size_t depth = 0;
	int r = 0;

	while (n) {
		bool before = cowmap_key_cmp(item_key(n->item), first) < 0;

		CHECK(depth < DEPTH_MAX);
		if (!before)
			wait[depth++] = n;
		n = before ? n->right : n->left;
	}
	while (depth > 0 && r == 0) {
		struct ch_bytes key;

		n = wait[--depth];
		key = item_key(n->item);
		if (!starts_with(key, prefix))
			break;
		r = fn(arg, key, item_value(n->item));
		for (n = n->right; n; n = n->left) {
			CHECK(depth < DEPTH_MAX);
			wait[depth++] = n;
		}
	}
	return r;
}

static void check_at(const struct cowmap_node *n,
		     const struct cowmap_node **last, struct cowmap *seen)
{
	int lean;

	if (!n)
		return;
	check_at(n->left, last, seen);
	/* M1. */
	if (*last)
		CHECK(cowmap_key_cmp(item_key((*last)->item),
				     item_key(n->item)) < 0);
	*last = n;
	seen->n++;
	seen->bytes += item_cost(n->item);
	check_at(n->right, last, seen);
	/* M2. */
	lean = height(n->left) - height(n->right);
	CHECK(lean >= -1);
	CHECK(lean <= 1);
	CHECK(n->height == 1 + (lean > 0 ? height(n->left) : height(n->right)));
}

void cowmap_check(const struct cowmap *m)
{
	const struct cowmap_node *last = NULL;
	struct cowmap seen;

	cowmap_init(&seen);
	check_at(m->root, &last, &seen);
	/* M3. */
	CHECK(seen.n == m->n);
	CHECK(seen.bytes == m->bytes);
}
