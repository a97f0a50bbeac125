/*
 * outbox.c -- what each site has yet to be told, in the store.
 *
 * COL_OUT holds (site, sequence) -> (kind, name). Whoever changes a record
 * takes a new sequence, and moves each site's entry for it there: so a name
 * stands once in a site's outbox however often it changed, and the entries are
 * in the order of the last change. An entry goes when the site acknowledges
 * the batch that carried it. Nobody waits for the disk with that: an entry that
 * is there again after a crash is sent again, and does no harm. What is synced
 * later is never on the disk before it.
 *
 * The next entries of each site are kept in memory: a window on the store.
 */
#include <errno.h>
#include <string.h>

#include "core/check.h"
#include "core/gone.h"
#include "core/mem.h"
#include "core/peer.h"
#include "core/wire.h"

uint64_t outbox_next(struct ch_engine *e)
{
	return ++e->out_seq;
}

static int append(struct peer *p, uint8_t kind, uint64_t seq,
		  struct ch_bytes name)
{
	struct out_item *item;

	if (p->more)
		return 0;
	if (p->n_queue == PEER_QUEUE_MAX) {
		p->more = true;
		return 0;
	}
	if (!p->queue) {
		p->queue = mem_alloc(PEER_QUEUE_MAX * sizeof(*p->queue));
		if (!p->queue)
			return -ENOMEM;
	}
	item = &p->queue[p->n_queue];
	item->name = mem_dup(name.p, name.len);
	if (!item->name)
		return -ENOMEM;
	item->name_len = name.len;
	item->kind = kind;
	item->seq = seq;
	item->flying = false;
	p->n_queue++;
	return 0;
}

void outbox_landed(struct peer *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_queue; i++) {
		if (p->queue[i].flying)
			mem_free(p->queue[i].name);
		else
			p->queue[n++] = p->queue[i];
	}
	p->n_queue = n;
	p->flying = 0;
}

void outbox_crashed(struct peer *p)
{
	for (size_t i = 0; i < p->n_queue; i++)
		p->queue[i].flying = false;
	p->flying = 0;
}

void outbox_release(struct peer *p)
{
	for (size_t i = 0; i < p->n_queue; i++)
		mem_free(p->queue[i].name);
	mem_free(p->queue);
	p->queue = NULL;
	p->n_queue = 0;
}

int outbox_has(struct ch_engine *e, const struct ch_id *site, uint64_t seq)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	int rc;

	if (!seq)
		return 0;
	key_out(&key, site, seq);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_get(e, COL_OUT, strbuf_bytes(&key), &value);
	strbuf_release(&value);
	strbuf_release(&key);
	return rc == 0 ? 1 : rc == -ENOENT ? 0 : rc;
}

int outbox_del(struct ch_engine *e, const struct ch_id *site, uint64_t seq)
{
	struct peer *p = member_find(e, site);
	struct strbuf key = STRBUF_INIT;
	int rc = outbox_has(e, site, seq);

	if (rc <= 0)
		return rc;
	if (p && p->backlog)
		p->backlog--;
	key_out(&key, site, seq);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = db_drop(e, COL_OUT, strbuf_bytes(&key));
	strbuf_release(&key);
	return rc;
}

int outbox_put(struct ch_engine *e, const struct ch_id *site, uint8_t kind,
	       struct ch_bytes name, uint64_t old_seq, uint64_t seq)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	struct peer *p = member_find(e, site);
	int rc = outbox_del(e, site, old_seq);

	if (rc < 0 || gone_has(e, site))
		return rc;
	key_out(&key, site, seq);
	wire_put_u8(&value, kind);
	wire_put_raw(&value, name.p, name.len);
	if (rc == 0 && (key.bad || value.bad))
		rc = -ENOMEM;
	if (rc == 0)
		rc = db_put(e, COL_OUT, strbuf_bytes(&key),
			    strbuf_bytes(&value));
	strbuf_release(&value);
	strbuf_release(&key);
	if (rc == 0 && p) {
		p->backlog++;
		rc = append(p, kind, seq, name);
	}
	return rc;
}

static int load_one(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	struct peer *p = arg;
	struct wire k = wire_of(key), v = wire_of(value);
	uint64_t seq;
	uint8_t kind;
	int rc;

	(void)wire_raw(&k, 16);
	seq = wire_u64(&k);
	kind = wire_u8(&v);
	if (!wire_done(&k) || v.bad)
		return -EIO;
	rc = append(p, kind, seq, (struct ch_bytes){v.p, v.len});
	return rc < 0 ? rc : p->more;
}

/* Only at the start of a round is all that was put in the store, too. */
int outbox_round(struct ch_engine *e)
{
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < e->n_peers; i++) {
		struct peer *p = e->peers[i];
		const struct ch_bytes prefix = {p->id.b, sizeof(p->id.b)};

		if (!p->more || p->n_queue)
			continue;
		p->more = false;
		rc = db_scan(e, COL_OUT, prefix, ch_str(""), load_one, p);
	}
	return rc < 0 ? rc : 0;
}

static int count_one(void *arg, struct ch_bytes key, struct ch_bytes value)
{
	(void)key;
	(void)value;
	++*(uint64_t *)arg;
	return 0;
}

int outbox_count(struct ch_engine *e, struct peer *p)
{
	const struct ch_bytes prefix = {p->id.b, sizeof(p->id.b)};

	p->backlog = 0;
	return db_scan(e, COL_OUT, prefix, ch_str(""), count_one, &p->backlog);
}
