/*
 * codec.h -- messages as bytes. Pure; drawn in cheops-protocol(7).
 *
 * A message is frames one after the other. A frame is
 *
 *      0        4        8              8+header
 *     +--------+--------+--------------+-------------------+
 *     | header | body   | JSON object  | bytes             |
 *     | length | length | {"frame":..} |                   |
 *     +--------+--------+--------------+-------------------+
 *      u32 BE   u32 BE   UTF-8          see each frame
 *
 * Members of each header; those in brackets may be left out and are 0 or ""
 * then. Ids are UUIDs as text, hashes 64 lower-case hexadecimal digits,
 * numbers JSON integers from 0 to 2^63-1 (or to 2^32-1 where u32 stands).
 *
 *   hello  proto [min u32, max u32], federation, site, store, epoch u32,
 *          nonce u32, incarnation, name, wall_ms, heartbeat_ms u32, [address],
 *          [version], [labels], [got_epoch u32], [got_nonce u32], [got_no],
 *          [poll_ms u32]
 *   batch  epoch u32, nonce u32, no, items: [[kind 0..255, length u32], ...];
 *          body: the items' bytes, one after the other
 *   ack    epoch u32, nonce u32, no, status 0..4, [retry_ms u32]
 *   beat   members: how many stand in the body, each a u16 length of what
 *          follows, then site (16 bytes), heartbeat u8 0..3, epoch u32,
 *          incarnation u64, heard ago in ms u64 (all ones: never), name and
 *          address (each a u16 length and its bytes), then what a later
 *          version may add; big endian
 *   want   bodies: [[hash, first chunk u32], ...]
 *   chunk  hash, no u32, len: of the whole body; body: CHUNK_LEN bytes, or
 *          what is left of len in the last one
 *
 * Unknown frames are skipped, unknown members of a header ignored, items of
 * unknown kind left out.
 */
#ifndef CHEOPS_DRIVERS_NET_CODEC_H
#define CHEOPS_DRIVERS_NET_CODEC_H

#include "core/err.h"
#include "core/message.h"

#define CODEC_FRAMES_MAX 1024 /* In one message, unknown ones included. */
#define CODEC_HEADER_MAX (64u * 1024u)
#define CODEC_NESTING_MAX 16
#define CODEC_ADDRESS_MAX 260
#define CODEC_VERSION_MAX 64
#define CODEC_LABELS_MAX 4096

struct codec_message {
	struct ch_message msg;
	/* The rest is the codec's own. */
	void *mem;
};

/* Appends to @out. -ENOMEM; -EMSGSIZE when a limit of message.h or of this
 * file is passed; -EINVAL for what no decoder would take (a name that is no
 * site's, a number over 2^63-1, a chunk of the wrong length). @out is as it
 * was on failure. A string that is NULL is empty. */
int codec_encode(const struct ch_message *msg, struct strbuf *out);

/* Byte bodies point into @in, which must outlive the message. -EPROTO with
 * the sentence, -ENOMEM. Free with codec_release(), which may be repeated. */
int codec_decode(struct ch_bytes in, struct codec_message *ret_msg,
		 struct err *reterr);
void codec_release(struct codec_message *m);

#endif
