/*
 * events.c -- see events.h.
 *
 * Lines stand in a ring of pointers, each with its number and its absolute
 * offset; both only grow, so a place is found by bisection. A number that is
 * missing between two lines (no memory, or dropped from the ring) is what a
 * reader is told of as lost.
 */
#include "fs/events.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/name.h"
#include "core/strbuf.h"

struct line {
	uint64_t seq;
	uint64_t at; /* Absolute offset of its first byte. */
	size_t len;
	char text[];
};

struct events {
	pthread_mutex_t lock;
	size_t len_max, len;
	struct line **ring; /* n lines from first on, cap a power of two. */
	size_t cap, first, n;
	uint64_t seq, size, ms; /* Of the last line. */
};

struct events *events_new(size_t len_max)
{
	struct events *ev;

	ev = calloc(1, sizeof(*ev));
	if (!ev)
		return NULL;
	ev->cap = 64;
	ev->ring = calloc(ev->cap, sizeof(*ev->ring));
	if (!ev->ring || pthread_mutex_init(&ev->lock, NULL) != 0) {
		free(ev->ring);
		free(ev);
		return NULL;
	}
	ev->len_max = len_max;
	return ev;
}

static struct line *line_at(const struct events *ev, size_t i)
{
	return ev->ring[(ev->first + i) & (ev->cap - 1)];
}

static void drop_oldest(struct events *ev)
{
	struct line *l = line_at(ev, 0);

	ev->len -= l->len;
	ev->first = (ev->first + 1) & (ev->cap - 1);
	ev->n--;
	free(l);
}

void events_free(struct events *ev)
{
	if (!ev)
		return;
	while (ev->n > 0)
		drop_oldest(ev);
	pthread_mutex_destroy(&ev->lock);
	free(ev->ring);
	free(ev);
}

static void add_time(struct strbuf *sb, uint64_t ms)
{
	time_t s = (time_t)(ms / 1000);
	char text[32];
	struct tm tm;

	if (!gmtime_r(&s, &tm) ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		text[0] = '\0';
	strbuf_addf(sb, "%s.%03uZ", text, (unsigned int)(ms % 1000));
}

static size_t utf8_len(unsigned char c)
{
	return c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* A JSON string; bytes that are no UTF-8 become U+FFFD. */
static void add_string(struct strbuf *sb, const char *s)
{
	size_t len = strlen(s), i = 0;

	strbuf_add_char(sb, '"');
	while (i < len) {
		unsigned char c = (unsigned char)s[i];
		size_t more = c < 0x80 ? 1 : utf8_len(c);

		if (c == '"' || c == '\\') {
			strbuf_addf(sb, "\\%c", c);
		} else if (c < 0x20 || c == 0x7f) {
			strbuf_addf(sb, "\\u%04x", c);
		} else if (more <= len - i &&
			   name_is_text((struct ch_bytes){s + i, more})) {
			strbuf_add(sb, s + i, more);
		} else {
			strbuf_add_str(sb, "\xef\xbf\xbd");
			more = 1;
		}
		i += more;
	}
	strbuf_add_char(sb, '"');
}

static void add_field(struct strbuf *sb, const char *key, const char *value)
{
	if (!value || !value[0])
		return;
	strbuf_addf(sb, ",\"%s\":", key);
	add_string(sb, value);
}

static void line_text(struct strbuf *sb, uint64_t seq,
		      const struct ch_notice *n)
{
	strbuf_addf(sb, "{\"seq\":%llu,\"time\":\"", (unsigned long long)seq);
	add_time(sb, n->wall_ms);
	strbuf_add_char(sb, '"');
	add_field(sb, "event", n->event);
	add_field(sb, "resource", n->resource);
	add_field(sb, "site", n->site);
	add_field(sb, "version", n->version);
	add_field(sb, "user", n->user);
	add_field(sb, "message", n->message);
	strbuf_add_str(sb, "}\n");
}

static bool ring_grow(struct events *ev)
{
	struct line **ring;

	ring = calloc(ev->cap * 2, sizeof(struct line *));
	if (!ring)
		return false;
	for (size_t i = 0; i < ev->n; i++)
		ring[i] = line_at(ev, i);
	free(ev->ring);
	ev->ring = ring;
	ev->cap *= 2;
	ev->first = 0;
	return true;
}

void events_add(struct events *ev, const struct ch_notice *n)
{
	struct strbuf sb = STRBUF_INIT;
	struct line *l = NULL;

	pthread_mutex_lock(&ev->lock);
	ev->seq++;
	line_text(&sb, ev->seq, n);
	if (strbuf_error(&sb) == 0 && (ev->n < ev->cap || ring_grow(ev)))
		l = malloc(sizeof(*l) + sb.len);
	if (l) {
		l->seq = ev->seq;
		l->at = ev->size;
		l->len = sb.len;
		memcpy(l->text, sb.buf, sb.len);
		ev->ring[(ev->first + ev->n) & (ev->cap - 1)] = l;
		ev->n++;
		ev->len += l->len;
		ev->size += l->len;
		ev->ms = n->wall_ms;
		while (ev->len > ev->len_max && ev->n > 1)
			drop_oldest(ev);
	}
	pthread_mutex_unlock(&ev->lock);
	strbuf_release(&sb);
}

/* Index of the first line whose number is @seq or more; n: there is none. */
static size_t index_of_seq(const struct events *ev, uint64_t seq)
{
	size_t lo = 0, hi = ev->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (line_at(ev, mid)->seq < seq)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Put a cursor that has no place yet at the absolute offset c->at, or at the
 * oldest line when that is gone. */
static void cursor_place(const struct events *ev, struct events_cursor *c)
{
	size_t lo = 0, hi = ev->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct line *l = line_at(ev, mid);

		if (l->at + l->len <= c->at)
			lo = mid + 1;
		else
			hi = mid;
	}
	c->seq = lo < ev->n ? line_at(ev, lo)->seq : ev->seq + 1;
	c->off = 0;
	if (lo < ev->n && c->at > line_at(ev, lo)->at)
		c->off = (size_t)(c->at - line_at(ev, lo)->at);
}

/* The line that says how many were lost between c->seq and @next. */
static void cursor_lose(struct events_cursor *c, uint64_t next)
{
	struct strbuf sb = STRBUF_INIT, why = STRBUF_INIT;
	struct ch_notice n = {.event = "lost"};
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	n.wall_ms = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
	strbuf_addf(&why, "%llu events are no longer kept",
		    (unsigned long long)(next - c->seq));
	n.message = why.buf;
	if (c->off > 0)
		strbuf_add_char(&sb, '\n'); /* Ends the line it was in. */
	line_text(&sb, next - 1, &n);
	c->lost_len = sb.len < sizeof(c->lost) ? sb.len : 0;
	memcpy(c->lost, sb.buf, c->lost_len);
	c->seq = next;
	c->off = 0;
	strbuf_release(&sb);
	strbuf_release(&why);
}

static size_t take(struct events_cursor *c, const char *from, size_t from_len,
		   char *buf, size_t len)
{
	size_t n = from_len - c->off;

	if (n > len)
		n = len;
	memcpy(buf, from + c->off, n);
	c->off += n;
	c->at += n;
	return n;
}

size_t events_read(struct events *ev, struct events_cursor *cursor, char *buf,
		   size_t len)
{
	size_t done = 0, i;

	pthread_mutex_lock(&ev->lock);
	if (cursor->seq == 0)
		cursor_place(ev, cursor);
	i = index_of_seq(ev, cursor->seq);
	while (done < len) {
		const struct line *l;

		if (cursor->lost_len > 0) {
			done += take(cursor, cursor->lost, cursor->lost_len,
				     buf + done, len - done);
			if (cursor->off < cursor->lost_len)
				break;
			cursor->lost_len = 0;
			cursor->off = 0;
			continue;
		}
		if (i == ev->n) {
			if (cursor->seq <= ev->seq)
				cursor_lose(cursor, ev->seq + 1);
			if (cursor->lost_len == 0)
				break;
			continue;
		}
		l = line_at(ev, i);
		if (l->seq > cursor->seq) {
			cursor_lose(cursor, l->seq);
			continue;
		}
		done += take(cursor, l->text, l->len, buf + done, len - done);
		if (cursor->off < l->len)
			break;
		cursor->seq = l->seq + 1;
		cursor->off = 0;
		i++;
	}
	pthread_mutex_unlock(&ev->lock);
	return done;
}

uint64_t events_size(struct events *ev, uint64_t *ret_ms)
{
	uint64_t size;

	pthread_mutex_lock(&ev->lock);
	size = ev->size;
	if (ret_ms)
		*ret_ms = ev->ms;
	pthread_mutex_unlock(&ev->lock);
	return size;
}
