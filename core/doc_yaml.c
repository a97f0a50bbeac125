/*
 * doc_yaml.c -- YAML in, through libyaml's events.
 *
 * No recursion: what is open is a stack of frames, at most DOC_NESTING_MAX;
 * entries of all open collections stand on one stack, and go to the arena when
 * theirs is closed. libyaml counts in characters and we in bytes, so a cursor
 * runs along.
 */
#include <errno.h>
#include <string.h>
#include <yaml.h>

#include "core/doc_tree.h"
#include "core/mem.h"

struct frame {
	struct doc_node *node; /* Made at once, filled when it is closed. */
	struct doc_node *key;  /* Waits for its value. */
	size_t start;          /* Its first entry on the stack. */
	size_t at;             /* Where it began. */
	bool merges;           /* It has a key <<. */
};

struct anchor {
	const char *name;
	struct doc_node *node;
};

struct build {
	struct doc *d;
	struct doc_fail *f;
	yaml_parser_t yaml;
	struct frame frame[DOC_NESTING_MAX];
	size_t depth;
	struct doc_entry *v;
	size_t n, alloc;
	struct anchor *anchor; /* Of this document. */
	size_t anchor_n, anchor_alloc;
	size_t aliases;
	uint32_t nodes; /* Made so far, or said by an alias. */
	uint32_t text;
	size_t docs_alloc;
	size_t chars, bytes; /* The cursor: as many characters are bytes. */
	bool ascii;
};

/* The byte of character @chars; runs forwards, from the start when it must. */
static size_t byte_of(struct build *b, size_t chars)
{
	const unsigned char *p = b->d->in.p;
	size_t len = b->d->in.len;

	if (b->ascii)
		return chars < len ? chars : len;
	if (chars < b->chars) {
		b->chars = 0;
		b->bytes = 0;
	}
	while (b->chars < chars && b->bytes < len) {
		b->bytes++;
		while (b->bytes < len && (p[b->bytes] & 0xc0) == 0x80)
			b->bytes++;
		b->chars++;
	}
	return b->bytes;
}

static void *grow(void *v, size_t *alloc, size_t size)
{
	size_t n = *alloc ? *alloc * 2 : 64;
	void *q = mem_realloc(v, n * size);

	if (q)
		*alloc = n;
	return q;
}

/* The entries from @start on; NULL where there never was one. */
static struct doc_entry *since(const struct build *b, size_t start)
{
	return b->v ? b->v + start : NULL;
}

static int push(struct build *b, struct doc_entry e)
{
	if (b->n == b->alloc) {
		struct doc_entry *v = grow(b->v, &b->alloc, sizeof(*v));

		if (!v)
			return -ENOMEM;
		b->v = v;
	}
	b->v[b->n++] = e;
	return 0;
}

/* One more value, or all that an alias stands for. */
static int count(struct build *b, uint32_t nodes, uint32_t text, size_t at)
{
	if (nodes > DOC_NODES_MAX - b->nodes)
		return doc_fail_set(b->f, at, at, "nodes",
				    "more than %u values, aliases expanded; "
				    "that is the most",
				    DOC_NODES_MAX);
	if (text > DOC_TEXT_MAX - b->text)
		return doc_fail_set(b->f, at, at, "text",
				    "more than %u MiB of text, aliases "
				    "expanded; that is the most",
				    DOC_TEXT_MAX >> 20);
	b->nodes += nodes;
	b->text += text;
	return 0;
}

static int anchor_add(struct build *b, const yaml_char_t *name,
		      struct doc_node *node)
{
	const char *s = (const char *)name;

	if (!s)
		return 0;
	s = doc_arena_dup(&b->d->arena, s, strlen(s));
	if (!s)
		return -ENOMEM;
	if (b->anchor_n == b->anchor_alloc) {
		struct anchor *v =
			grow(b->anchor, &b->anchor_alloc, sizeof(*v));

		if (!v)
			return -ENOMEM;
		b->anchor = v;
	}
	b->anchor[b->anchor_n++] = (struct anchor){s, node};
	return 0;
}

/* The latest of that name counts. */
static struct doc_node *anchor_find(const struct build *b, const char *name)
{
	for (size_t i = b->anchor_n; i > 0; i--)
		if (strcmp(b->anchor[i - 1].name, name) == 0)
			return b->anchor[i - 1].node;
	return NULL;
}

static int tag_copy(struct build *b, const yaml_char_t *tag,
		    const char **ret_tag)
{
	const char *s = (const char *)tag;

	*ret_tag = NULL;
	if (!s)
		return 0;
	*ret_tag = doc_arena_dup(&b->d->arena, s, strlen(s));
	return *ret_tag ? 0 : -ENOMEM;
}

static int doc_add(struct build *b, struct doc_node *n)
{
	struct doc *d = b->d;

	if (d->n == b->docs_alloc) {
		struct doc_node **v = grow(d->v, &b->docs_alloc, sizeof(*v));

		if (!v)
			return -ENOMEM;
		d->v = v;
	}
	d->v[d->n++] = n;
	return 0;
}

/* A root that is a scalar: skipped when it is nothing, else refused. */
static int root_scalar(struct build *b, const struct doc_node *n, size_t at)
{
	const char *p = b->d->in.p;
	size_t eol = at;

	if (n->kind == DOC_NULL && !n->tag)
		return 0;
	/* It may still become a key, but only on its own line. */
	while (eol < b->d->in.len && p[eol] != '\n' && p[eol] != '\r')
		eol++;
	return doc_fail_set(b->f, at, eol, "scalar",
			    "neither JSON nor a YAML map or list; write "
			    "`key: value` or `- item`");
}

/* A key: as JSON has only strings, what a scalar means becomes its name. */
static int set_key(struct build *b, struct frame *fr, struct doc_node *n,
		   size_t at, size_t settled)
{
	if (doc_is_many(n))
		return doc_fail_set(b->f, at, settled, "key",
				    "a key is a map or a list; it must be a "
				    "string");
	if (n->kind == DOC_NULL)
		return doc_fail_set(b->f, at, settled, "key",
				    "a key is empty or null; write a string, "
				    "in quotes if need be");
	if (memchr(n->u.scalar.value.p, '\0', n->u.scalar.value.len))
		return doc_fail_set(b->f, at, settled, "key",
				    "a key holds a NUL; leave it out");
	if (n->kind != DOC_STRING || n->merge) {
		/* An anchored scalar may stand elsewhere too: a copy. */
		struct doc_node *k =
			doc_scalar_new(&b->d->arena, DOC_STRING,
				       n->u.scalar.value, n->u.scalar.src);

		if (!k)
			return -ENOMEM;
		k->style = n->style;
		k->syntax = n->syntax;
		k->in_flow = n->in_flow;
		k->tag = n->tag;
		k->merge = n->merge;
		n = k;
	}
	fr->merges |= n->merge;
	fr->key = n;
	return 0;
}

/* Put @n where it belongs. */
static int attach(struct build *b, struct doc_node *n, size_t at,
		  size_t settled)
{
	struct frame *fr = b->depth ? &b->frame[b->depth - 1] : NULL;
	struct doc_entry e;
	int r;

	if (!fr)
		return doc_is_many(n) ? doc_add(b, n) : root_scalar(b, n, at);
	if (fr->node->kind == DOC_MAP && !fr->key)
		return set_key(b, fr, n, at, settled);
	e = (struct doc_entry){fr->key, n};
	r = push(b, e);
	if (r == 0)
		fr->key = NULL;
	return r;
}

static bool in_anchor(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Skip what stands before a scalar: its anchor, its tag, and space. */
static struct ch_bytes scalar_src(struct ch_bytes s)
{
	const char *p = s.p;
	size_t i = 0;

	while (i < s.len) {
		if (memchr(" \t\r\n", p[i], 4)) {
			i++;
		} else if (p[i] == '#') {
			while (i < s.len && p[i] != '\n' && p[i] != '\r')
				i++;
		} else if (p[i] == '&') {
			/* libyaml lets a `:` follow at once. */
			for (i++; i < s.len && in_anchor(p[i]);)
				i++;
		} else if (p[i] == '!') {
			while (i < s.len && !memchr(" \t\r\n", p[i], 4))
				i++;
		} else {
			break;
		}
	}
	return (struct ch_bytes){p + i, s.len - i};
}

static uint8_t style_of(yaml_scalar_style_t style)
{
	switch (style) {
	case YAML_SINGLE_QUOTED_SCALAR_STYLE:
		return DOC_SINGLE;
	case YAML_DOUBLE_QUOTED_SCALAR_STYLE:
		return DOC_DOUBLE;
	case YAML_LITERAL_SCALAR_STYLE:
		return DOC_LITERAL;
	case YAML_FOLDED_SCALAR_STYLE:
		return DOC_FOLDED;
	case YAML_PLAIN_SCALAR_STYLE:
	case YAML_ANY_SCALAR_STYLE:
		break;
	}
	return DOC_PLAIN;
}

static int on_scalar(struct build *b, const yaml_event_t *ev)
{
	struct doc_arena *a = &b->d->arena;
	struct ch_bytes src = {NULL, 0}, text, value;
	uint8_t style = style_of(ev->data.scalar.style);
	bool plain = ev->data.scalar.plain_implicit;
	bool flow = b->depth && b->frame[b->depth - 1].node->style == DOC_FLOW;
	size_t at = byte_of(b, ev->start_mark.index);
	size_t end = byte_of(b, ev->end_mark.index);
	struct doc_node *n;
	enum doc_kind kind;
	const char *tag;
	int r;

	text.p = ev->data.scalar.value;
	text.len = ev->data.scalar.length;
	if (end > at)
		src = scalar_src((struct ch_bytes){
			(const char *)b->d->in.p + at, end - at});
	if (src.len && ch_bytes_equal(text, src))
		text.p = src.p;
	else
		text.p = doc_arena_dup(a, text.p, text.len);
	if (!text.p)
		return -ENOMEM;
	r = tag_copy(b, ev->data.scalar.tag, &tag);
	if (r == 0)
		r = doc_resolve(a, tag, plain, text, &kind, &value);
	if (r == -EINVAL)
		return doc_fail_set(b->f, at, SIZE_MAX, "tag",
				    "this is no value for its tag; drop the "
				    "tag, or write a value of that type");
	if (r < 0)
		return r;
	n = doc_scalar_new(a, kind, value, src);
	if (!n)
		return -ENOMEM;
	n->style = style;
	n->syntax = DOC_YAML;
	n->in_flow = flow;
	n->tag = tag;
	n->merge = plain && style == DOC_PLAIN && text.len == 2 &&
		   memcmp(text.p, "<<", 2) == 0;
	r = count(b, 1, n->text, at);
	if (r == 0)
		r = anchor_add(b, ev->data.scalar.anchor, n);
	if (r == 0)
		r = attach(b, n, at, end);
	return r;
}

static int on_alias(struct build *b, const yaml_event_t *ev)
{
	const char *name = (const char *)ev->data.alias.anchor;
	size_t at = byte_of(b, ev->start_mark.index);
	size_t end = byte_of(b, ev->end_mark.index);
	struct doc_node *n = anchor_find(b, name);
	int r;

	if (!n)
		return doc_fail_set(b->f, at, end, "alias",
				    "*%.60s is an alias of nothing; write "
				    "&%.60s before what it stands for",
				    name, name);
	for (size_t i = 0; i < b->depth; i++)
		if (b->frame[i].node == n)
			return doc_fail_set(b->f, at, end, "alias",
					    "*%.60s stands within what it is "
					    "an alias of",
					    name);
	if (++b->aliases > DOC_ALIASES_MAX)
		return doc_fail_set(b->f, at, end, "aliases",
				    "more than %d aliases; write the values "
				    "out",
				    DOC_ALIASES_MAX);
	if (doc_is_many(n) && b->depth + 1 + n->height > DOC_NESTING_MAX)
		return doc_fail_set(b->f, at, end, "nesting",
				    "nested more than %d deep, aliases "
				    "expanded; that is the most",
				    DOC_NESTING_MAX);
	r = count(b, n->nodes, n->text, at);
	return r < 0 ? r : attach(b, n, at, end);
}

static int on_open(struct build *b, const yaml_event_t *ev, bool map)
{
	size_t at = byte_of(b, ev->start_mark.index);
	struct frame *fr = b->depth ? &b->frame[b->depth - 1] : NULL;
	const yaml_char_t *anchor = map ? ev->data.mapping_start.anchor
					: ev->data.sequence_start.anchor;
	const yaml_char_t *tag =
		map ? ev->data.mapping_start.tag : ev->data.sequence_start.tag;
	bool flow =
		map ? ev->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE
		    : ev->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE;
	struct doc_node *n;
	int r;

	if (fr && fr->node->kind == DOC_MAP && !fr->key)
		return doc_fail_set(b->f, at, at, "key",
				    "a key is a map or a list; it must be a "
				    "string (is a template's {{ }} in need "
				    "of quotes?)");
	if (b->depth == DOC_NESTING_MAX)
		return doc_fail_set(b->f, at, at, "nesting",
				    "nested more than %d deep; that is the "
				    "most",
				    DOC_NESTING_MAX);
	n = doc_many_new(&b->d->arena, map ? DOC_MAP : DOC_LIST, NULL, 0);
	if (!n)
		return -ENOMEM;
	n->style = flow ? DOC_FLOW : DOC_BLOCK;
	n->syntax = DOC_YAML;
	r = tag_copy(b, tag, &n->tag);
	if (r == 0)
		r = count(b, 1, 0, at);
	if (r == 0)
		r = anchor_add(b, anchor, n);
	if (r < 0)
		return r;
	b->frame[b->depth++] =
		(struct frame){.node = n, .start = b->n, .at = at};
	return 0;
}

/* Push what a << brings that @own does not say itself. */
static int merge_push(struct build *b, const struct doc_node *own,
		      const struct doc_node *from, size_t at)
{
	if (from->kind != DOC_MAP)
		return doc_fail_set(b->f, at, SIZE_MAX, "merge",
				    "<< merges maps: give it *an-alias, or a "
				    "list of such");
	for (size_t i = 0; i < from->u.many.n; i++) {
		const struct doc_entry *e = &from->u.many.v[i];
		int r = 0;

		if (!doc_find(own, e->key->u.scalar.value))
			r = push(b, *e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int merge_value(struct build *b, const struct doc_node *own,
		       const struct doc_node *from, size_t at)
{
	if (from->kind != DOC_LIST)
		return merge_push(b, own, from, at);
	for (size_t i = 0; i < from->u.many.n; i++) {
		int r = merge_push(b, own, from->u.many.v[i].value, at);

		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * Write out the << of the map that is being closed. What the map says itself
 * counts first, then the first source that says it; all that is merged in
 * stands where the first << stood.
 */
static int merge(struct build *b, struct frame *fr)
{
	struct doc_arena *a = &b->d->arena;
	size_t n = b->n - fr->start, first = n, said = 0;
	struct doc_node *all, *own, *more;
	int r;

	all = doc_many_new(a, DOC_MAP, since(b, fr->start), n);
	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct doc_entry *e = &all->u.many.v[i];

		if (!e->key->merge)
			b->v[fr->start + said++] = *e;
		else if (first == n)
			first = said;
	}
	own = doc_many_new(a, DOC_MAP, since(b, fr->start), said);
	if (!own)
		return -ENOMEM;
	r = doc_many_seal(a, own, NULL);
	if (r < 0)
		return r;
	b->n = fr->start;
	for (size_t i = 0; i < n; i++) {
		const struct doc_entry *e = &all->u.many.v[i];

		r = e->key->merge ? merge_value(b, own, e->value, fr->at) : 0;
		if (r < 0)
			return r;
	}
	more = doc_many_new(a, DOC_MAP, since(b, fr->start), b->n - fr->start);
	if (!more)
		return -ENOMEM;
	r = doc_map_unique(a, more);
	b->n = fr->start;
	for (size_t i = 0; r == 0 && i < first; i++)
		r = push(b, own->u.many.v[i]);
	for (size_t i = 0; r == 0 && i < more->u.many.n; i++)
		r = push(b, more->u.many.v[i]);
	for (size_t i = first; r == 0 && i < said; i++)
		r = push(b, own->u.many.v[i]);
	return r;
}

static int duplicate(struct build *b, const struct doc_node *many, size_t dup)
{
	struct ch_bytes key = many->u.many.v[dup].key->u.scalar.value;
	struct ch_bytes src = many->u.many.v[dup].key->u.scalar.src;
	const char *in = b->d->in.p;
	size_t at = 0, len = key.len < 60 ? key.len : 60;

	/* The key's text stands in the input; that is its place. */
	if (src.len)
		at = (size_t)((const char *)src.p - in);
	len = doc_utf8_whole((struct ch_bytes){key.p, len});
	return doc_fail_set(b->f, at, at + src.len, DOC_DUPLICATE,
			    "the key %.*s stands twice in one map; keep one "
			    "of them",
			    (int)len, (const char *)key.p);
}

static int on_close(struct build *b)
{
	struct frame *fr = &b->frame[b->depth - 1];
	struct doc_node *n = fr->node, *filled;
	size_t dup;
	int r;

	/* Duplicates first: merged keys may well repeat. */
	filled = doc_many_new(&b->d->arena, n->kind, since(b, fr->start),
			      b->n - fr->start);
	if (!filled)
		return -ENOMEM;
	r = doc_many_seal(&b->d->arena, filled, &dup);
	if (r < 0)
		return r;
	if (dup != SIZE_MAX)
		return duplicate(b, filled, dup);
	if (fr->merges) {
		r = merge(b, fr);
		if (r < 0)
			return r;
		filled = doc_many_new(&b->d->arena, n->kind,
				      since(b, fr->start), b->n - fr->start);
		if (!filled)
			return -ENOMEM;
		r = doc_many_seal(&b->d->arena, filled, NULL);
		if (r < 0)
			return r;
	}
	n->u.many = filled->u.many;
	n->nodes = filled->nodes;
	n->text = filled->text;
	n->height = filled->height;
	b->n = fr->start;
	b->depth--;
	return attach(b, n, fr->at, SIZE_MAX);
}

static int on_event(struct build *b, const yaml_event_t *ev)
{
	switch (ev->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(b, ev);
	case YAML_ALIAS_EVENT:
		return on_alias(b, ev);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(b, ev, false);
	case YAML_MAPPING_START_EVENT:
		return on_open(b, ev, true);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_close(b);
	case YAML_DOCUMENT_START_EVENT:
		b->anchor_n = 0;
		return 0;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		break;
	}
	return 0;
}

/* What libyaml says, and what would be right. */
static const struct {
	const char *problem, *advice;
} advice[] = {
	{"mapping values are not allowed",
	 "a second `: ` on one line; put the value in quotes, or check the "
	 "indentation"},
	{"found character that cannot start", "put the value in quotes"},
	{"could not find expected ':'", "a key needs `: ` behind it"},
	{"did not find expected key", "check the indentation above and here"},
	{"did not find expected '-'", "check the indentation above and here"},
	{"found unexpected end of stream", "something in quotes never ends"},
	{"did not find expected ',' or", "a comma or a bracket is missing"},
	{"found a tab character", "indent with spaces"},
	{"found a tab", "indent with spaces"},
	{"block sequence entries are not allowed",
	 "put the list on its own lines"},
	{"did not find expected <document start>",
	 "one document ends above; begin the next with ---"},
	{"found undefined tag handle", "declare it with %TAG"},
	{"found duplicate %YAML", "keep one"},
};

static bool starts(const char *s, const char *with)
{
	return strlen(s) >= strlen(with) && memcmp(s, with, strlen(with)) == 0;
}

/* Something that has an end of its own, which did not come: where it begins is
 * where to look. */
static bool never_ends(const char *context)
{
	return context && (starts(context, "while scanning a quoted scalar") ||
			   starts(context, "while parsing a flow"));
}

static int refuse(struct build *b)
{
	const char *problem = b->yaml.problem ? b->yaml.problem : "not YAML";
	const char *p = b->d->in.p;
	size_t at = byte_of(b, b->yaml.problem_mark.index);
	const char *more = NULL;
	size_t shown;
	int r;

	if (b->yaml.error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (b->yaml.error == YAML_READER_ERROR)
		at = b->yaml.problem_offset;
	shown = at;
	for (size_t i = 0; i < sizeof(advice) / sizeof(advice[0]); i++)
		if (!more && starts(problem, advice[i].problem))
			more = advice[i].advice;
	if (at < b->d->in.len && p[at] == '\t')
		more = "indent with spaces, not with tabs";
	if (at >= b->d->in.len && never_ends(b->yaml.context))
		shown = byte_of(b, b->yaml.context_mark.index);
	r = doc_fail_set(b->f, shown, at, problem, "%s%s%s", problem,
			 more ? "; " : "", more ? more : "");
	b->f->reach = at;
	return r;
}

static int run(struct build *b)
{
	bool end = false;

	while (!end) {
		yaml_event_t ev;
		int r;

		if (!yaml_parser_parse(&b->yaml, &ev))
			return refuse(b);
		r = on_event(b, &ev);
		end = ev.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&ev);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool is_ascii(struct ch_bytes in)
{
	const unsigned char *p = in.p;

	for (size_t i = 0; i < in.len; i++)
		if (p[i] >= 0x80)
			return false;
	return true;
}

/* The maps that were still open when an error came may hold a duplicate. */
static int open_duplicate(struct build *b)
{
	size_t end = b->n;

	for (size_t i = b->depth; i > 0; i--) {
		struct frame *fr = &b->frame[i - 1];
		struct doc_node *n;
		size_t dup;
		int r;

		n = doc_many_new(&b->d->arena, fr->node->kind,
				 since(b, fr->start), end - fr->start);
		if (!n)
			return -ENOMEM;
		r = doc_many_seal(&b->d->arena, n, &dup);
		if (r < 0)
			return r;
		if (dup != SIZE_MAX)
			return duplicate(b, n, dup);
		end = fr->start;
	}
	return -EINVAL;
}

int doc_read_yaml(struct doc *d, bool prefix, struct doc_fail *f)
{
	struct build *b = mem_alloc(sizeof(*b));
	struct doc_node **v = NULL;
	int r = -ENOMEM;

	if (!b)
		return -ENOMEM;
	b->d = d;
	b->f = f;
	b->ascii = is_ascii(d->in);
	if (yaml_parser_initialize(&b->yaml)) {
		yaml_parser_set_encoding(&b->yaml, YAML_UTF8_ENCODING);
		yaml_parser_set_input_string(&b->yaml, d->in.p, d->in.len);
		r = run(b);
		if (r == -EINVAL && prefix)
			r = open_duplicate(b);
		yaml_parser_delete(&b->yaml);
	}
	/* The list of documents grew on the heap; the doc keeps a copy. */
	if (r == 0 && d->n) {
		v = doc_arena_dup(&d->arena, d->v, d->n * sizeof(*d->v));
		if (!v)
			r = -ENOMEM;
	}
	mem_free(d->v);
	d->v = v;
	mem_free(b->anchor);
	mem_free(b->v);
	mem_free(b);
	return r;
}

int doc_parse_yaml(struct doc *d, struct doc_fail *f)
{
	int r = doc_read_yaml(d, false, f);

	if (r < 0)
		return r;
	if (!d->n)
		return doc_fail_set(f, 0, SIZE_MAX, "empty",
				    "no map and no list in it; write `key: "
				    "value` or `- item`");
	d->syntax = DOC_YAML;
	return 0;
}
