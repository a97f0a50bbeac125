/* agent_store.c -- the store: opened, failed, opened again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <uuid/uuid.h>

#include "core/wire.h"
#include "fs/agent_private.h"
#include "fs/log.h"

#define RETRY_MIN_MS 250u
#define RETRY_MAX_MS 10000u
/* How often DIR/fence is moved on while there are commits. */
#define FENCE_MS 250u
#define FENCE_COMMITS 256u

static int read_bytes(struct agent *a, const char *key, void *to, size_t len)
{
	const struct ch_reader *r = store_reader(a->store);
	struct strbuf value = STRBUF_INIT;
	int rc = r->get(r, COL_SYS, ch_str(key), &value);

	if (rc == 0 && value.len != len)
		rc = -EIO;
	if (rc == 0)
		memcpy(to, value.buf, len);
	strbuf_release(&value);
	return rc;
}

/* A new epoch is stored before anything can be written in it; a new store
 * gets its name, and that of the site it belongs to. */
static int begin_life(struct agent *a, uint32_t *ret_epoch,
		      uint32_t *ret_nonce, struct err *reterr)
{
	struct ch_batch batch;
	struct strbuf epoch = STRBUF_INIT, restored = STRBUF_INIT;
	struct ch_id owner;
	uint8_t old[8];
	struct wire w;
	int r;

	batch_init(&batch);
	*ret_epoch = 1;
	r = read_bytes(a, "epoch", old, sizeof(old));
	if (r == 0) {
		w = wire_of((struct ch_bytes){old, sizeof(old)});
		*ret_epoch = wire_u32(&w) + 1;
	}
	if (*ret_epoch < a->life_least)
		*ret_epoch = a->life_least;
	if (r == 0 || r == -ENOENT)
		r = read_bytes(a, "site", owner.b, sizeof(owner.b));
	if (r == 0 && id_cmp(&owner, &a->self.uuid) != 0) {
		r = err_set(reterr, -EPERM,
			    "%s: this store is another site's: its certificate "
			    "had another UUID than %s's; use that one, or "
			    "another folder",
			    a->cfg->store, a->self.name);
		goto out;
	}
	if (r == -ENOENT)
		batch_put(&batch, COL_SYS, ch_str("site"),
			  (struct ch_bytes){a->self.uuid.b, 16});
	if (r == 0 || r == -ENOENT)
		r = read_bytes(a, "store", a->store_id.b, 16);
	if (r == -ENOENT) {
		uuid_generate_random(a->store_id.b);
		batch_put(&batch, COL_SYS, ch_str("store"),
			  (struct ch_bytes){a->store_id.b, 16});
		r = 0;
	}
	if (r == 0 && getrandom(ret_nonce, sizeof(*ret_nonce), 0) !=
			      (ssize_t)sizeof(*ret_nonce))
		r = -EIO;
	if (r < 0) {
		err_set(reterr, r, "%s: the store cannot be read",
			a->cfg->store);
		goto out;
	}
	if (a->restored) { /* The engine takes it from there. */
		wire_put_u64(&restored, 1);
		batch_put(&batch, COL_SYS, ch_str("restored"),
			  strbuf_bytes(&restored));
	}
	wire_put_u32(&epoch, *ret_epoch);
	wire_put_u32(&epoch, *ret_nonce);
	batch_put(&batch, COL_SYS, ch_str("epoch"), strbuf_bytes(&epoch));
	r = epoch.bad || restored.bad || batch_error(&batch)
		    ? -ENOMEM
		    : store_commit(a->store, &batch, true, reterr);
	if (r == 0)
		a->restored = false;
out:
	strbuf_release(&restored);
	strbuf_release(&epoch);
	batch_release(&batch);
	return r;
}

static int make_engine(struct agent *a, struct err *reterr)
{
	const struct config *cfg = a->cfg;
	struct ch_config c = {
		.store = store_reader(a->store),
		.self = a->self.uuid,
		.federation = a->self.federation,
		.name = a->self.name,
		.address = cfg->listen ? cfg->listen : "",
		.labels = a->labels,
		.version = CHEOPS_VERSION,
		.heartbeat_ms = cfg->heartbeat_ms,
		.grace_ms = cfg->grace_ms,
		.peers = a->peers,
		.n_peers = cfg->n_peers,
		.driver_default = cfg->driver_default,
		.drivers = a->drivers,
		.n_drivers = a->n_drivers,
		.cert_not_after = a->self.not_after,
	};
	int r = begin_life(a, &c.epoch, &c.nonce, reterr);

	if (r < 0)
		return r;
	c.store_id = a->store_id;
	if (getrandom(&c.seed, sizeof(c.seed), 0) != (ssize_t)sizeof(c.seed))
		return err_set(reterr, -EIO, "no random numbers");
	return ch_engine_new(&c, &a->engine);
}

static void tell(struct agent *a, const char *event, const char *message)
{
	const struct ch_notice n = {
		.event = event,
		.resource = "",
		.site = a->self.name,
		.version = "",
		.user = "",
		.message = message,
		.wall_ms = agent_wall_ms(),
	};

	events_add(a->events, &n);
	agent_tell_events(a);
}

/* Is the store that was opened the one that was there, and as far? */
static void see_fence(struct agent *a)
{
	struct store_fence f;
	struct ch_id id = {{0}};

	if (store_fence_read(a->dir, &f) < 0)
		return;
	if (read_bytes(a, "store", id.b, sizeof(id.b)) == 0 &&
	    id_cmp(&id, &f.store) == 0 && store_seq(a->store) >= f.seq)
		return;
	a->restored = true;
	log_print(LOG_WARNING,
		  "%s: the store is not as far as it once was: restored, or "
		  "its log was cut off",
		  a->cfg->store);
}

/* @damaged: it was open, and a read met damage. */
static int open_store(struct agent *a, bool damaged, struct err *reterr)
{
	const char *path = store_dir_db(a->dir);
	int r = -EUCLEAN;

	if (!damaged)
		r = store_rocks_open(path, &a->store, reterr);
	if (r == -EUCLEAN) {
		if (!damaged)
			log_print(LOG_ERR, "%s", reterr->text);
		r = store_rocks_salvage(path, damaged, &a->store, reterr);
		if (r == 0) {
			a->restored = true;
			log_print(LOG_WARNING, "%s", reterr->text);
			tell(a, "lost", reterr->text);
		}
	}
	if (r == 0)
		see_fence(a);
	return r;
}

int agent_new_life(struct agent *a, uint32_t life, struct err *reterr)
{
	a->life_least = life;
	return make_engine(a, reterr);
}

int agent_store_open(struct agent *a, struct err *reterr)
{
	struct err err = ERR_INIT;
	int r = open_store(a, false, &err);

	if (r == 0)
		r = make_engine(a, &err);
	if (r == 0)
		return 0;
	if (r == -EPROTO || r == -EPERM || r == -EBUSY) {
		/* Waiting would not help: it is not ours to open. */
		if (reterr)
			*reterr = err;
		return r;
	}
	log_print(LOG_ERR, "%s; it is tried again", err.text);
	agent_store_failed(a, r, err.text);
	return 0;
}

void agent_store_failed(struct agent *a, int err, const char *why)
{
	atomic_store(&a->ailing, err == -ENOSPC ? -ENOSPC : -EAGAIN);
	a->retry_wait_ms = RETRY_MIN_MS;
	a->retry_ms = agent_now_ms() + a->retry_wait_ms;
	tell(a, "failed", why);
}

/* Nobody reads from here on, and nobody will until the gate opens. */
static void close_gate(struct agent *a)
{
	pthread_mutex_lock(&a->gate.lock);
	a->gate.closed = true;
	while (a->gate.readers)
		pthread_cond_wait(&a->gate.idle, &a->gate.lock);
	pthread_mutex_unlock(&a->gate.lock);
}

static void open_gate(struct agent *a)
{
	pthread_mutex_lock(&a->gate.lock);
	a->gate.closed = false;
	pthread_mutex_unlock(&a->gate.lock);
}

int agent_store_reopen(struct agent *a)
{
	struct err err = ERR_INIT;
	bool damaged;
	int r;

	/* With its ballast given back a full disk has room for this; but as
	 * long as nothing can be written, the store that we have can at least
	 * be read. */
	store_dir_ballast_drop(a->dir);
	r = store_dir_probe(a->dir);
	if (r == 0) {
		close_gate(a);
		damaged = a->store && store_is_damaged(a->store);
		store_close(a->store);
		a->store = NULL;
		r = open_store(a, damaged, &err);
		if (r == 0)
			r = make_engine(a, &err);
		open_gate(a);
	}
	if (r == 0) {
		(void)store_dir_ballast_make(a->dir);
		log_print(LOG_NOTICE, "the store is open again");
		return 0;
	}
	if (r == -ENOSPC)
		atomic_store(&a->ailing, -ENOSPC);
	if (a->retry_wait_ms < RETRY_MAX_MS)
		a->retry_wait_ms *= 2;
	a->retry_ms = agent_now_ms() + a->retry_wait_ms;
	return r;
}

static void write_fence(struct agent *a)
{
	const struct store_fence f = {a->store_id, a->synced_seq};

	/* Where it cannot be written, the disk says so to others soon. */
	(void)store_fence_write(a->dir, &f);
	a->fence_seq = f.seq;
	a->fence_ms = agent_now_ms();
	a->fence_commits = 0;
}

void agent_store_fence(struct agent *a)
{
	uint64_t due = a->fence_ms + FENCE_MS;

	if (a->update.durable) {
		a->synced_seq = store_seq(a->store);
		a->fence_commits++;
	}
	if (a->synced_seq <= a->fence_seq)
		return;
	if (a->fence_commits >= FENCE_COMMITS || agent_now_ms() >= due)
		write_fence(a);
	else if (due < a->next_ms)
		a->next_ms = due;
}

void agent_store_close(struct agent *a)
{
	if (a->engine && a->synced_seq > a->fence_seq)
		write_fence(a);
	ch_engine_free(a->engine);
	a->engine = NULL;
	store_close(a->store);
	a->store = NULL;
}
