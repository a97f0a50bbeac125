/* render.c -- see render.h. attr.c has the attributes. */
#include "fs/render.h"

#include <errno.h>
#include <string.h>

#include "fs/events.h"

bool render_is_writable(struct mnt *m, const struct node_id *id)
{
	if (id->kind == NODE_MEMBER_LABELS)
		return m->site && strcmp(id->site, m->site) == 0;
	return kind_of(id->kind)->write;
}

/* A resource's spec and all that is made from it are empty, not absent, until
 * there is one: who looks for the file to write finds it. */
static bool is_empty_before(enum node_kind k)
{
	return k == NODE_SPEC || k == NODE_SITE_SPEC;
}

int render_content(struct mnt *m, const struct view *v,
		   const struct node_id *id, struct strbuf *out,
		   struct err *reterr)
{
	const struct kind *k = kind_of(id->kind);
	struct view_resource res;
	int r = 0;

	switch (k->source) {
	case SOURCE_NONE:
	case SOURCE_EVENTS:
	case SOURCE_SCRATCH:
		return 0;
	case SOURCE_VIEW:
		r = view_content(v, k->view, ch_str(id->name), ch_str(id->site),
				 out, reterr);
		if (r == -ENOENT && is_empty_before(id->kind))
			r = view_resource(v, ch_str(id->name), &res);
		break;
	case SOURCE_ERROR:
		if (id->kind == NODE_MEMBERS_ERROR) {
			agent_error_text(m->agent, ch_str(MEMBERS_ERROR), out);
			break;
		}
		r = view_resource(v, ch_str(id->name), &res);
		if (r == 0)
			agent_error_text(m->agent, ch_str(id->name), out);
		break;
	case SOURCE_DRIVER:
		r = agent_driver_status(m->agent, id->name, out);
		break;
	case SOURCE_VERSION:
		strbuf_add_str(out, CHEOPS_VERSION "\n");
		break;
	case SOURCE_README:
		strbuf_add_str(out, render_readme);
		break;
	}
	return r < 0 ? r : strbuf_error(out);
}

/* What the content of these follows from, without making it. */
static int tag_of_versions(const struct view *v, const struct node_id *id,
			   uint64_t *ret_tag)
{
	struct strbuf seen = STRBUF_INIT;
	struct ch_bytes name = ch_str(id->name), site = ch_str(id->site);
	int r = 0;

	if (id->kind != NODE_SITE_PATCH)
		r = view_context(v, name, CH_FILE_SPEC, ch_str(""), &seen);
	strbuf_add_char(&seen, '|');
	if (r == 0 && id->site[0])
		r = view_context(v, name, CH_FILE_PATCH, site, &seen);
	if (r == 0)
		r = strbuf_error(&seen);
	if (r == 0)
		*ret_tag = inode_hash(0, seen.buf, seen.len);
	strbuf_release(&seen);
	return r;
}

static bool is_made_of_versions(enum node_kind k)
{
	return k == NODE_SPEC || k == NODE_SPEC_JSON || k == NODE_SITE_SPEC ||
	       k == NODE_SITE_PATCH;
}

static int length_of(struct mnt *m, const struct view *v,
		     const struct node_id *id, uint64_t *ret_len)
{
	struct view_resource res;
	int r;

	(void)m;
	r = view_length(v, kind_of(id->kind)->view, ch_str(id->name),
			ch_str(id->site), ret_len);
	if ((r == -ENOENT && is_empty_before(id->kind)) || r == -EINVAL) {
		*ret_len = 0;
		r = view_resource(v, ch_str(id->name), &res);
	}
	return r;
}

int render_tag(struct mnt *m, const struct view *v, struct node *n,
	       const struct node_id *id, uint64_t *ret_tag, uint64_t *ret_len)
{
	struct strbuf sb = STRBUF_INIT;
	bool same;
	int r;

	if (is_made_of_versions(id->kind)) {
		r = tag_of_versions(v, id, ret_tag);
		if (r < 0)
			return r;
		mnt_lock(m);
		same = n->tagged && n->tag == *ret_tag && n->id == id;
		*ret_len = n->len;
		mnt_unlock(m);
		return same ? 0 : length_of(m, v, id, ret_len);
	}
	if (id->kind == NODE_CONFLICT) { /* A version never changes. */
		*ret_tag = 1;
		mnt_lock(m);
		same = n->tagged && n->id == id;
		*ret_len = n->len;
		mnt_unlock(m);
		return same ? 0 : length_of(m, v, id, ret_len);
	}
	r = render_content(m, v, id, &sb, NULL);
	if (r == 0) {
		*ret_tag = inode_hash(0, sb.buf, sb.len);
		*ret_len = sb.len;
	}
	strbuf_release(&sb);
	return r;
}

/* Words that merely count the time, or the attempts. */
static bool only_counts(const char *word, size_t len)
{
	static const char *const words[] = {"last-heard",    "age",
					    "rtt-ms",        "backlog",
					    "clock-skew-ms", "next-try"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strlen(words[i]) == len && memcmp(words[i], word, len) == 0)
			return true;
	return false;
}

/* The next word of a line; 0: none. */
static size_t next_word(const char **p, const char *end, const char **ret_word)
{
	while (*p < end && (**p == ' ' || **p == '\t'))
		(*p)++;
	*ret_word = *p;
	while (*p < end && **p != ' ' && **p != '\t')
		(*p)++;
	return (size_t)(*p - *ret_word);
}

/* Columns of a table's header that only count, as bits; the last column may
 * hold spaces and is taken whole. */
static uint32_t counting_columns(const char *p, const char *end)
{
	uint32_t columns = 0;
	const char *word;
	size_t len;

	for (uint32_t i = 0; i < 32 && (len = next_word(&p, end, &word)); i++)
		if (only_counts(word, len))
			columns |= 1u << i;
	return columns;
}

static uint64_t hash_row(uint64_t h, const char *p, const char *end,
			 uint32_t columns)
{
	const char *word;
	size_t len;

	for (uint32_t i = 0; (len = next_word(&p, end, &word)); i++)
		if (i >= 32 || !(columns >> i & 1))
			h = inode_hash(h, word, len);
	return h;
}

/*
 * Either `key: value` lines, or a table with a header, or one word. Lines of
 * keys that only count are left out, and so are such columns.
 */
uint64_t render_meaning_of(const char *p, size_t len)
{
	const char *end = p + len, *eol, *colon;
	uint32_t columns = 0;
	uint64_t h = 1;

	for (bool first = true; p < end; p = eol + 1, first = false) {
		eol = memchr(p, '\n', (size_t)(end - p));
		if (!eol)
			eol = end;
		colon = memchr(p, ':', (size_t)(eol - p));
		if (first && !colon)
			columns = counting_columns(p, eol);
		if (!columns && colon && only_counts(p, (size_t)(colon - p)))
			continue;
		h = hash_row(h, p, eol, columns);
		h = inode_hash(h, "\n", 1);
	}
	return h;
}

int render_meaning(struct mnt *m, const struct view *v,
		   const struct node_id *id, uint64_t *ret_meaning)
{
	struct strbuf sb = STRBUF_INIT;
	int r;

	if (id->kind == NODE_EVENTS) {
		*ret_meaning = events_size(agent_events(m->agent), NULL);
		return 0;
	}
	r = render_content(m, v, id, &sb, NULL);
	if (r == -ENOENT) {
		*ret_meaning = 0; /* It is gone: that matters. */
		r = 0;
	} else if (r == 0) {
		*ret_meaning = render_meaning_of(sb.buf, sb.len);
	}
	strbuf_release(&sb);
	return r;
}
