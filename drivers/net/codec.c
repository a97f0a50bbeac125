/*
 * codec.c -- reads what codec_encode.c writes, and what anybody else sends.
 *
 * Two passes: the first only walks the lengths, so that nothing is parsed or
 * allocated for a message that lies about them; the second reads the frames.
 * All memory of a message hangs on one chain, so that a failure anywhere has
 * one thing to undo.
 */
#include "drivers/net/codec.h"

#include <errno.h>
#include <jansson.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "core/name.h"
#include "core/wire.h"

/* A link of the chain; what was asked for stands behind it. */
struct piece {
	alignas(max_align_t) struct piece *next;
};

struct decoder {
	struct piece *mem;
	struct err *reterr;
	int r; /* The first thing that went wrong. */

	/* The frame at hand. */
	size_t no; /* From 1, for people. */
	const char *name;
	json_t *o;
	struct ch_bytes body;
};

__attribute__((format(printf, 2, 3))) static void refuse(struct decoder *d,
							 const char *fmt, ...)
{
	char what[200];
	va_list ap;

	if (d->r)
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	d->r = err_set(d->reterr, -EPROTO, "frame %zu (%.32s): %s", d->no,
		       d->name, what);
}

/* Zeroed, never NULL unless d->r is set; @n things of @size bytes. */
static void *take(struct decoder *d, size_t n, size_t size)
{
	struct piece *p = mem_alloc(sizeof(*p) + n * size);

	if (!p) {
		if (!d->r)
			d->r = err_set(d->reterr, -ENOMEM, "out of memory");
		return NULL;
	}
	p->next = d->mem;
	d->mem = p;
	return p + 1;
}

static const char *take_text(struct decoder *d, const char *s, size_t len)
{
	char *p = take(d, len + 1, 1);

	if (p && len)
		memcpy(p, s, len);
	return p;
}

/* Members of the header. */

static uint64_t number_of(struct decoder *d, const json_t *v, const char *key,
			  uint64_t max)
{
	json_int_t n = json_integer_value(v);

	if (!json_is_integer(v) || n < 0 || (uint64_t)n > max) {
		refuse(d, "'%s' must be an integer from 0 to %llu", key,
		       (unsigned long long)max);
		return 0;
	}
	return (uint64_t)n;
}

static uint64_t number(struct decoder *d, const char *key, uint64_t max)
{
	return number_of(d, json_object_get(d->o, key), key, max);
}

static uint32_t number32(struct decoder *d, const char *key)
{
	return (uint32_t)number(d, key, UINT32_MAX);
}

static uint64_t number_or_0(struct decoder *d, const char *key, uint64_t max)
{
	return json_object_get(d->o, key) ? number(d, key, max) : 0;
}

/* Copied; "" when it is left out. */
static const char *text(struct decoder *d, const char *key, size_t len_max)
{
	const json_t *v = json_object_get(d->o, key);
	size_t len = json_string_length(v);

	if (!v)
		return "";
	if (!json_is_string(v) || len > len_max) {
		refuse(d, "'%s' must be a string of at most %zu bytes", key,
		       len_max);
		return "";
	}
	return take_text(d, json_string_value(v), len);
}

static const char *line(struct decoder *d, const char *key, size_t len_max)
{
	const char *s = text(d, key, len_max);

	if (!d->r && !name_is_text(ch_str(s)))
		refuse(d, "'%s' has control characters", key);
	return s;
}

static void id(struct decoder *d, const char *key, struct ch_id *to)
{
	const json_t *v = json_object_get(d->o, key);
	struct ch_bytes s = {json_string_value(v), json_string_length(v)};

	if (id_from_text(s, to) < 0)
		refuse(d, "'%s' must be a UUID", key);
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static void hash_of(struct decoder *d, const json_t *v, const char *key,
		    struct ch_hash *to)
{
	const char *s = json_string_value(v);
	bool good = json_string_length(v) == 2 * sizeof(to->b);

	for (size_t i = 0; good && i < sizeof(to->b); i++) {
		int hi = digit_of(s[2 * i]), lo = digit_of(s[2 * i + 1]);

		good = hi >= 0 && lo >= 0;
		if (good)
			to->b[i] = (uint8_t)(hi << 4 | lo);
	}
	if (!good)
		refuse(d, "'%s' must be 64 lower-case hexadecimal digits", key);
}

/* A list of pairs; its length, 0 when refused. */
static size_t pairs(struct decoder *d, const char *key, size_t n_max,
		    const json_t **ret_list)
{
	const json_t *list = json_object_get(d->o, key);
	size_t n = json_array_size(list);

	if (!json_is_array(list) || n > n_max) {
		refuse(d, "'%s' must be a list of at most %zu pairs", key,
		       n_max);
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		if (json_array_size(json_array_get(list, i)) != 2) {
			refuse(d, "each of '%s' must be a pair", key);
			return 0;
		}
	*ret_list = list;
	return n;
}

static const json_t *at(const json_t *list, size_t i, size_t k)
{
	return json_array_get(json_array_get(list, i), k);
}

/* Frames. */

static void no_body(struct decoder *d)
{
	if (d->body.len)
		refuse(d, "it has no body, but %zu bytes of one", d->body.len);
}

static void hello_decode(struct decoder *d, struct ch_frame *f)
{
	const json_t *proto = json_object_get(d->o, "proto");
	struct err why = ERR_INIT;

	no_body(d);
	if (json_array_size(proto) != 2)
		refuse(d, "'proto' must be two numbers");
	f->u.hello.proto_min = (uint32_t)number_of(d, json_array_get(proto, 0),
						   "proto", UINT32_MAX);
	f->u.hello.proto_max = (uint32_t)number_of(d, json_array_get(proto, 1),
						   "proto", UINT32_MAX);
	if (f->u.hello.proto_min > f->u.hello.proto_max)
		refuse(d, "'proto' must be the lowest, then the highest");
	id(d, "federation", &f->u.hello.federation);
	id(d, "site", &f->u.hello.site);
	id(d, "store", &f->u.hello.store);
	f->u.hello.epoch = number32(d, "epoch");
	f->u.hello.nonce = number32(d, "nonce");
	f->u.hello.incarnation = number(d, "incarnation", INT64_MAX);
	f->u.hello.name = text(d, "name", NAME_SITE_MAX);
	if (!d->r && name_check_site(ch_str(f->u.hello.name), &why) < 0)
		refuse(d, "'name': %.150s", why.text);
	f->u.hello.address = line(d, "address", CODEC_ADDRESS_MAX);
	f->u.hello.version = line(d, "version", CODEC_VERSION_MAX);
	f->u.hello.labels = text(d, "labels", CODEC_LABELS_MAX);
	f->u.hello.wall_ms = number(d, "wall_ms", INT64_MAX);
	f->u.hello.heartbeat_ms = number32(d, "heartbeat_ms");
	f->u.hello.got_epoch =
		(uint32_t)number_or_0(d, "got_epoch", UINT32_MAX);
	f->u.hello.got_nonce =
		(uint32_t)number_or_0(d, "got_nonce", UINT32_MAX);
	f->u.hello.got_no = number_or_0(d, "got_no", INT64_MAX);
	f->u.hello.sent_no = number_or_0(d, "sent_no", INT64_MAX);
	f->u.hello.poll_ms = (uint32_t)number_or_0(d, "poll_ms", UINT32_MAX);
	f->u.hello.knows_lives = json_object_get(d->o, "your_epoch") != NULL;
	f->u.hello.your_epoch =
		(uint32_t)number_or_0(d, "your_epoch", UINT32_MAX);
	f->u.hello.your_nonce =
		(uint32_t)number_or_0(d, "your_nonce", UINT32_MAX);
	f->u.hello.known.epoch =
		(uint32_t)number_or_0(d, "known_epoch", UINT32_MAX);
	f->u.hello.known.nonce =
		(uint32_t)number_or_0(d, "known_nonce", UINT32_MAX);
	f->u.hello.known.seq = number_or_0(d, "known_seq", INT64_MAX);
}

static void ask_decode(struct decoder *d, struct ch_frame *f)
{
	no_body(d);
	f->u.ask.epoch = number32(d, "epoch");
	f->u.ask.nonce = number32(d, "nonce");
	f->u.ask.round = (uint8_t)number(d, "round", 2);
}

static void batch_decode(struct decoder *d, struct ch_frame *f)
{
	struct wire w = wire_of(d->body);
	struct ch_item *items = NULL;
	const json_t *list = NULL;
	size_t n, kept = 0;

	f->u.batch.epoch = number32(d, "epoch");
	f->u.batch.nonce = number32(d, "nonce");
	f->u.batch.no = number(d, "no", INT64_MAX);
	n = pairs(d, "items", MSG_ITEMS_MAX, &list);
	if (n)
		items = take(d, n, sizeof(*items));
	for (size_t i = 0; i < n && !d->r; i++) {
		uint64_t kind = number_of(d, at(list, i, 0), "items", 255);
		uint64_t len =
			number_of(d, at(list, i, 1), "items", UINT32_MAX);
		struct ch_bytes bytes = wire_raw(&w, (size_t)len);

		if (kind == ITEM_RECORD || kind == ITEM_REPORT ||
		    kind == ITEM_MARK)
			items[kept++] = (struct ch_item){(uint8_t)kind, bytes};
	}
	if (!wire_done(&w))
		refuse(d, "the lengths in 'items' do not add up to the body's");
	f->u.batch.v = items;
	f->u.batch.n = kept;
}

static void ack_decode(struct decoder *d, struct ch_frame *f)
{
	no_body(d);
	f->u.ack.epoch = number32(d, "epoch");
	f->u.ack.nonce = number32(d, "nonce");
	f->u.ack.no = number(d, "no", INT64_MAX);
	f->u.ack.status = (uint8_t)number(d, "status", ACK_FULL);
	f->u.ack.retry_ms = (uint32_t)number_or_0(d, "retry_ms", UINT32_MAX);
}

static void member_decode(struct decoder *d, struct wire w,
			  struct ch_member_news *m)
{
	struct ch_bytes name, address;

	wire_copy(&w, m->site.b, sizeof(m->site.b));
	m->heartbeat = wire_u8(&w);
	m->epoch = wire_u32(&w);
	m->incarnation = wire_u64(&w);
	m->heard_ago_ms = wire_u64(&w);
	name = wire_b16(&w);
	address = wire_b16(&w);
	if (w.bad || m->heartbeat > HB_LEFT || m->incarnation > INT64_MAX ||
	    name_check_site(name, NULL) < 0 ||
	    address.len > CODEC_ADDRESS_MAX || !name_is_text(address)) {
		refuse(d, "a member is malformed");
		return;
	}
	m->name = take_text(d, name.p, name.len);
	m->address = take_text(d, address.p, address.len);
}

static void beat_decode(struct decoder *d, struct ch_frame *f)
{
	size_t n = (size_t)number(d, "members", MSG_MEMBERS_MAX);
	struct ch_member_news *v = NULL;
	struct wire w = wire_of(d->body);

	if (n && !d->r)
		v = take(d, n, sizeof(*v));
	for (size_t i = 0; i < n && !d->r; i++)
		member_decode(d, wire_of(wire_b16(&w)), &v[i]);
	if (!wire_done(&w))
		refuse(d, "the body does not hold as many members as it says");
	f->u.beat.v = v;
	f->u.beat.n = n;
}

static void want_decode(struct decoder *d, struct ch_frame *f)
{
	const json_t *list = NULL;
	size_t n = pairs(d, "bodies", MSG_WANTS_MAX, &list);
	struct ch_want *v = NULL;

	no_body(d);
	if (n)
		v = take(d, n, sizeof(*v));
	for (size_t i = 0; i < n && !d->r; i++) {
		hash_of(d, at(list, i, 0), "bodies", &v[i].body);
		v[i].chunk = (uint32_t)number_of(d, at(list, i, 1), "bodies",
						 UINT32_MAX);
	}
	f->u.want.v = v;
	f->u.want.n = n;
}

static void chunk_decode(struct decoder *d, struct ch_frame *f)
{
	uint64_t from, left;

	hash_of(d, json_object_get(d->o, "hash"), "hash", &f->u.chunk.body);
	f->u.chunk.no = number32(d, "no");
	f->u.chunk.len = number(d, "len", INT64_MAX);
	f->u.chunk.bytes = d->body;
	from = (uint64_t)f->u.chunk.no * CHUNK_LEN;
	left = f->u.chunk.len - from;
	if (from > f->u.chunk.len ||
	    d->body.len != (left < CHUNK_LEN ? left : CHUNK_LEN))
		refuse(d, "%zu bytes are not chunk %u of a body of %llu",
		       d->body.len, f->u.chunk.no,
		       (unsigned long long)f->u.chunk.len);
}

static const struct {
	const char *name;
	void (*decode)(struct decoder *d, struct ch_frame *f);
} kinds[] = {
	[FRAME_HELLO] = {"hello", hello_decode},
	[FRAME_BATCH] = {"batch", batch_decode},
	[FRAME_ACK] = {"ack", ack_decode},
	[FRAME_BEAT] = {"beat", beat_decode},
	[FRAME_WANT] = {"want", want_decode},
	[FRAME_CHUNK] = {"chunk", chunk_decode},
	[FRAME_ASK] = {"ask", ask_decode},
};

/* jansson's own limit is 2048 and fixed, so count before it parses. */
static bool is_flat_enough(struct ch_bytes json)
{
	const char *p = json.p;
	bool quoted = false;
	int depth = 0;

	for (size_t i = 0; i < json.len; i++) {
		if (quoted) {
			if (p[i] == '\\')
				i++;
			else if (p[i] == '"')
				quoted = false;
		} else if (p[i] == '"') {
			quoted = true;
		} else if (p[i] == '{' || p[i] == '[') {
			if (++depth > CODEC_NESTING_MAX)
				return false;
		} else if (p[i] == '}' || p[i] == ']') {
			depth--;
		}
	}
	return true;
}

/* Parse @header to d->o and d->name. */
static void header_parse(struct decoder *d, struct ch_bytes header)
{
	json_error_t why;

	if (!is_flat_enough(header)) {
		refuse(d, "its header is nested deeper than %d",
		       CODEC_NESTING_MAX);
		return;
	}
	d->o = json_loadb(header.p, header.len, JSON_REJECT_DUPLICATES, &why);
	/* Most of the time jansson says nothing at all when memory is out. */
	if (!d->o && (!why.text[0] ||
		      json_error_code(&why) == json_error_out_of_memory)) {
		d->r = err_set(d->reterr, -ENOMEM, "out of memory");
		return;
	}
	if (!d->o) {
		refuse(d, "its header is no JSON: byte %d: %.100s",
		       why.position, why.text);
		return;
	}
	if (!json_is_string(json_object_get(d->o, "frame"))) {
		refuse(d, "its header is no object with a string 'frame'");
		return;
	}
	d->name = json_string_value(json_object_get(d->o, "frame"));
}

/* Returns whether @f was filled: not so for a frame that is unknown here. */
static bool frame_decode(struct decoder *d, struct ch_bytes header,
			 struct ch_frame *f)
{
	bool known = false;

	d->no++;
	d->name = "?";
	header_parse(d, header);
	for (size_t i = 0; !d->r && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(d->name, kinds[i].name) != 0)
			continue;
		f->type = (enum ch_frame_type)i;
		kinds[i].decode(d, f);
		known = true;
	}
	json_decref(d->o);
	d->o = NULL;
	d->name = "?";
	return known;
}

/* How many frames, by their lengths alone; sets d->r when they lie. */
static size_t count(struct decoder *d, struct ch_bytes in)
{
	struct wire w = wire_of(in);

	d->name = "?";
	if (in.len > MSG_LEN_MAX) {
		d->r = err_set(d->reterr, -EPROTO,
			       "a message of %zu bytes; at most %u are allowed",
			       in.len, MSG_LEN_MAX);
		return 0;
	}
	for (d->no = 1; w.len && !d->r; d->no++) {
		uint32_t header = wire_u32(&w), body = wire_u32(&w);

		if (header > CODEC_HEADER_MAX)
			refuse(d,
			       "a header of %u bytes; at most %u are allowed",
			       header, CODEC_HEADER_MAX);
		wire_raw(&w, header);
		wire_raw(&w, body);
		if (w.bad)
			refuse(d,
			       "its lengths, header %u and body %u, lead "
			       "past the end of the message",
			       header, body);
		if (d->no > CODEC_FRAMES_MAX)
			refuse(d, "at most %d frames are allowed",
			       CODEC_FRAMES_MAX);
	}
	return d->no - 1;
}

int codec_decode(struct ch_bytes in, struct codec_message *ret_msg,
		 struct err *reterr)
{
	struct decoder d = {.reterr = reterr};
	struct ch_frame *v = NULL;
	struct wire w = wire_of(in);
	size_t n = count(&d, in), kept = 0;

	d.no = 0;
	if (!d.r && n)
		v = take(&d, n, sizeof(*v));
	for (size_t i = 0; i < n && !d.r; i++) {
		uint32_t header_len = wire_u32(&w), body_len = wire_u32(&w);
		struct ch_bytes header = wire_raw(&w, header_len);

		d.body = wire_raw(&w, body_len);
		if (frame_decode(&d, header, &v[kept]))
			kept++;
	}
	if (d.r) {
		struct codec_message half = {.mem = d.mem};

		codec_release(&half);
		return d.r;
	}
	*ret_msg = (struct codec_message){{v, kept}, d.mem};
	return 0;
}

void codec_release(struct codec_message *m)
{
	struct piece *p = m->mem;

	while (p) {
		struct piece *next = p->next;

		mem_free(p);
		p = next;
	}
	*m = (struct codec_message){.mem = NULL};
}
