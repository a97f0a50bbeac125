/*
 * cheops.h -- the engine: the door between core/ and the rest.
 *
 * The engine is a function from (state, event) to (state, update). Whoever
 * drives it, the agent's loop or the simulator, takes all events that wait and
 * runs a round:
 *
 *	for each event: ch_step(e, &event, u);
 *	ch_finish(e, u);
 *	store u->store as one batch, synced where u->durable says so;
 *	only then: answer, send, run, tell the kernel, as u says;
 *	ch_update_reset(u);
 *
 * The engine has no other clock than the event's, no randomness but its seed,
 * and no memory of resources: it reads them through cfg.store, and sees its
 * own changes of the round before they are stored.
 *
 * When a commit fails, or ch_step() or ch_finish() returns below zero, nothing
 * of that round may be let out: the engine ends there. It is freed, and a new
 * one (with a new epoch) is made from the store. So an update that was let out
 * is durable, but for what may be done again, and nothing that was not durable
 * was ever promised.
 *
 * Ownership: what an event points at stays the caller's. What an update points
 * at is the update's, until ch_update_reset().
 */
#ifndef CHEOPS_CORE_CHEOPS_H
#define CHEOPS_CORE_CHEOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/id.h"
#include "core/message.h"
#include "core/reader.h"

#define CH_SPEC_MAX (8u * 1024u * 1024u)
#define CH_NEVER UINT64_MAX
#define CH_BEFORE_MAX 8 /* Broken-off applies that are kept, but the last. */

struct ch_engine;

enum ch_event_type {
	CH_START,   /* First event. */
	CH_SUBMIT,  /* A user asks for something. */
	CH_INTERRUPT, /* That user no longer waits. */
	CH_QUIET,   /* Whoever made that resource has finished making it. */
	CH_RECV,    /* A site asks: a message that wants an answer. */
	CH_ANSWER,  /* A site answers what we sent. */
	CH_UNSENT,  /* ... or does not: it could not be reached. */
	CH_RAN,     /* A driver job has ended. */
	CH_CHANGED, /* Something changed on a driver's platform. */
	CH_TIMEOUT, /* next_ms has come. */
};

/* What can be asked for. Fields of struct ch_submit that an operation uses
 * stand beside it. */
enum ch_op {
	CH_MKDIR,    /* name, mode, owner, group: a new resource. -EEXIST. */
	CH_RMDIR,    /* name, group_id. -ENOENT; -ENOTEMPTY: it has sites. */
	CH_SITE_ADD, /* name, site. -ENXIO: no such site; -EEXIST. */
	CH_SITE_DEL, /* name, site, group_id. -ENOENT. */
	CH_WRITE,    /* name, file, site (patch), context, body, prepared. */
	CH_MODE,     /* name, of_spec, mode, owner, group. */
	CH_RENAME,   /* name, to. -ENOENT; -EEXIST; -EBUSY: two of one name. */
	CH_RESTORE,  /* trash, name. -EEXIST; -ENOENT. */
	CH_FORGET,   /* trash: remove it from .trash here. */
	CH_LET_GO,   /* name: the removal that is held here goes on. -ENOENT. */
	CH_KEEP,     /* name: ... is undone, everywhere. -ENOENT; -EEXIST. */
	CH_SITE_GONE, /* site: it will never be back. -ENOENT; -EBUSY. */
	CH_ADDRESS,  /* site, body: dial that site there. */
	CH_LABELS,   /* body: this site's labels. */
	CH_WAIT,     /* name, site ("": all), timeout_ms: answered when carried
		      * out; -EHOSTUNREACH, -EIO, -ETIMEDOUT. */
	CH_DISCARD,  /* name, context (of view_discard()): versions that are not
		      * shown go once grace is over. -ENOENT. */
};

enum ch_file { /* What CH_WRITE writes to. */
	CH_FILE_SPEC,
	CH_FILE_DRIVER,
	CH_FILE_SITES,
	CH_FILE_PATCH,
	CH_FILE_POLICY,
	CH_FILE_HOLD,
};

#define CH_FILES (CH_FILE_HOLD + 1)

/* What is known of a body before it is committed: view_prepare() finds out. */
struct ch_prepared {
	struct ch_hash hash;
	uint8_t syntax; /* enum doc_syntax */
	bool secret;    /* Holds a kind: Secret. */
};

struct ch_submit {
	uint64_t token; /* Comes back in the answer. Not 0. */
	enum ch_op op;
	struct ch_bytes name, site, trash, to;
	enum ch_file file;
	/* view_context() at open, or what came back of the last write since;
	 * empty: now. */
	struct ch_bytes context;
	struct ch_bytes body;
	struct ch_prepared prepared; /* SPEC and PATCH. */
	struct ch_bytes user;        /* Who does it. */
	uint32_t mode;               /* Permission bits. */
	struct ch_bytes owner, group;
	bool of_spec;
	uint64_t group_id; /* The process that removes. */
	uint32_t timeout_ms;
};

struct ch_from { /* Who a message is from: its certificate's word. */
	struct ch_id site;
	struct ch_id federation;
	struct ch_bytes name;
	uint64_t not_after; /* Seconds since 1970; 0: no certificate. */
};

struct ch_ran {
	uint64_t job;
	int err; /* 0, or below zero. */
	bool retry;
	uint32_t retry_ms;
	bool healthy, drift, nothing; /* As in platform.h. */
	struct ch_hash effective; /* APPLY: of the bytes that were handed over. */
	struct ch_bytes message;
	bool has_observed;
	struct ch_bytes observed;
};

/* clang-format off */
struct ch_event {
	uint64_t now_ms;  /* Monotonic. */
	uint64_t wall_ms; /* For people only: no rule depends on it. */
	enum ch_event_type type;
	union { /* One row per event, in the order of the enum. */
		struct ch_submit submit;
		struct { uint64_t token; } interrupt;
		struct { struct ch_bytes name; } quiet;
		struct { uint64_t token; struct ch_from from;
			 const struct ch_message *msg; } recv;
		struct { uint64_t id; struct ch_from from; uint32_t rtt_ms;
			 const struct ch_message *msg; } answer;
		struct { uint64_t id; int err; struct ch_bytes why; } unsent;
		struct ch_ran ran;
		struct { struct ch_bytes driver, name; } changed;
	} u;
};
/* clang-format on */

enum ch_channel { CH_PUSH, CH_BEAT, CH_POLL }; /* As enum net_channel. */

struct ch_send { /* To be posted to a site. */
	uint64_t id; /* Comes back in CH_ANSWER or CH_UNSENT. */
	const char *name, *address;
	enum ch_channel channel;
	uint32_t timeout_ms;
	struct ch_message msg;
	struct ch_send *next;
};

struct ch_reply { /* The answer to a CH_RECV. */
	uint64_t token;
	unsigned int status; /* HTTP's: 200, or why it is refused. */
	struct ch_message msg;
	struct ch_reply *next;
};

enum ch_verb { CH_APPLY, CH_OBSERVE, CH_WITHDRAW }; /* enum platform_verb */

struct ch_job { /* For a driver here. */
	uint64_t id;
	enum ch_verb verb;
	const char *driver;
	const char *name;     /* On the platform: the one it had at first. */
	const char *resource; /* Its name now. */
	struct ch_id lineage;
	bool owned; /* What is there under its name is ours. */
	/* APPLY: the bodies; a patch of zeros is none. view_effective() makes
	 * one of them. */
	struct ch_hash spec, patch;
	uint8_t syntax;
	struct ch_hash effective; /* OBSERVE: what should be there. */
	/* What applies of whose end nothing is known may have put there, each
	 * once; zeros among them: bytes that are not known either. */
	struct ch_hash before[CH_BEFORE_MAX + 1];
	size_t n_before;
	bool secret;
	bool take; /* APPLY: what is there and is not ours may be taken over. */
	struct ch_job *next;
};

struct ch_done { /* For who submitted. */
	uint64_t token;
	int err;
	const char *text; /* For the file error; "" when err is 0. */
	/* Of a CH_WRITE with a context: that of the writer's next one. */
	struct ch_bytes context;
	struct ch_done *next;
};

enum ch_stale_what {
	CH_STALE_CONTENT,  /* Files of @name (and of its @site) changed. */
	CH_STALE_RESOURCE, /* @name came, went, or changed mode. */
	CH_STALE_SITE,     /* @name/@site came or went. */
	CH_STALE_TRASH,    /* .trash/@name came or went. */
	CH_STALE_HELD,    /* .held/@name came or went. */
	CH_STALE_MEMBER,   /* .sites/@site changed; @added: came or went. */
};

struct ch_stale { /* For the kernel's caches and for poll(). */
	enum ch_stale_what what;
	const char *name, *site; /* "" where it does not apply. */
	bool added;
	struct ch_stale *next;
};

struct ch_notice { /* One line of .events, without seq. */
	const char *event, *resource, *site, *version, *user, *message;
	uint64_t wall_ms;
	struct ch_notice *next;
};

/* What has a first and a last. */
#define CH_LIST(type) \
	struct { \
		type *first, **last; \
		size_t n; \
	}

struct ch_update {
	uint64_t next_ms; /* Step again by then (CH_TIMEOUT). */
	struct ch_batch store; /* Atomically; COL_LIVE among it. */
	bool durable;	       /* Sync it, and with it all that came before;
				* else a crash may undo it. */
	/* Not 0: once this is stored and let out, the engine must be made anew,
	 * with an epoch of at least this. */
	uint32_t new_life;
	CH_LIST(struct ch_done) done;
	CH_LIST(struct ch_send) send;
	CH_LIST(struct ch_reply) reply;
	CH_LIST(struct ch_job) run;
	CH_LIST(struct ch_stale) stale;
	CH_LIST(struct ch_notice) notice;
	struct arena *arena; /* Holds all of the above. */
};

struct ch_peer { /* A site that the config names. */
	const char *name, *address;
};

struct ch_config {
	const struct ch_reader *store;
	struct ch_id self, federation, store_id;
	const char *name;
	const char *address; /* Where others dial us; "": only we dial. */
	const char *labels;  /* key=value lines */
	const char *version;
	uint32_t epoch, nonce; /* Stored before the engine is made. */
	uint64_t seed;
	uint32_t heartbeat_ms, grace_ms;
	const struct ch_peer *peers;
	size_t n_peers;
	const char *driver_default;
	const char *const *drivers; /* Those that this site has. */
	size_t n_drivers;
	uint64_t cert_not_after;
};

int ch_update_init(struct ch_update *u);
void ch_update_release(struct ch_update *u);
void ch_update_reset(struct ch_update *u);

/* 0, or -ENOMEM. @cfg's strings and store must outlive the engine. */
int ch_engine_new(const struct ch_config *cfg, struct ch_engine **ret_engine);
void ch_engine_free(struct ch_engine *e); /* Takes NULL. */

/* 0, -ENOMEM, or -EIO when the store cannot be read. */
int ch_step(struct ch_engine *e, const struct ch_event *ev,
	    struct ch_update *u);
int ch_finish(struct ch_engine *e, struct ch_update *u);

#endif
