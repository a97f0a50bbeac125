/*
 * handle.h -- open files.
 *
 * A reader has a snapshot, refreshed as fuse.md 0.2 says. A writer has a
 * buffer: nothing is changed before its commit, which is one version.
 *
 *   H1  buf is what the file will be; with `append`, what will be added to it.
 *   H2  dirty: buf has bytes that no commit under way or done has.
 *   H3  After EFBIG, or once a writer was killed, a handle commits nothing.
 *
 * A file of one directory is committed by one append at a time, and by no
 * other commit while one appends: each adds to what the one before it made.
 */
#ifndef CHEOPS_FS_HANDLE_H
#define CHEOPS_FS_HANDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/strbuf.h"
#include "fs/events.h"
#include "fs/flush.h"
#include "fs/ops.h"

#define HANDLE_OWNERS_MAX 8

struct parked;

struct handle {
	struct list link;  /* mnt.handles, while it is open. */
	struct node *node; /* Held. */
	uint32_t refs;
	bool write, append, sink;
	bool counted; /* In n_writers of its node. */
	uint64_t append_at; /* Length at open of a spec that is appended to. */
	/* Writers. */
	struct strbuf buf, context;
	struct view_spec seen; /* Of a spec: at open ... */
	uint64_t seen_at;      /* ... in a view of that stamp. */
	const struct node_id *seen_id;
	bool dirty;
	bool failed; /* What is in buf was refused. */
	bool killed;
	bool committed; /* context is not of our last commit, but before. */
	int refused;    /* -EFBIG, from then on. */
	struct proc_then opener;
	uint64_t owners[HANDLE_OWNERS_MAX]; /* Lock owners that wrote. */
	size_t n_owners;
	size_t checked; /* Bytes that prefix checks have cost. */
	char user[64];
	/* Readers. */
	struct strbuf snap;
	bool snapped, at_end;
	uint64_t snap_at; /* The stamp of its view. */
	struct events_cursor cursor;
	/* poll() */
	struct fuse_pollhandle *ph;
	struct list poll_link; /* mnt.polled, while ph is set. */
	uint64_t meaning;      /* Of what was last read. */
};

/* Must there be a view to open a file of that kind with these flags? */
bool handle_needs_view(enum node_kind k, int flags);
/* Open @n. 0; -EACCES: read-only file; as agent_writable(); -EIO, -ENOMEM.
 * @v is read for what a writer, or who polls, sees now. */
int handle_open(struct mnt *m, const struct view *v, struct node *n, int flags,
		const struct fuse_ctx *ctx, struct handle **ret_handle,
		struct err *reterr);
struct handle *handle_ref(struct mnt *m, struct handle *h);
void handle_unref(struct mnt *m, struct handle *h);
/* No longer open: poll() wakes nobody, and it is off its node's list. */
void handle_close(struct mnt *m, struct handle *h);

/* What poll() answers now; @ph, unless NULL, is woken by the notifier. */
unsigned int handle_poll(struct mnt *m, struct handle *h,
			 struct fuse_pollhandle *ph);

/* Bytes at @off into @ret_bytes (borrowed until the next call). */
int handle_read(struct mnt *m, struct handle *h, size_t size, off_t off,
		struct ch_bytes *ret_bytes);
int handle_write(struct mnt *m, struct handle *h, const char *p, size_t len,
		 off_t off, uint64_t lock_owner, struct err *reterr);
int handle_truncate(struct mnt *m, struct handle *h, off_t size);
/* The same of a scratch file that is not open. */
int scratch_truncate(struct mnt *m, struct node *n, off_t size);

/* The scratch file @n has become a file of the tree: what descriptors that are
 * still open write from now on is meant for that. @context: what they have seen
 * of it; NULL: nothing is committed. With the lock held. */
void handle_follow_rename(struct mnt *m, struct node *n,
			  const struct strbuf *context);

/* Close what is still open when the mount is gone. */
void handles_release(struct mnt *m);

/* A commit is done, and its writer has seen this with it; empty: what there
 * is then is taken for it. With the lock held. */
void handle_take_context(struct handle *h, const struct strbuf *context);

/* Commit what is in the buffer and answer @req (NULL: nobody) with what came
 * of it. The caller has seen that it is dirty. */
void handle_commit(struct mnt *m, struct handle *h, fuse_req_t req);

/* Commit @body as the content of the file @target, which takes users' bytes;
 * @p says who waits. @context as view_context(), or empty. */
void handle_commit_body(struct mnt *m, const struct node_id *target,
			struct ch_bytes body, struct ch_bytes context,
			const char *user, struct parked *p);

/* The content of a writable file now (unless @ret_body is NULL), and, of one
 * moment with it, what its reader has seen. */
int handle_current(struct mnt *m, const struct node_id *id,
		   struct strbuf *ret_body, struct strbuf *ret_context);

/* What can be known of the bytes of a file before all are there. */
int handle_check_part(struct mnt *m, const struct handle *h,
		      const struct node_id *id, struct ch_bytes body,
		      struct err *reterr);

/* Whose file error hears of a failure with that file: a resource's name, or
 * MEMBERS_ERROR; NULL: nobody's. */
const char *handle_error_of(const struct node_id *id);
/* Path of a file below its resource's directory, for its file error. */
void handle_label(const struct node_id *id, struct strbuf *out);

#endif
