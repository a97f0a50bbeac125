/*
 * report.c -- see report.h.
 *
 *	u8 format, b16 resource, site 16, u32 epoch, u32 nonce, u64 number,
 *	u8 state, desired, applied, healthy (each: vid 32, patch vid 32),
 *	u32 tries, u64 next try, u64 changed, b32 message, b32 observed,
 *	b32 extra
 *
 * In extra stand tags in growing order, each: u8 tag, b16 bytes.
 */
#include "core/report.h"

#include <errno.h>

#include "core/check.h"
#include "core/name.h"
#include "core/wire.h"

const char *state_word(enum state s)
{
	switch (s) {
	case STATE_CONFLICT:
		return "conflict";
	case STATE_FAILED:
		return "failed";
	case STATE_CONTENDED:
		return "contended";
	case STATE_DEGRADED:
		return "degraded";
	case STATE_UNREACHABLE:
		return "unreachable";
	case STATE_BLOCKED:
		return "blocked";
	case STATE_HELD:
		return "held";
	case STATE_REMOVING:
		return "removing";
	case STATE_APPLYING:
		return "applying";
	case STATE_PENDING:
		return "pending";
	case STATE_READY:
		return "ready";
	case STATE_IDLE:
	case STATES:
		break;
	}
	return "idle";
}

bool version_equal(const struct version *a, const struct version *b)
{
	return hash_cmp(&a->vid, &b->vid) == 0 &&
	       hash_cmp(&a->patch_vid, &b->patch_vid) == 0;
}

bool version_is_zero(const struct version *a)
{
	return hash_is_zero(&a->vid);
}

void version_to_text(const struct version *v, struct strbuf *sb)
{
	if (version_is_zero(v)) {
		strbuf_add_char(sb, '-');
		return;
	}
	hash_to_word(&v->vid, sb);
	if (!hash_is_zero(&v->patch_vid)) {
		strbuf_add_char(sb, '+');
		hash_to_word(&v->patch_vid, sb);
	}
}

static void put_version(struct strbuf *sb, const struct version *v)
{
	wire_put_raw(sb, v->vid.b, 32);
	wire_put_raw(sb, v->patch_vid.b, 32);
}

static void get_version(struct wire *w, struct version *v)
{
	wire_copy(w, v->vid.b, 32);
	wire_copy(w, v->patch_vid.b, 32);
}

void report_encode(const struct report *r, struct strbuf *sb)
{
	wire_put_u8(sb, REPORT_FORMAT);
	wire_put_b16(sb, r->name);
	wire_put_raw(sb, r->site.b, 16);
	wire_put_u32(sb, r->epoch);
	wire_put_u32(sb, r->nonce);
	wire_put_u64(sb, r->number);
	wire_put_u8(sb, r->state);
	put_version(sb, &r->desired);
	put_version(sb, &r->applied);
	put_version(sb, &r->healthy);
	wire_put_u32(sb, r->tries);
	wire_put_u64(sb, r->next_try_ms);
	wire_put_u64(sb, r->changed_ms);
	wire_put_b32(sb, r->message);
	wire_put_b32(sb, r->observed);
	wire_put_b32(sb, r->extra);
}

int report_decode(struct ch_bytes in, struct report *ret_report)
{
	struct wire w = wire_of(in);
	struct report r;

	if (in.len > REPORT_LEN_MAX || wire_u8(&w) != REPORT_FORMAT)
		return -EPROTO;
	r.name = wire_b16(&w);
	wire_copy(&w, r.site.b, 16);
	r.epoch = wire_u32(&w);
	r.nonce = wire_u32(&w);
	r.number = wire_u64(&w);
	r.state = wire_u8(&w);
	get_version(&w, &r.desired);
	get_version(&w, &r.applied);
	get_version(&w, &r.healthy);
	r.tries = wire_u32(&w);
	r.next_try_ms = wire_u64(&w);
	r.changed_ms = wire_u64(&w);
	r.message = wire_b32(&w);
	r.observed = wire_b32(&w);
	r.extra = wire_b32(&w);
	if (!wire_done(&w) || r.state >= STATES || !r.name.len)
		return -EPROTO;
	*ret_report = r;
	return 0;
}

#define EXTRA_OBJECT 1

void report_put_object(struct strbuf *extra, struct ch_bytes object)
{
	if (!object.len)
		return;
	wire_put_u8(extra, EXTRA_OBJECT);
	wire_put_b16(extra, object);
}

struct ch_bytes report_object(const struct report *r)
{
	struct wire w = wire_of(r->extra);

	while (w.len && !w.bad) {
		uint8_t tag = wire_u8(&w);
		struct ch_bytes b = wire_b16(&w);

		if (!w.bad && tag == EXTRA_OBJECT && name_is_text(b))
			return b;
	}
	return ch_str("");
}

bool report_is_newer(const struct report *a, const struct report *b)
{
	if (a->epoch != b->epoch)
		return a->epoch > b->epoch;
	if (a->nonce != b->nonce)
		return a->nonce > b->nonce;
	return a->number > b->number;
}
