/* stored.c -- see stored.h. Each value begins with a format byte. */
#include "core/stored.h"

#include <errno.h>
#include <string.h>

#include "core/wire.h"

#define FORMAT 1
#define FORMAT_SITE 2 /* With the life before. */
/* A job of which there is more to say: u8 policy and u8 guard in front,
 * then as 1. */
#define FORMAT_JOB_MORE 2

/* What may follow in a job: u8 what, b16. Empty ones are left out. */
#define JOB_OBJECT 0x80

void stored_site_encode(const struct stored_site *s, struct strbuf *sb)
{
	wire_put_u8(sb, FORMAT_SITE);
	wire_put_b16(sb, s->name);
	wire_put_b16(sb, s->address);
	wire_put_b16(sb, s->labels);
	wire_put_b16(sb, s->version);
	wire_put_u8(sb, s->address_by_hand);
	wire_put_u32(sb, s->epoch);
	wire_put_u32(sb, s->nonce);
	wire_put_u64(sb, s->incarnation);
	wire_put_u64(sb, s->heard_ms);
	wire_put_u64(sb, s->not_after);
	wire_put_u32(sb, s->prev.epoch);
	wire_put_u32(sb, s->prev.nonce);
	wire_put_u64(sb, s->prev.seq);
	wire_put_b16(sb, s->said);
}

int stored_site_decode(struct ch_bytes in, struct stored_site *ret_site)
{
	struct wire w = wire_of(in);
	struct stored_site s = {.epoch = 0};
	uint8_t format = wire_u8(&w);

	if (format != FORMAT && format != FORMAT_SITE)
		return -EPROTO;
	s.name = wire_b16(&w);
	s.address = wire_b16(&w);
	s.labels = wire_b16(&w);
	s.version = wire_b16(&w);
	s.address_by_hand = wire_u8(&w) != 0;
	s.epoch = wire_u32(&w);
	s.nonce = wire_u32(&w);
	s.incarnation = wire_u64(&w);
	s.heard_ms = wire_u64(&w);
	s.not_after = wire_u64(&w);
	if (format == FORMAT_SITE) {
		s.prev.epoch = wire_u32(&w);
		s.prev.nonce = wire_u32(&w);
		s.prev.seq = wire_u64(&w);
	}
	s.said = s.address_by_hand ? (struct ch_bytes){NULL, 0} : s.address;
	if (w.len) /* Later than the rest of the format. */
		s.said = wire_b16(&w);
	if (!wire_done(&w))
		return -EPROTO;
	*ret_site = s;
	return 0;
}

void stored_live_encode(const struct stored_live *s, struct strbuf *sb)
{
	wire_put_u8(sb, FORMAT);
	wire_put_u8(sb, s->heartbeat);
	wire_put_u64(sb, s->heard_ms);
	wire_put_u32(sb, s->rtt_ms);
	wire_put_u64(sb, s->backlog);
	wire_put_u64(sb, (uint64_t)s->skew_ms);
	wire_put_u8(sb, s->skew_known);
	wire_put_u8(sb, s->rtt_known);
	wire_put_b16(sb, s->address);
	wire_put_b16(sb, s->why);
}

int stored_live_decode(struct ch_bytes in, struct stored_live *ret_live)
{
	struct wire w = wire_of(in);
	struct stored_live s = {.heartbeat = 0};

	if (wire_u8(&w) != FORMAT)
		return -EPROTO;
	s.heartbeat = wire_u8(&w);
	s.heard_ms = wire_u64(&w);
	s.rtt_ms = wire_u32(&w);
	s.backlog = wire_u64(&w);
	s.skew_ms = (int64_t)wire_u64(&w);
	s.skew_known = wire_u8(&w) != 0;
	s.rtt_known = wire_u8(&w) != 0;
	s.address = wire_b16(&w);
	s.why = wire_b16(&w);
	if (!wire_done(&w))
		return -EPROTO;
	*ret_live = s;
	return 0;
}

void stored_job_encode(const struct stored_job *s, struct strbuf *sb)
{
	if (s->policy || s->guard) {
		wire_put_u8(sb, FORMAT_JOB_MORE);
		wire_put_u8(sb, s->policy);
		wire_put_u8(sb, s->guard);
	} else {
		wire_put_u8(sb, FORMAT);
	}
	wire_put_u8(sb, s->phase);
	wire_put_b16(sb, s->driver);
	wire_put_raw(sb, s->lineage.b, 16);
	wire_put_raw(sb, s->version.vid.b, 32);
	wire_put_raw(sb, s->version.patch_vid.b, 32);
	wire_put_raw(sb, s->effective.b, 32);
	wire_put_u8(sb, s->ours);
	/* As it was before there was such a list, or a name. */
	if (s->n_before)
		wire_put_u8(sb, (uint8_t)s->n_before);
	for (size_t i = 0; i < s->n_before; i++)
		wire_put_raw(sb, s->before[i].b, 32);
	if (s->object.len) {
		wire_put_u8(sb, JOB_OBJECT);
		wire_put_b16(sb, s->object);
	}
}

int stored_job_decode(struct ch_bytes in, struct stored_job *ret_job)
{
	struct wire w = wire_of(in);
	struct stored_job s;
	uint8_t format = wire_u8(&w);
	uint8_t more = 0;

	memset(&s, 0, sizeof(s));
	if (format != FORMAT && format != FORMAT_JOB_MORE)
		return -EPROTO;
	if (format == FORMAT_JOB_MORE) {
		s.policy = wire_u8(&w);
		s.guard = wire_u8(&w);
		if ((!s.policy && !s.guard) || s.guard > GUARD_PASSED)
			return -EPROTO;
	}
	s.phase = wire_u8(&w);
	s.driver = wire_b16(&w);
	wire_copy(&w, s.lineage.b, 16);
	wire_copy(&w, s.version.vid.b, 32);
	wire_copy(&w, s.version.patch_vid.b, 32);
	wire_copy(&w, s.effective.b, 32);
	s.ours = wire_u8(&w) != 0;
	if (!w.bad && w.len) {
		more = wire_u8(&w);
		if (more != JOB_OBJECT) {
			if (!more || more > CH_BEFORE_MAX)
				return -EPROTO;
			s.n_before = more;
			more = 0;
		}
	}
	for (size_t i = 0; i < s.n_before; i++)
		wire_copy(&w, s.before[i].b, 32);
	if (!more && !w.bad && w.len) {
		more = wire_u8(&w);
		w.bad |= more != JOB_OBJECT;
	}
	if (more)
		s.object = wire_b16(&w);
	if (!wire_done(&w) || s.phase < JOB_BEGUN || s.phase > JOB_ORPHANED)
		return -EPROTO;
	*ret_job = s;
	return 0;
}

void stored_trash_encode(const struct stored_trash *s, struct strbuf *sb)
{
	wire_put_u8(sb, FORMAT);
	wire_put_b16(sb, s->name);
	wire_put_b16(sb, s->user);
	wire_put_raw(sb, s->site.b, 16);
	wire_put_b16(sb, s->site_name);
	wire_put_raw(sb, s->lineage.b, 16);
	wire_put_u64(sb, s->deleted_ms);
	wire_put_u64(sb, s->run_ms);
	wire_put_b32(sb, s->image);
}

int stored_trash_decode(struct ch_bytes in, struct stored_trash *ret_trash)
{
	struct wire w = wire_of(in);
	struct stored_trash s;

	memset(&s, 0, sizeof(s));
	if (wire_u8(&w) != FORMAT)
		return -EPROTO;
	s.name = wire_b16(&w);
	s.user = wire_b16(&w);
	wire_copy(&w, s.site.b, 16);
	s.site_name = wire_b16(&w);
	wire_copy(&w, s.lineage.b, 16);
	s.deleted_ms = wire_u64(&w);
	s.run_ms = wire_u64(&w);
	s.image = wire_b32(&w);
	if (!wire_done(&w))
		return -EPROTO;
	*ret_trash = s;
	return 0;
}

void stored_hold_encode(const struct stored_hold *s, struct strbuf *sb)
{
	wire_put_u8(sb, FORMAT);
	wire_put_raw(sb, s->dot.actor.site.b, 16);
	wire_put_u32(sb, s->dot.actor.epoch);
	wire_put_u32(sb, s->dot.actor.nonce);
	wire_put_u64(sb, s->dot.seq);
	wire_put_u64(sb, s->end_run_ms);
	wire_put_u64(sb, s->end_ms);
}

int stored_hold_decode(struct ch_bytes in, struct stored_hold *ret_hold)
{
	struct wire w = wire_of(in);
	struct stored_hold s;

	if (wire_u8(&w) != FORMAT)
		return -EPROTO;
	wire_copy(&w, s.dot.actor.site.b, 16);
	s.dot.actor.epoch = wire_u32(&w);
	s.dot.actor.nonce = wire_u32(&w);
	s.dot.seq = wire_u64(&w);
	s.end_run_ms = wire_u64(&w);
	s.end_ms = wire_u64(&w);
	if (!wire_done(&w))
		return -EPROTO;
	*ret_hold = s;
	return 0;
}

void stored_orphan_encode(const struct stored_orphan *s, struct strbuf *sb)
{
	wire_put_u8(sb, FORMAT);
	wire_put_raw(sb, s->lineage.b, 16);
	wire_put_raw(sb, s->effective.b, 32);
	wire_put_u64(sb, s->left_ms);
}

int stored_orphan_decode(struct ch_bytes in, struct stored_orphan *ret_orphan)
{
	struct wire w = wire_of(in);
	struct stored_orphan s;

	if (wire_u8(&w) != FORMAT)
		return -EPROTO;
	wire_copy(&w, s.lineage.b, 16);
	wire_copy(&w, s.effective.b, 32);
	s.left_ms = wire_u64(&w);
	if (!wire_done(&w))
		return -EPROTO;
	*ret_orphan = s;
	return 0;
}

void stored_held_encode(const struct stored_held *s, struct strbuf *sb)
{
	wire_put_u8(sb, FORMAT);
	wire_put_raw(sb, s->lineage.b, 16);
	wire_put_b16(sb, s->driver);
	wire_put_b16(sb, s->cause);
	wire_put_b16(sb, s->user);
	wire_put_b16(sb, s->at);
	wire_put_u64(sb, s->since_ms);
	wire_put_u32(sb, s->gone);
}

int stored_held_decode(struct ch_bytes in, struct stored_held *ret_held)
{
	struct wire w = wire_of(in);
	struct stored_held s;

	if (wire_u8(&w) != FORMAT)
		return -EPROTO;
	wire_copy(&w, s.lineage.b, 16);
	s.driver = wire_b16(&w);
	s.cause = wire_b16(&w);
	s.user = wire_b16(&w);
	s.at = wire_b16(&w);
	s.since_ms = wire_u64(&w);
	s.gone = wire_u32(&w);
	if (!wire_done(&w))
		return -EPROTO;
	*ret_held = s;
	return 0;
}

void key_held(struct strbuf *sb, struct ch_bytes name)
{
	strbuf_add_str(sb, "held/");
	strbuf_add(sb, name.p, name.len);
}

void key_hold(struct strbuf *sb, struct ch_bytes name)
{
	strbuf_add_str(sb, "hold/");
	strbuf_add(sb, name.p, name.len);
}

void key_orphan(struct strbuf *sb, struct ch_bytes driver, struct ch_bytes name)
{
	strbuf_add_str(sb, "orphan/");
	strbuf_add(sb, driver.p, driver.len);
	strbuf_add_char(sb, '\0');
	strbuf_add(sb, name.p, name.len);
}

void key_report(struct strbuf *sb, struct ch_bytes name,
		const struct ch_id *site)
{
	strbuf_add(sb, name.p, name.len);
	strbuf_add_char(sb, '\0');
	strbuf_add(sb, site->b, sizeof(site->b));
}

void key_body(struct strbuf *sb, const struct ch_hash *hash, uint32_t chunk)
{
	strbuf_add(sb, hash->b, sizeof(hash->b));
	wire_put_u32(sb, chunk);
}

void key_part(struct strbuf *sb, const struct ch_hash *hash)
{
	strbuf_add_str(sb, "part/");
	strbuf_add(sb, hash->b, sizeof(hash->b));
}

void key_ref(struct strbuf *sb, const struct ch_hash *hash,
	     struct ch_bytes who)
{
	strbuf_add(sb, hash->b, sizeof(hash->b));
	strbuf_add(sb, who.p, who.len);
}

void key_out(struct strbuf *sb, const struct ch_id *site, uint64_t seq)
{
	strbuf_add(sb, site->b, sizeof(site->b));
	wire_put_u64(sb, seq);
}

void key_live(struct strbuf *sb, const struct ch_id *site)
{
	strbuf_add_char(sb, 'm');
	strbuf_add(sb, site->b, sizeof(site->b));
}

void key_unmet(struct strbuf *sb, struct ch_bytes name)
{
	strbuf_add_char(sb, 'p');
	strbuf_add(sb, name.p, name.len);
}

void key_discard(struct strbuf *sb, struct ch_bytes name, const struct dot *dot)
{
	strbuf_add_str(sb, "discard/");
	strbuf_add(sb, name.p, name.len);
	strbuf_add_char(sb, '\0');
	dot_encode(dot, sb);
}

void key_object(struct strbuf *sb, struct ch_bytes object,
		struct ch_bytes driver)
{
	strbuf_add_str(sb, "object/");
	strbuf_add(sb, object.p, object.len);
	strbuf_add_char(sb, '\0');
	strbuf_add(sb, driver.p, driver.len);
}

void key_lineage(struct strbuf *sb, const struct ch_id *lineage)
{
	strbuf_add_str(sb, "lineage/");
	strbuf_add(sb, lineage->b, sizeof(lineage->b));
}

void key_stays(struct strbuf *sb, const struct ch_id *lineage)
{
	strbuf_add_str(sb, "stays/");
	strbuf_add(sb, lineage->b, sizeof(lineage->b));
}

void key_parked(struct strbuf *sb, const struct ch_id *lineage)
{
	strbuf_add_str(sb, "parked/");
	strbuf_add(sb, lineage->b, sizeof(lineage->b));
}
