/*
 * fence.c -- how far the store had come, kept outside of the database.
 *
 * DIR/fence is two slots of 4 KiB, written in turn, each: "cheopsF1", u64
 * turn, 16 bytes of the store, u64 sequence, SHA-256 of all that. The one that
 * is whole and has the greater turn counts, so that a torn write harms none.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/wire.h"
#include "drivers/store/private.h"

#define FENCE_FILE "fence"
#define SLOT_BYTES 4096
#define WORD "cheopsF1"
#define WORD_LEN 8

static void sum(struct ch_bytes of, struct ch_hash *ret_hash)
{
	hash_sum(&of, 1, ret_hash);
}

/* 0 when that slot is whole. */
static int slot_read(int fd, int slot, uint64_t *ret_turn,
		     struct store_fence *ret_fence)
{
	char buf[WORD_LEN + 8 + 16 + 8 + 32];
	const size_t covered = sizeof(buf) - 32;
	struct ch_hash hash;
	struct wire w;

	if (pread(fd, buf, sizeof(buf), (off_t)slot * SLOT_BYTES) !=
		    (ssize_t)sizeof(buf) ||
	    memcmp(buf, WORD, WORD_LEN) != 0)
		return -EIO;
	sum((struct ch_bytes){buf, covered}, &hash);
	if (memcmp(hash.b, buf + covered, sizeof(hash.b)) != 0)
		return -EIO;
	w = wire_of((struct ch_bytes){buf + WORD_LEN, covered - WORD_LEN});
	*ret_turn = wire_u64(&w);
	wire_copy(&w, ret_fence->store.b, sizeof(ret_fence->store.b));
	ret_fence->seq = wire_u64(&w);
	return 0;
}

static int read_both(int fd, uint64_t *ret_turn, struct store_fence *ret_fence)
{
	int r = -EIO;

	*ret_turn = 0;
	for (int slot = 0; slot < 2; slot++) {
		struct store_fence fence;
		uint64_t turn;

		if (slot_read(fd, slot, &turn, &fence) < 0 ||
		    (r == 0 && turn < *ret_turn))
			continue;
		*ret_turn = turn;
		*ret_fence = fence;
		r = 0;
	}
	return r;
}

int store_fence_read(const struct store_dir *d, struct store_fence *ret_fence)
{
	uint64_t turn;
	int fd, r;

	fd = openat(store_dir_fd(d), FENCE_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? -ENOENT : -EIO;
	r = lseek(fd, 0, SEEK_END) == 0 ? -ENOENT
					: read_both(fd, &turn, ret_fence);
	close(fd);
	return r;
}

int store_fence_write(const struct store_dir *d,
		      const struct store_fence *fence)
{
	char slot[SLOT_BYTES] = WORD;
	struct strbuf sb = STRBUF_INIT;
	struct store_fence old;
	struct ch_hash hash;
	uint64_t turn;
	int fd, r = 0;

	fd = openat(store_dir_fd(d), FENCE_FILE,
		    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (read_both(fd, &turn, &old) < 0)
		turn = 0;
	turn++;
	strbuf_add_str(&sb, WORD);
	wire_put_u64(&sb, turn);
	wire_put_raw(&sb, fence->store.b, sizeof(fence->store.b));
	wire_put_u64(&sb, fence->seq);
	sum(strbuf_bytes(&sb), &hash);
	wire_put_raw(&sb, hash.b, sizeof(hash.b));
	r = strbuf_error(&sb);
	if (r == 0) {
		memcpy(slot, sb.buf, sb.len);
		errno = ENOSPC; /* What a write that did a part meets next. */
		if (pwrite(fd, slot, sizeof(slot),
			   (off_t)(turn % 2) * SLOT_BYTES) !=
			    (ssize_t)sizeof(slot) ||
		    fdatasync(fd) < 0)
			r = -errno;
	}
	strbuf_release(&sb);
	close(fd);
	return r;
}
