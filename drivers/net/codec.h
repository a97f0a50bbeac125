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
 * Unknown frames are skipped, unknown members of a header ignored.
 */
#ifndef CHEOPS_DRIVERS_NET_CODEC_H
#define CHEOPS_DRIVERS_NET_CODEC_H

#include "core/err.h"
#include "core/message.h"

struct codec_message {
	struct ch_message msg;
	/* The rest is the codec's own. */
	void *mem;
};

/* Appends to @out. -ENOMEM, -EMSGSIZE. */
int codec_encode(const struct ch_message *msg, struct strbuf *out);

/* Byte bodies point into @in, which must outlive the message. -EPROTO with
 * the sentence, -ENOMEM. Free with codec_release(). */
int codec_decode(struct ch_bytes in, struct codec_message *ret_msg,
		 struct err *reterr);
void codec_release(struct codec_message *m);

#endif
