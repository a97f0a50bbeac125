/*
 * doc_tree.h -- the inside of a doc, for core/doc*.c alone.
 *
 * A tree is made once, by doc_json.c or doc_yaml.c, and never changed: so many
 * threads may read it, and an alias is the node that it names (the tree is
 * then a graph without circles, and every walk expands it). What a walk would
 * see at most is counted while the tree is made, hence the limits.
 *
 * Ownership: nodes, keys and texts live in the arena of their doc and go with
 * it. Texts may point into the doc's copy of its input.
 */
#ifndef CHEOPS_CORE_DOC_TREE_H
#define CHEOPS_CORE_DOC_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/doc.h"

#define DOC_NODES_MAX (1u << 20) /* With all aliases expanded. */
#define DOC_TEXT_MAX (32u << 20) /* Bytes of scalars, likewise. */
#define DOC_SIMPLE_KEY_MAX 1000  /* YAML: a key without "? " (libyaml 1024). */
#define DOC_FIND_LINEAR_MAX 8    /* Larger maps are sorted, and searched. */

/* Memory that is freed at once. */
struct doc_arena {
	struct doc_chunk *chunks;
	char *free;
	size_t left;
};

enum doc_kind {
	DOC_NULL,
	DOC_BOOL,
	DOC_NUMBER,
	DOC_STRING,
	DOC_MAP,
	DOC_LIST,
};

enum doc_style {
	DOC_PLAIN,
	DOC_SINGLE,  /* 'text' */
	DOC_DOUBLE,  /* "text" */
	DOC_LITERAL, /* | */
	DOC_FOLDED,  /* > */
	DOC_BLOCK,   /* Maps and lists: one entry a line. */
	DOC_FLOW,    /* Maps and lists: {a: b}, [a, b]. */
};

struct doc_entry {
	struct doc_node *key; /* NULL in lists; else a string. */
	struct doc_node *value;
};

struct doc_node {
	enum doc_kind kind;
	uint8_t style;  /* enum doc_style */
	uint8_t syntax; /* enum doc_syntax: what `src` is written in. */
	uint8_t height; /* 0 for scalars and empty collections, else 1 + max. */
	bool in_flow;   /* Scalars: `src` stood in a flow collection. */
	bool merge;     /* Keys: a plain `<<`. */
	uint32_t nodes; /* This one and all below it. */
	uint32_t text;  /* Bytes of all scalars in it. */
	const char *tag; /* As libyaml expands it; NULL: none. */
	union {
		struct {
			/* A string's value; "true"; a number as JSON writes
			 * it; "null". */
			struct ch_bytes value;
			/* As it stood in the input, quotes included. Empty:
			 * nothing stood there. */
			struct ch_bytes src;
		} scalar;
		struct {
			struct doc_entry *v;
			size_t n;
			/* Maps over DOC_FIND_LINEAR_MAX: places in v in the
			 * order of their keys. Else NULL. */
			uint32_t *order;
		} many;
	} u;
};

struct doc {
	enum doc_syntax syntax;
	/* How JSON was laid out. */
	bool indented, colon_space, comma_space;
	struct doc_arena arena;
	struct ch_bytes in; /* Our copy, without the byte order mark. */
	struct doc_node **v;
	size_t n;
};

/* doc_fail.what of a JSON text that is none from its start: {a: b}. */
#define DOC_NOT_BEGUN "not begun"
/* ... and of one that is no YAML either, whatever follows. */
#define DOC_CERTAIN "certain"
#define DOC_DUPLICATE "duplicate"

/* An error with its place, before it is a sentence. */
struct doc_fail {
	size_t at;      /* Byte in the input. */
	size_t reach;   /* How far it was understood: at, or behind it. */
	size_t settled; /* What follows this byte cannot mend it; SIZE_MAX. */
	const char *what;
	char text[160];
};

/* Memory. NULL when there is none left. */
void *doc_arena_alloc(struct doc_arena *a, size_t size);
void *doc_arena_dup(struct doc_arena *a, const void *p, size_t len);
void doc_arena_release(struct doc_arena *a);

struct doc_node *doc_scalar_new(struct doc_arena *a, enum doc_kind kind,
				struct ch_bytes value, struct ch_bytes src);
/* A map or list of @n entries, which are copied. */
struct doc_node *doc_many_new(struct doc_arena *a, enum doc_kind kind,
			      const struct doc_entry *v, size_t n);
/* Count and sort: to be called once the entries stand. -ENOMEM. With @ret_dup,
 * the place in v of the first key that repeats an earlier one, or SIZE_MAX. */
int doc_many_seal(struct doc_arena *a, struct doc_node *many, size_t *ret_dup);
/* Drop all but the first of equal keys; seals. -ENOMEM. */
int doc_map_unique(struct doc_arena *a, struct doc_node *map);

static inline bool doc_is_many(const struct doc_node *n)
{
	return n->kind == DOC_MAP || n->kind == DOC_LIST;
}

/* The value of @key; NULL when @map has none, or is no map. */
struct doc_node *doc_find(const struct doc_node *map, struct ch_bytes key);
/* The same for a value that is a string; else empty. */
struct ch_bytes doc_find_string(const struct doc_node *map, const char *key);
int doc_bytes_cmp(struct ch_bytes a, struct ch_bytes b);

/* Which of several documents one is; empty where it does not say. */
struct doc_identity {
	struct ch_bytes kind, name, space;
};
struct doc_identity doc_identity(const struct doc_node *n);
bool doc_identity_equal(const struct doc_identity *a,
			const struct doc_identity *b);

/* 0, or the sentence into @f and -EINVAL. @at and @settled as in doc_fail. */
int doc_fail_set(struct doc_fail *f, size_t at, size_t settled,
		 const char *what, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* Texts. */
size_t doc_utf8_len(const unsigned char *p, size_t left, uint32_t *ret_c);
/* The length of @in without a character that is cut off at its end. */
size_t doc_utf8_whole(struct ch_bytes in);
int doc_check_utf8(struct ch_bytes in, struct doc_fail *f);
/* Count from 1; columns are characters. */
void doc_where(struct ch_bytes in, size_t at, size_t *ret_line,
	       size_t *ret_col);

/*
 * Type a YAML scalar as go-yaml v2 does. @tag as libyaml expands it, or NULL;
 * @plain: it is neither quoted nor a block. @ret_value is @text where that is
 * the value, else in @a. 0, -ENOMEM, or -EINVAL when the tag does not fit.
 */
int doc_resolve(struct doc_arena *a, const char *tag, bool plain,
		struct ch_bytes text, enum doc_kind *ret_kind,
		struct ch_bytes *ret_value);

/* The parsers. -EINVAL fills @f, -ENOMEM does not. @d->in stands; on failure
 * the caller releases @d. */
int doc_parse_json(struct doc *d, struct doc_fail *f);
int doc_parse_yaml(struct doc *d, struct doc_fail *f);
/* The second without its last step: no documents is no error. @prefix: the
 * text goes on with a guess, so what is wrong before that counts more. */
int doc_read_yaml(struct doc *d, bool prefix, struct doc_fail *f);
/* 0 when some continuation of @in could parse. */
int doc_prefix_json(struct ch_bytes in, struct doc_fail *f);
int doc_prefix_yaml(struct ch_bytes in, struct doc_fail *f);

/* The writers. */
struct doc_layout {
	bool indented, colon_space, comma_space;
};
void doc_write_json(const struct doc_node *n, const struct doc_layout *l,
		    size_t depth, struct strbuf *out);
/* One document, block style where it may be; ends with a newline. */
void doc_write_yaml(const struct doc_node *n, struct strbuf *out);
/* As many documents as @like has, in its syntax and layout. */
void doc_write_like(const struct doc *like, struct doc_node *const *v,
		    struct strbuf *out);

#endif
