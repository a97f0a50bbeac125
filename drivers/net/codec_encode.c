/* codec_encode.c -- codec.h draws what is written here. */
#include "drivers/net/codec.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "core/name.h"
#include "core/wire.h"

/* One header that is being made; @r is the first thing that went wrong. */
struct header {
	json_t *o;
	int r;
};

static void fail(struct header *h, int r)
{
	if (!h->r)
		h->r = r;
}

/* Takes over @v; NULL means that its maker ran out of memory. */
static void put(struct header *h, const char *key, json_t *v)
{
	if (json_object_set_new(h->o, key, v) < 0)
		fail(h, -ENOMEM);
}

static void append(struct header *h, json_t *list, json_t *v)
{
	if (json_array_append_new(list, v) < 0)
		fail(h, -ENOMEM);
}

static json_t *number(struct header *h, uint64_t v)
{
	if (v > INT64_MAX) {
		fail(h, -EINVAL);
		v = 0;
	}
	return json_integer((json_int_t)v);
}

static void put_number(struct header *h, const char *key, uint64_t v)
{
	put(h, key, number(h, v));
}

static void put_text(struct header *h, const char *key, const char *s,
		     size_t len_max)
{
	json_t *v;

	if (!s)
		s = "";
	if (strlen(s) > len_max) {
		fail(h, -EMSGSIZE);
		return;
	}
	v = json_string(s);
	if (v) {
		put(h, key, v);
		return;
	}
	/* jansson has one NULL for two failures. */
	v = json_string("");
	fail(h, v ? -EINVAL : -ENOMEM);
	json_decref(v);
}

static void put_line(struct header *h, const char *key, const char *s,
		     size_t len_max)
{
	if (!name_is_text(ch_str(s)))
		fail(h, -EINVAL);
	put_text(h, key, s, len_max);
}

static void put_id(struct header *h, const char *key, const struct ch_id *id)
{
	struct strbuf text = STRBUF_INIT;

	id_to_text(id, &text);
	if (strbuf_error(&text))
		fail(h, -ENOMEM);
	else
		put_text(h, key, text.buf, ID_TEXT_LEN);
	strbuf_release(&text);
}

static json_t *hash_text(const struct ch_hash *hash)
{
	struct strbuf text = STRBUF_INIT;
	json_t *v = NULL;

	strbuf_add_hex(&text, hash->b, sizeof(hash->b));
	if (!strbuf_error(&text))
		v = json_string(text.buf);
	strbuf_release(&text);
	return v;
}

/* The list @v under @key, empty and borrowed; NULL and failed without memory.
 */
static json_t *put_list(struct header *h, const char *key)
{
	json_t *list = json_array();

	if (json_object_set_new(h->o, key, list) < 0) {
		fail(h, -ENOMEM);
		return NULL;
	}
	return list;
}

static void put_pair(struct header *h, json_t *list, json_t *first,
		     uint64_t second)
{
	json_t *pair = json_array();

	append(h, pair, first);
	append(h, pair, number(h, second));
	append(h, list, pair);
}

static void hello_encode(struct header *h, const struct ch_frame *f)
{
	json_t *proto = put_list(h, "proto");

	append(h, proto, number(h, f->u.hello.proto_min));
	append(h, proto, number(h, f->u.hello.proto_max));
	put_id(h, "federation", &f->u.hello.federation);
	put_id(h, "site", &f->u.hello.site);
	put_id(h, "store", &f->u.hello.store);
	put_number(h, "epoch", f->u.hello.epoch);
	put_number(h, "nonce", f->u.hello.nonce);
	put_number(h, "incarnation", f->u.hello.incarnation);
	if (name_check_site(ch_str(f->u.hello.name), NULL) < 0)
		fail(h, -EINVAL);
	put_text(h, "name", f->u.hello.name, NAME_SITE_MAX);
	put_line(h, "address", f->u.hello.address, CODEC_ADDRESS_MAX);
	put_line(h, "version", f->u.hello.version, CODEC_VERSION_MAX);
	put_text(h, "labels", f->u.hello.labels, CODEC_LABELS_MAX);
	put_number(h, "wall_ms", f->u.hello.wall_ms);
	put_number(h, "heartbeat_ms", f->u.hello.heartbeat_ms);
	put_number(h, "got_epoch", f->u.hello.got_epoch);
	put_number(h, "got_nonce", f->u.hello.got_nonce);
	put_number(h, "got_no", f->u.hello.got_no);
	put_number(h, "sent_no", f->u.hello.sent_no);
	put_number(h, "poll_ms", f->u.hello.poll_ms);
	if (f->u.hello.knows_lives) {
		put_number(h, "your_epoch", f->u.hello.your_epoch);
		put_number(h, "your_nonce", f->u.hello.your_nonce);
	}
	put_number(h, "known_epoch", f->u.hello.known.epoch);
	put_number(h, "known_nonce", f->u.hello.known.nonce);
	put_number(h, "known_seq", f->u.hello.known.seq);
}

static void ask_encode(struct header *h, const struct ch_frame *f)
{
	put_number(h, "epoch", f->u.ask.epoch);
	put_number(h, "nonce", f->u.ask.nonce);
	put_number(h, "round", f->u.ask.round);
}

static void batch_encode(struct header *h, const struct ch_frame *f,
			 struct strbuf *body)
{
	json_t *items = put_list(h, "items");

	put_number(h, "epoch", f->u.batch.epoch);
	put_number(h, "nonce", f->u.batch.nonce);
	put_number(h, "no", f->u.batch.no);
	if (f->u.batch.n > MSG_ITEMS_MAX) {
		fail(h, -EMSGSIZE);
		return;
	}
	for (size_t i = 0; i < f->u.batch.n; i++) {
		const struct ch_item *item = &f->u.batch.v[i];

		if (item->bytes.len > MSG_LEN_MAX - body->len) {
			fail(h, -EMSGSIZE);
			return;
		}
		put_pair(h, items, number(h, item->kind), item->bytes.len);
		strbuf_add(body, item->bytes.p, item->bytes.len);
	}
}

static void member_encode(struct header *h, const struct ch_member_news *m,
			  struct strbuf *body)
{
	struct ch_bytes name = ch_str(m->name), address = ch_str(m->address);
	size_t len = 16 + 1 + 4 + 8 + 8 + 2 + name.len + 2 + address.len;

	if (name_check_site(name, NULL) < 0 || !name_is_text(address) ||
	    m->heartbeat > HB_LEFT || m->incarnation > INT64_MAX)
		fail(h, -EINVAL);
	if (address.len > CODEC_ADDRESS_MAX)
		fail(h, -EMSGSIZE);
	if (h->r)
		return;
	wire_put_u16(body, (uint16_t)len);
	wire_put_raw(body, m->site.b, sizeof(m->site.b));
	wire_put_u8(body, m->heartbeat);
	wire_put_u32(body, m->epoch);
	wire_put_u64(body, m->incarnation);
	wire_put_u64(body, m->heard_ago_ms);
	wire_put_b16(body, name);
	wire_put_b16(body, address);
}

static void beat_encode(struct header *h, const struct ch_frame *f,
			struct strbuf *body)
{
	put_number(h, "members", f->u.beat.n);
	if (f->u.beat.n > MSG_MEMBERS_MAX)
		fail(h, -EMSGSIZE);
	for (size_t i = 0; i < f->u.beat.n && !h->r; i++)
		member_encode(h, &f->u.beat.v[i], body);
}

static void want_encode(struct header *h, const struct ch_frame *f)
{
	json_t *bodies = put_list(h, "bodies");

	if (f->u.want.n > MSG_WANTS_MAX) {
		fail(h, -EMSGSIZE);
		return;
	}
	for (size_t i = 0; i < f->u.want.n; i++)
		put_pair(h, bodies, hash_text(&f->u.want.v[i].body),
			 f->u.want.v[i].chunk);
}

static void chunk_encode(struct header *h, const struct ch_frame *f,
			 struct strbuf *body)
{
	uint64_t from = (uint64_t)f->u.chunk.no * CHUNK_LEN;
	uint64_t left = f->u.chunk.len - from;

	put(h, "hash", hash_text(&f->u.chunk.body));
	put_number(h, "no", f->u.chunk.no);
	put_number(h, "len", f->u.chunk.len);
	if (f->u.chunk.bytes.len > CHUNK_LEN)
		fail(h, -EMSGSIZE);
	else if (from > f->u.chunk.len ||
		 f->u.chunk.bytes.len != (left < CHUNK_LEN ? left : CHUNK_LEN))
		fail(h, -EINVAL);
	else
		strbuf_add(body, f->u.chunk.bytes.p, f->u.chunk.bytes.len);
}

static void ack_encode(struct header *h, const struct ch_frame *f)
{
	put_number(h, "epoch", f->u.ack.epoch);
	put_number(h, "nonce", f->u.ack.nonce);
	put_number(h, "no", f->u.ack.no);
	put_number(h, "status", f->u.ack.status);
	put_number(h, "retry_ms", f->u.ack.retry_ms);
	if (f->u.ack.status > ACK_FULL)
		fail(h, -EINVAL);
}

static void payload_encode(struct header *h, const struct ch_frame *f,
			   struct strbuf *body)
{
	static const char *const names[] = {
		[FRAME_HELLO] = "hello", [FRAME_BATCH] = "batch",
		[FRAME_ACK] = "ack",     [FRAME_BEAT] = "beat",
		[FRAME_WANT] = "want",   [FRAME_CHUNK] = "chunk",
		[FRAME_ASK] = "ask",
	};

	put(h, "frame", json_string(names[f->type]));
	switch (f->type) {
	case FRAME_HELLO:
		hello_encode(h, f);
		return;
	case FRAME_BATCH:
		batch_encode(h, f, body);
		return;
	case FRAME_ACK:
		ack_encode(h, f);
		return;
	case FRAME_BEAT:
		beat_encode(h, f, body);
		return;
	case FRAME_WANT:
		want_encode(h, f);
		return;
	case FRAME_CHUNK:
		chunk_encode(h, f, body);
		return;
	case FRAME_ASK:
		ask_encode(h, f);
		return;
	}
}

static int text_add(const char *p, size_t len, void *arg)
{
	struct strbuf *sb = arg;

	strbuf_add(sb, p, len);
	return strbuf_error(sb);
}

static int frame_encode(const struct ch_frame *f, struct strbuf *out)
{
	struct strbuf text = STRBUF_INIT, body = STRBUF_INIT;
	struct header h = {.o = json_object()};

	if (!h.o)
		return -ENOMEM;
	payload_encode(&h, f, &body);
	if (!h.r && json_dump_callback(h.o, text_add, &text, JSON_COMPACT) < 0)
		h.r = -ENOMEM;
	if (!h.r)
		h.r = strbuf_error(&body);
	if (!h.r && (text.len > CODEC_HEADER_MAX || body.len > MSG_LEN_MAX))
		h.r = -EMSGSIZE;
	if (!h.r) {
		wire_put_u32(out, (uint32_t)text.len);
		wire_put_u32(out, (uint32_t)body.len);
		strbuf_add(out, text.buf, text.len);
		strbuf_add(out, body.buf, body.len);
		h.r = strbuf_error(out);
	}
	json_decref(h.o);
	strbuf_release(&text);
	strbuf_release(&body);
	return h.r;
}

int codec_encode(const struct ch_message *msg, struct strbuf *out)
{
	size_t start = out->len;
	int r = strbuf_error(out);

	if (!r && msg->n > CODEC_FRAMES_MAX)
		r = -EMSGSIZE;
	for (size_t i = 0; i < msg->n && !r; i++) {
		r = frame_encode(&msg->v[i], out);
		if (!r && out->len - start > MSG_LEN_MAX)
			r = -EMSGSIZE;
	}
	if (r)
		strbuf_set_len(out, start);
	return r;
}
