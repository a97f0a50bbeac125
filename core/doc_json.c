/*
 * doc_json.c -- JSON in.
 *
 * jansson says whether a text is JSON, where it is not, and what its strings
 * mean; we walk the same text beside its tree, so that each scalar keeps its
 * own. Numbers are jansson's weak side (it wants them to be doubles or 64-bit
 * integers), so it is shown a copy in which every number is a 1.
 */
#include <errno.h>
#include <jansson.h>
#include <stdatomic.h>
#include <string.h>

#include "core/doc_tree.h"
#include "core/mem.h"

#define HASH_SEED 0x63686f70 /* Any; but the same everywhere, always. */
#define NEAR_MAX 20

/*
 * jansson does not always notice, and never says, that memory ran out. So its
 * allocator remembers it, for the thread that it happened to.
 */
static _Thread_local bool no_memory;

static void *json_malloc_hook(size_t size)
{
	void *p = mem_alloc(size);

	if (!p)
		no_memory = true;
	return p;
}

/* jansson keeps its hash seed and its allocator in globals: set them once,
 * before its first use here, whichever thread comes first. */
static void jansson_setup(void)
{
	enum { UNSET, BUSY, SET };
	static atomic_int state = UNSET;
	int was = UNSET;

	if (atomic_load_explicit(&state, memory_order_acquire) == SET)
		return;
	if (atomic_compare_exchange_strong(&state, &was, BUSY)) {
		json_object_seed(HASH_SEED);
		json_set_alloc_funcs(json_malloc_hook, mem_free);
		atomic_store_explicit(&state, SET, memory_order_release);
	}
	while (atomic_load_explicit(&state, memory_order_acquire) != SET)
		;
}

struct token {
	size_t start, end;
	char type; /* [ ] { } , : or " for a string, a for a word, 0: none. */
	bool cut;  /* A string without its closing quote. */
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct token token_at(struct ch_bytes in, size_t i)
{
	const char *p = in.p;
	struct token t = {0};

	while (i < in.len && is_space(p[i]))
		i++;
	t.start = i;
	t.end = i;
	if (i == in.len)
		return t;
	if (memchr("[]{},:", p[i], 6)) {
		t.type = p[i];
		t.end++;
		return t;
	}
	if (p[i] == '"') {
		t.type = '"';
		for (i++; i < in.len && p[i] != '"'; i++)
			if (p[i] == '\\' && i + 1 < in.len)
				i++;
		t.cut = i >= in.len;
		t.end = t.cut ? in.len : i + 1;
		return t;
	}
	t.type = 'a';
	while (i < in.len && !is_space(p[i]) && !memchr("[]{},:\"", p[i], 7))
		i++;
	t.end = i;
	return t;
}

static size_t skip_digits(const char *p, size_t i, size_t len)
{
	while (i < len && p[i] >= '0' && p[i] <= '9')
		i++;
	return i;
}

static bool is_number(const char *p, size_t len)
{
	size_t i = len && p[0] == '-', start = i;

	i = skip_digits(p, i, len);
	if (i == start || (p[start] == '0' && i > start + 1))
		return false;
	if (i < len && p[i] == '.') {
		start = ++i;
		i = skip_digits(p, i, len);
		if (i == start)
			return false;
	}
	if (i < len && (p[i] == 'e' || p[i] == 'E')) {
		i++;
		if (i < len && (p[i] == '+' || p[i] == '-'))
			i++;
		start = i;
		i = skip_digits(p, i, len);
		if (i == start)
			return false;
	}
	return i == len;
}

/* What the tokens alone tell: limits, and how the text is laid out. Turns
 * each number in @copy, which begins as @in, into a 1. */
static int scan(struct ch_bytes in, char *copy, struct doc *d,
		struct doc_fail *f)
{
	const char *p = in.p;
	size_t depth = 0, values = 1, end = 0;
	struct token t;

	for (t = token_at(in, 0); t.type; t = token_at(in, t.end)) {
		bool spaced = t.end < in.len && is_space(p[t.end]);

		end = t.end;
		switch (t.type) {
		case '[':
		case '{':
			values++;
			if (++depth > DOC_NESTING_MAX)
				return doc_fail_set(
					f, t.start, t.start, "nesting",
					"nested more than %d deep; that is "
					"the most",
					DOC_NESTING_MAX);
			break;
		case ']':
		case '}':
			depth -= depth > 0;
			break;
		case ',':
			values++;
			d->comma_space |= spaced;
			break;
		case ':':
			values++;
			d->colon_space |= spaced;
			break;
		case 'a':
			if (is_number(p + t.start, t.end - t.start)) {
				memset(copy + t.start, ' ', t.end - t.start);
				copy[t.start] = '1';
			}
			break;
		}
		if (values > DOC_NODES_MAX)
			return doc_fail_set(f, t.start, t.start, "nodes",
					    "more than %u values in one text; "
					    "that is the most",
					    DOC_NODES_MAX);
	}
	/* A newline at the very end is no layout. */
	d->indented = end && memchr(in.p, '\n', end) != NULL;
	return 0;
}

/* Wrong in YAML too, however it goes on: @next is where JSON stops. */
static bool is_certain(const json_error_t *e, char next)
{
	/* Behind the text: a comment or a document may follow, even after
	 * another byte order mark. */
	if (json_error_code(e) == json_error_end_of_input_expected)
		return !memchr("#-.%\xef", next, 5);
	/* Behind a key: YAML takes {"a", "b"}. */
	if (e->text[0] == '\'' && e->text[1] == ':')
		return !memchr(",}#", next, 3);
	return false;
}

/* The sentence for what jansson complains of. */
static int refuse(struct ch_bytes in, const json_error_t *e, struct doc_fail *f)
{
	size_t pos = e->position > 0 ? (size_t)e->position : 0;
	const char *p = in.p;
	char text[JSON_ERROR_TEXT_LENGTH];
	char near[NEAR_MAX + 1];
	struct token t = {0};
	size_t len = strlen(e->text), at, no = 0;

	if (json_error_code(e) == json_error_premature_end_of_input)
		return doc_fail_set(f, in.len, SIZE_MAX, "json",
				    "the JSON text ends too early; a bracket, "
				    "a brace or a quote is missing");
	for (t = token_at(in, 0); t.type && t.end < pos; no++)
		t = token_at(in, t.end);
	/* Within a string, at the very byte. */
	at = t.type == '"' && pos > t.start && pos < t.end ? pos : t.start;
	if (json_error_code(e) == json_error_duplicate_key)
		return doc_fail_set(
			f, t.start, t.end, DOC_DUPLICATE,
			"the key %.*s stands twice in one map; "
			"keep one of them",
			(int)(t.end - t.start < 60 ? t.end - t.start : 60),
			p + t.start);

	/* jansson's own "near" shows our copy; show the writer's text. */
	memcpy(text, e->text, len + 1);
	for (size_t i = 0; i + 5 < len; i++)
		if (memcmp(text + i, " near", 5) == 0)
			text[i] = '\0';
	len = t.end - t.start < NEAR_MAX ? t.end - t.start : NEAR_MAX;
	len = doc_utf8_whole((struct ch_bytes){p + t.start, len});
	for (size_t i = 0; i < len; i++)
		near[i] = (unsigned char)p[t.start + i] < 0x20 ? ' '
							       : p[t.start + i];
	near[len] = '\0';
	return doc_fail_set(f, at, t.end,
			    is_certain(e, p[t.start]) ? DOC_CERTAIN
			    : no < 2                  ? DOC_NOT_BEGUN
						      : "json",
			    "not JSON: %s, near %s", text, near);
}

/* Loads @in, whose numbers are read from @copy. */
static int load(struct ch_bytes in, const char *copy, json_t **ret_root,
		struct doc_fail *f)
{
	json_error_t e;
	json_t *root;

	memset(&e, 0, sizeof(e));
	no_memory = false;
	root = json_loadb(copy, in.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
			  &e);
	if (no_memory) {
		json_decref(root);
		return -ENOMEM;
	}
	if (!root)
		return refuse(in, &e, f);
	*ret_root = root;
	return 0;
}

struct build {
	struct doc *d;
	size_t pos;
	struct doc_entry *v; /* Entries of the collections that are open. */
	size_t n, alloc;
};

static struct token take(struct build *b)
{
	struct token t = token_at(b->d->in, b->pos);

	b->pos = t.end;
	return t;
}

/* The entries from @start on; NULL where there never was one. */
static struct doc_entry *since(const struct build *b, size_t start)
{
	return b->v ? b->v + start : NULL;
}

static int push(struct build *b, struct doc_entry e)
{
	if (b->n == b->alloc) {
		size_t alloc = b->alloc ? b->alloc * 2 : 64;
		struct doc_entry *v = mem_realloc(b->v, alloc * sizeof(*v));

		if (!v)
			return -ENOMEM;
		b->v = v;
		b->alloc = alloc;
	}
	b->v[b->n++] = e;
	return 0;
}

static struct doc_node *string_new(struct build *b, const char *value,
				   size_t len, struct token t)
{
	struct ch_bytes src = {(const char *)b->d->in.p + t.start,
			       t.end - t.start};
	const char *own;
	struct doc_node *n;

	/* Without escapes the value stands in the source. */
	if (src.len == len + 2)
		own = (const char *)src.p + 1;
	else
		own = doc_arena_dup(&b->d->arena, value, len);
	if (!own)
		return NULL;
	n = doc_scalar_new(&b->d->arena, DOC_STRING,
			   (struct ch_bytes){own, len}, src);
	if (n) {
		n->style = DOC_DOUBLE;
		n->syntax = DOC_JSON;
	}
	return n;
}

static int build_value(struct build *b, json_t *j, struct doc_node **ret_node);

static int build_many(struct build *b, json_t *j, struct doc_node **ret_node)
{
	bool map = json_is_object(j);
	size_t n = map ? json_object_size(j) : json_array_size(j);
	void *iter = map ? json_object_iter(j) : NULL;
	size_t start = b->n;
	struct doc_node *many;
	int r;

	take(b);
	for (size_t i = 0; i < n; i++) {
		struct doc_entry e = {0};
		json_t *child;

		if (map) {
			e.key = string_new(b, json_object_iter_key(iter),
					   json_object_iter_key_len(iter),
					   take(b));
			if (!e.key)
				return -ENOMEM;
			take(b); /* : */
			child = json_object_iter_value(iter);
			iter = json_object_iter_next(j, iter);
		} else {
			child = json_array_get(j, i);
		}
		r = build_value(b, child, &e.value);
		if (r == 0)
			r = push(b, e);
		if (r < 0)
			return r;
		if (i + 1 < n)
			take(b); /* , */
	}
	take(b);
	many = doc_many_new(&b->d->arena, map ? DOC_MAP : DOC_LIST,
			    since(b, start), b->n - start);
	if (!many)
		return -ENOMEM;
	b->n = start;
	many->syntax = DOC_JSON;
	r = doc_many_seal(&b->d->arena, many, NULL);
	if (r < 0)
		return r;
	*ret_node = many;
	return 0;
}

static int build_value(struct build *b, json_t *j, struct doc_node **ret_node)
{
	struct doc_node *n;
	struct token t;
	struct ch_bytes src;
	enum doc_kind kind;

	if (json_is_object(j) || json_is_array(j))
		return build_many(b, j, ret_node);
	t = take(b);
	if (json_is_string(j)) {
		n = string_new(b, json_string_value(j), json_string_length(j),
			       t);
	} else {
		src = (struct ch_bytes){(const char *)b->d->in.p + t.start,
					t.end - t.start};
		kind = json_is_null(j)      ? DOC_NULL
		       : json_is_boolean(j) ? DOC_BOOL
					    : DOC_NUMBER;
		n = doc_scalar_new(&b->d->arena, kind, src, src);
		if (n)
			n->syntax = DOC_JSON;
	}
	if (!n)
		return -ENOMEM;
	*ret_node = n;
	return 0;
}

static int build_doc(struct doc *d, json_t *root)
{
	struct build b = {.d = d};
	struct doc_node *n = NULL;
	int r;

	d->v = doc_arena_alloc(&d->arena, sizeof(struct doc_node *));
	if (!d->v)
		return -ENOMEM;
	r = build_value(&b, root, &n);
	mem_free(b.v);
	if (r < 0)
		return r;
	d->v[0] = n;
	d->n = 1;
	d->syntax = DOC_JSON;
	return 0;
}

int doc_parse_json(struct doc *d, struct doc_fail *f)
{
	json_t *root = NULL;
	char *copy;
	int r;

	jansson_setup();
	copy = mem_dup(d->in.p, d->in.len);
	if (!copy)
		return -ENOMEM;
	r = scan(d->in, copy, d, f);
	if (r == 0)
		r = load(d->in, copy, &root, f);
	mem_free(copy);
	if (r < 0)
		return r;
	r = build_doc(d, root);
	json_decref(root);
	return r;
}

static bool begins(const char *word, struct ch_bytes part)
{
	return part.len < strlen(word) && memcmp(word, part.p, part.len) == 0;
}

/*
 * The last token may be half of something. Put something whole of its kind in
 * its place: what is wrong then is wrong before it, or is wrong with its kind.
 * @ret_open: where it begins.
 */
static int complete(struct ch_bytes in, struct strbuf *sb, size_t *ret_open)
{
	const char *p = in.p;
	struct token t = token_at(in, 0), last = {0};
	struct ch_bytes part;

	for (; t.type; t = token_at(in, t.end))
		last = t;
	strbuf_add(sb, in.p, in.len);
	*ret_open = in.len;
	if (last.end != in.len || (last.type != 'a' && !last.cut))
		return strbuf_error(sb);
	*ret_open = last.start;
	part = (struct ch_bytes){p + last.start, in.len - last.start};
	if (last.cut)
		strbuf_set_len(sb, last.start);
	if (last.cut)
		strbuf_add_str(sb, "\"\"");
	else if (begins("true", part) || begins("null", part) ||
		 begins("false", part) ||
		 (part.len &&
		  (p[last.start] == '-' ||
		   (p[last.start] >= '0' && p[last.start] <= '9')))) {
		strbuf_set_len(sb, last.start);
		strbuf_add_char(sb, '1');
	}
	return strbuf_error(sb);
}

int doc_prefix_json(struct ch_bytes in, struct doc_fail *f)
{
	struct strbuf whole = STRBUF_INIT;
	struct doc d = {0};
	json_t *root = NULL;
	char *copy = NULL;
	size_t open;
	int r;

	jansson_setup();
	r = complete(in, &whole, &open);
	if (r == 0) {
		d.in = strbuf_bytes(&whole);
		copy = mem_dup(d.in.p, d.in.len);
		r = copy ? scan(d.in, copy, &d, f) : -ENOMEM;
	}
	if (r == 0)
		r = load(d.in, copy, &root, f);
	json_decref(root);
	mem_free(copy);
	strbuf_release(&whole);
	if (r != -EINVAL || f->settled == SIZE_MAX)
		return r == -ENOMEM ? r : 0;
	/* A key that is not whole yet may come to differ; two that are equal
	 * are so in YAML as well. */
	if (strcmp(f->what, DOC_DUPLICATE) == 0) {
		if (f->at >= open)
			return 0;
		f->what = DOC_CERTAIN;
	}
	return r;
}
