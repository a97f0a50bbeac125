/* view_status.c -- status and state, of resources, sites and members. */
#include <errno.h>
#include <string.h>

#include "core/mem.h"
#include "core/report.h"
#include "core/text.h"
#include "core/view_private.h"
#include "core/wire.h"

/* All that is shown of one site of one resource. */
struct row {
	struct strbuf name;
	enum state state, last_state;
	enum ch_heartbeat heartbeat;
	bool has_last_state;
	uint64_t heard_ms;
	struct version desired, applied, healthy;
	uint32_t tries;
	uint64_t next_try_ms, age_ms;
	struct strbuf message;
	struct strbuf buf;      /* Of the report. */
	struct ch_bytes object; /* In buf: the name it has there; or empty. */
};

static const char *const heartbeat_word[] = {"alive", "suspect", "dead",
					     "left"};

static void row_release(struct row *row)
{
	strbuf_release(&row->name);
	strbuf_release(&row->message);
	strbuf_release(&row->buf);
}

/* What is known of a site's heartbeat here, now. */
static int live_of(const struct view *v, const struct ch_id *site,
		   struct strbuf *buf, struct stored_live *ret)
{
	struct strbuf key = STRBUF_INIT;
	int rc;

	*ret = (struct stored_live){.heartbeat = HB_DEAD};
	if (id_cmp(site, &v->self) == 0) {
		ret->heartbeat = HB_ALIVE;
		ret->heard_ms = v->wall_ms;
		return 0;
	}
	key_live(&key, site);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = v->store->get(v->store, COL_LIVE, strbuf_bytes(&key), buf);
	if (rc == 0 && (stored_live_decode(strbuf_bytes(buf), ret) < 0 ||
			ret->heartbeat > HB_LEFT))
		rc = -EIO;
	strbuf_release(&key);
	return rc == -ENOENT ? 0 : rc;
}

static int report_of(const struct view *v, struct ch_bytes name,
		     const struct ch_id *site, struct strbuf *buf,
		     struct report *ret, uint64_t *ret_received_ms)
{
	struct strbuf key = STRBUF_INIT;
	struct wire w;
	int rc;

	key_report(&key, name, site);
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = v->store->get(v->store, COL_REPORT, strbuf_bytes(&key),
				   buf);
	strbuf_release(&key);
	if (rc < 0)
		return rc;
	w = wire_of(strbuf_bytes(buf));
	(void)wire_u64(&w);
	*ret_received_ms = wire_u64(&w);
	return report_decode((struct ch_bytes){w.p, w.len}, ret) < 0 ? -EIO : 0;
}

/* What the site itself says, held against what is desired of it now. */
static void judge(const struct record *r, bool in, const struct report *report,
		  struct row *row)
{
	bool current = report && version_equal(&report->desired, &row->desired);
	bool none = ch_bytes_equal(resource_driver(r), ch_str("none"));

	row->state = STATE_IDLE;
	if (!in) {
		row->state = STATE_REMOVING;
		if (report && report->state == STATE_HELD)
			row->state = STATE_HELD;
		if (report && (report->state == STATE_REMOVING ||
			       report->state == STATE_HELD))
			strbuf_add(&row->message, report->message.p,
				   report->message.len);
		return;
	}
	if (version_is_zero(&row->desired) || none) {
		if (report && report->state == STATE_IDLE)
			strbuf_add(&row->message, report->message.p,
				   report->message.len);
		return;
	}
	if (!current) {
		row->state = STATE_PENDING;
		strbuf_add_str(&row->message,
			       "has not confirmed this version yet");
		return;
	}
	row->state = (enum state)report->state;
	if (row->state == STATE_READY &&
	    !version_equal(&report->healthy, &row->desired))
		row->state = STATE_APPLYING;
	if (row->state == STATE_IDLE || row->state == STATE_REMOVING)
		row->state = STATE_PENDING;
	row->tries = report->tries;
	row->next_try_ms = report->next_try_ms;
	strbuf_add(&row->message, report->message.p, report->message.len);
}

/* Where a site listens; "": it only dials out. What is not known is NULL. */
static int address_of(const struct view *v, const struct ch_id *site,
		      struct strbuf *buf, const char **ret)
{
	struct stored_site s;
	int rc;

	*ret = NULL;
	strbuf_reset(buf);
	rc = view_site_stored(v, site, buf, &s);
	if (rc == 0)
		*ret = s.address.len ? s.address.p : "";
	return rc == -ENOENT ? 0 : rc;
}

struct listeners {
	const struct view *v;
	bool any;
};

static int see_listener(void *arg, const struct resource_site *s)
{
	struct strbuf buf = STRBUF_INIT;
	struct listeners *l = arg;
	const char *address;
	int rc = address_of(l->v, &s->id, &buf, &address);

	/* What is not known may listen. */
	l->any |= rc == 0 && (!address || *address);
	strbuf_release(&buf);
	return rc;
}

/* Neither we nor @site listen: we never speak to each other. */
enum apart { TOGETHER, APART, APART_AND_ALONE /* No holder listens. */ };

static int how_apart(const struct view *v, const struct record *r,
		     const struct ch_id *site, enum apart *ret)
{
	struct listeners l = {.v = v};
	struct strbuf buf = STRBUF_INIT;
	const char *ours, *theirs = NULL;
	int rc = address_of(v, &v->self, &buf, &ours);
	bool apart = rc == 0 && ours && !*ours && id_cmp(site, &v->self) != 0;

	if (apart)
		rc = address_of(v, site, &buf, &theirs);
	apart = apart && rc == 0 && theirs && !*theirs;
	if (apart)
		rc = resource_sites(r, see_listener, &l);
	*ret = !apart ? TOGETHER : l.any ? APART : APART_AND_ALONE;
	strbuf_release(&buf);
	return rc;
}

static int say_apart(const struct view *v, struct row *row)
{
	struct strbuf buf = STRBUF_INIT;
	struct stored_site s;
	int rc = view_site_stored(v, &v->self, &buf, &s);

	if (rc == 0)
		strbuf_addf(&row->message, "neither %.*s nor %s listens",
			    (int)s.name.len, (const char *)s.name.p,
			    row->name.buf);
	strbuf_release(&buf);
	return rc == -ENOENT ? 0 : rc;
}

/* What stands above it: silence, and versions that contradict each other. */
static void overrule(const struct record *r, struct row *row)
{
	size_t versions = resource_conflicts(r);

	if (row->heartbeat == HB_DEAD && row->state != STATE_UNREACHABLE) {
		row->last_state = row->state;
		row->has_last_state = true;
		row->state = STATE_UNREACHABLE;
		strbuf_reset(&row->message);
		strbuf_add_str(&row->message, "not heard since ");
		if (row->heard_ms)
			text_time(row->heard_ms, &row->message);
		else
			strbuf_add_str(&row->message, "ever");
	}
	if (versions > 1) {
		if (!row->has_last_state) {
			row->last_state = row->state;
			row->has_last_state = true;
		}
		row->state = STATE_CONFLICT;
		strbuf_reset(&row->message);
		strbuf_addf(&row->message,
			    "%zu concurrent versions: see conflicts/",
			    versions);
	}
}

static int row_make(const struct view *v, const struct record *r,
		    const struct resource_site *s, struct row *ret)
{
	struct strbuf live_buf = STRBUF_INIT;
	struct row row = {.tries = 0};
	struct stored_live live;
	struct report report;
	uint64_t received_ms = 0;
	enum apart apart = TOGETHER;
	struct desired d;
	bool has;
	int rc;

	strbuf_init(&row.name);
	strbuf_init(&row.message);
	strbuf_init(&row.buf);
	view_site_name(v, s, &row.name);
	rc = live_of(v, &s->id, &live_buf, &live);
	strbuf_release(&live_buf); /* Of its texts nothing is needed. */
	if (rc == 0)
		rc = report_of(v, r->name, &s->id, &row.buf, &report,
			       &received_ms);
	has = rc == 0;
	if (rc == -ENOENT)
		rc = 0;
	if (rc == 0)
		rc = how_apart(v, r, &s->id, &apart);
	if (rc < 0) {
		row_release(&row);
		return rc;
	}
	row.heartbeat = (enum ch_heartbeat)live.heartbeat;
	row.heard_ms = live.heard_ms;
	resource_desired(r, &s->id, &d);
	row.desired = (struct version){d.vid, d.patch_vid};
	if (has) {
		row.applied = report.applied;
		row.healthy = report.healthy;
		row.object = report_object(&report);
		row.age_ms = v->wall_ms > received_ms
				     ? v->wall_ms - received_ms
				     : 0;
	}
	judge(r, s->in, has ? &report : NULL, &row);
	if (!row.message.len && r->clock.n >= VV_WARN)
		strbuf_addf(&row.message,
			    "written in %zu lives of its sites, of %d at most",
			    r->clock.n, VV_WRITE_MAX);
	if (apart == APART_AND_ALONE) {
		row.last_state = row.state;
		row.has_last_state = true;
		row.state = STATE_UNREACHABLE;
	}
	if (apart == APART_AND_ALONE ||
	    (apart == APART && row.state == STATE_PENDING)) {
		strbuf_reset(&row.message);
		if (apart == APART)
			strbuf_add_str(&row.message, "its word does not get "
						     "here: ");
		rc = say_apart(v, &row);
	}
	overrule(r, &row);
	if (rc == 0 && (row.name.bad || row.message.bad))
		rc = -ENOMEM;
	if (rc < 0)
		row_release(&row);
	else
		*ret = row;
	return rc;
}

struct rows {
	const struct view *v;
	const struct record *r;
	struct row *v_rows;
	size_t n, alloc;
};

static int collect_row(void *arg, const struct resource_site *s)
{
	struct rows *rows = arg;
	struct row row;
	size_t i;
	int rc;

	if (!s->in && !s->out)
		return 0;
	if (rows->n == rows->alloc) {
		size_t alloc = rows->alloc ? 2 * rows->alloc : 8;
		struct row *p = mem_realloc(rows->v_rows, alloc * sizeof(*p));

		if (!p)
			return -ENOMEM;
		rows->v_rows = p;
		rows->alloc = alloc;
	}
	rc = row_make(rows->v, rows->r, s, &row);
	if (rc < 0)
		return rc;
	for (i = rows->n; i && strcmp(rows->v_rows[i - 1].name.buf,
				      row.name.buf) > 0;
	     i--)
		rows->v_rows[i] = rows->v_rows[i - 1];
	rows->v_rows[i] = row;
	rows->n++;
	return 0;
}

static void rows_release(struct rows *rows)
{
	for (size_t i = 0; i < rows->n; i++)
		row_release(&rows->v_rows[i]);
	mem_free(rows->v_rows);
}

enum { COLUMNS = 9 };

static void cells(const struct row *row, struct strbuf cell[COLUMNS])
{
	for (size_t i = 0; i < COLUMNS; i++)
		strbuf_reset(&cell[i]);
	strbuf_add(&cell[0], row->name.buf, row->name.len);
	strbuf_add_str(&cell[1], state_word(row->state));
	strbuf_add_str(&cell[2], heartbeat_word[row->heartbeat]);
	text_time(row->heard_ms, &cell[3]);
	version_to_text(&row->desired, &cell[4]);
	version_to_text(&row->applied, &cell[5]);
	version_to_text(&row->healthy, &cell[6]);
	if (row->buf.len)
		text_age(row->age_ms, &cell[7]);
	else
		strbuf_add_char(&cell[7], '-');
	if (row->message.len)
		strbuf_add(&cell[8], row->message.buf, row->message.len);
	else
		strbuf_add_char(&cell[8], '-');
}

static void pad(struct strbuf *out, const char *text, size_t width)
{
	size_t n = strlen(text);

	strbuf_add_str(out, text);
	for (; n < width; n++)
		strbuf_add_char(out, ' ');
}

int view_status_text(const struct view *v, const struct record *r,
		     struct strbuf *out)
{
	static const char *const head[COLUMNS] = {
		"site",	   "state",   "heartbeat", "last-heard", "desired",
		"applied", "healthy", "age",	   "message"};
	struct rows rows = {.v = v, .r = r};
	struct strbuf cell[COLUMNS];
	size_t width[COLUMNS];
	int rc = resource_sites(r, collect_row, &rows);

	for (size_t i = 0; i < COLUMNS; i++) {
		strbuf_init(&cell[i]);
		width[i] = strlen(head[i]);
	}
	for (size_t k = 0; rc == 0 && k < rows.n; k++) {
		cells(&rows.v_rows[k], cell);
		for (size_t i = 0; i < COLUMNS; i++)
			if (cell[i].len > width[i])
				width[i] = cell[i].len;
	}
	for (size_t i = 0; i < COLUMNS; i++)
		pad(out, head[i], i + 1 < COLUMNS ? width[i] + 2 : 0);
	strbuf_add_char(out, '\n');
	for (size_t k = 0; rc == 0 && k < rows.n; k++) {
		cells(&rows.v_rows[k], cell);
		for (size_t i = 0; i < COLUMNS; i++)
			pad(out, cell[i].buf,
			    i + 1 < COLUMNS ? width[i] + 2 : 0);
		strbuf_add_char(out, '\n');
	}
	for (size_t i = 0; i < COLUMNS; i++) {
		out->bad |= cell[i].bad;
		strbuf_release(&cell[i]);
	}
	rows_release(&rows);
	return rc;
}

int view_state_text(const struct view *v, const struct record *r,
		    struct strbuf *out)
{
	struct rows rows = {.v = v, .r = r};
	enum state worst = STATE_IDLE;
	int rc = resource_sites(r, collect_row, &rows);

	if (resource_conflicts(r) > 1)
		worst = STATE_CONFLICT;
	for (size_t i = 0; i < rows.n; i++)
		if (rows.v_rows[i].state < worst)
			worst = rows.v_rows[i].state;
	strbuf_addf(out, "%s\n", state_word(worst));
	rows_release(&rows);
	return rc;
}

struct one {
	const struct ch_id *id;
	struct resource_site s;
	bool found;
};

static int find_one(void *arg, const struct resource_site *s)
{
	struct one *one = arg;

	if (id_cmp(&s->id, one->id) != 0)
		return 0;
	one->s = *s;
	one->found = true;
	return 1;
}

int view_site_status_text(const struct view *v, const struct record *r,
			  const struct ch_id *site, bool only_state,
			  struct strbuf *out)
{
	struct one one = {.id = site};
	struct row row;
	int rc = resource_sites(r, find_one, &one);

	if (rc < 0)
		return rc;
	if (!one.found)
		return -ENOENT;
	rc = row_make(v, r, &one.s, &row);
	if (rc < 0)
		return rc;
	if (only_state) {
		strbuf_addf(out, "%s\n", state_word(row.state));
		row_release(&row);
		return 0;
	}
	strbuf_addf(out, "state: %s\nheartbeat: %s\nlast-heard: ",
		    state_word(row.state), heartbeat_word[row.heartbeat]);
	text_time(row.heard_ms, out);
	strbuf_add_str(out, "\ndesired: ");
	version_to_text(&row.desired, out);
	strbuf_add_str(out, "\napplied: ");
	version_to_text(&row.applied, out);
	strbuf_add_str(out, "\nhealthy: ");
	version_to_text(&row.healthy, out);
	strbuf_addf(out, "\ntries: %u\nnext-try: ", (unsigned)row.tries);
	text_time(row.next_try_ms, out);
	strbuf_addf(out, "\nlast-state: %s\nmessage: %s\n",
		    row.has_last_state ? state_word(row.last_state)
				       : state_word(row.state),
		    row.message.len ? row.message.buf : "-");
	if (row.object.len)
		strbuf_addf(out, "object: %.*s\n", (int)row.object.len,
			    (const char *)row.object.p);
	row_release(&row);
	return 0;
}

static int resources_of(const struct view *v, const struct ch_id *site,
			uint64_t *ret_n)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT;
	int rc;

	*ret_n = 0;
	strbuf_add_str(&key, "n/");
	strbuf_add(&key, site->b, sizeof(site->b));
	rc = strbuf_error(&key);
	if (rc == 0)
		rc = v->store->get(v->store, COL_SYS, strbuf_bytes(&key),
				   &value);
	if (rc == 0) {
		struct wire w = wire_of(strbuf_bytes(&value));

		*ret_n = wire_u64(&w);
	}
	strbuf_release(&value);
	strbuf_release(&key);
	return rc == -ENOENT ? 0 : rc;
}

/* Why it is not heard, or cannot be dialled; one line. */
static void member_message(bool met, const struct stored_live *live,
			   struct strbuf *out)
{
	struct ch_bytes why = live->why, address = live->address;

	if (!met)
		strbuf_addf(out, "never heard from; dialling %.*s%s",
			    (int)address.len, (const char *)address.p,
			    why.len ? ": " : "");
	if (why.len)
		strbuf_add(out, why.p, why.len);
	else if (met)
		strbuf_add_char(out, '-');
	strbuf_add_char(out, '\n');
}

int view_member_text(const struct view *v, enum view_file file,
		     const struct ch_id *site, struct ch_bytes name,
		     struct strbuf *out)
{
	struct strbuf buf = STRBUF_INIT, live_buf = STRBUF_INIT;
	struct stored_site s = {.epoch = 0};
	bool self = site && id_cmp(site, &v->self) == 0;
	struct stored_live live;
	uint64_t n = 0;
	int rc = site ? live_of(v, site, &live_buf, &live)
		      : view_unmet(v, name, &live_buf, &live);

	if (rc == 0 && site)
		rc = view_site_stored(v, site, &buf, &s);
	else if (rc == 0)
		s.address = live.address;
	if (rc == 0 && site)
		rc = resources_of(v, site, &n);
	if (rc < 0)
		goto out;
	switch (file) {
	case VIEW_MEMBER_HEARTBEAT:
		strbuf_addf(out, "%s\n", heartbeat_word[live.heartbeat]);
		break;
	case VIEW_MEMBER_ADDRESS:
		if (s.address.len)
			strbuf_addf(out, "%.*s\n", (int)s.address.len,
				    (const char *)s.address.p);
		break;
	case VIEW_MEMBER_LABELS:
		strbuf_add(out, s.labels.p, s.labels.len);
		if (s.labels.len && out->buf[out->len - 1] != '\n')
			strbuf_add_char(out, '\n');
		break;
	default:
		strbuf_addf(out, "heartbeat: %s\nlast-heard: ",
			    heartbeat_word[live.heartbeat]);
		text_time(live.heard_ms, out);
		strbuf_add_str(out, "\nrtt-ms: ");
		if (live.rtt_known && !self)
			strbuf_addf(out, "%u", (unsigned)live.rtt_ms);
		else
			strbuf_add_char(out, self ? '0' : '-');
		strbuf_addf(out, "\nbacklog: %llu\naddress: %.*s\nuuid: ",
			    (unsigned long long)live.backlog,
			    s.address.len ? (int)s.address.len : 1,
			    s.address.len ? (const char *)s.address.p : "-");
		if (site)
			id_to_text(site, out);
		else
			strbuf_add_char(out, '-');
		strbuf_addf(out,
			    "\nepoch: %u\nincarnation: %llu\nversion: %.*s\n"
			    "clock-skew-ms: ",
			    (unsigned)s.epoch,
			    (unsigned long long)s.incarnation,
			    s.version.len ? (int)s.version.len : 1,
			    s.version.len ? (const char *)s.version.p : "-");
		if (live.skew_known || self)
			strbuf_addf(out, "%lld", (long long)live.skew_ms);
		else
			strbuf_add_char(out, '-');
		strbuf_addf(out, "\nresources: %llu\ncertificate-ends: ",
			    (unsigned long long)n);
		text_time(s.not_after < UINT32_MAX * 64ull ? s.not_after * 1000
							   : 0,
			  out);
		strbuf_add_str(out, "\nmessage: ");
		member_message(site != NULL, &live, out);
		break;
	}
out:
	strbuf_release(&live_buf);
	strbuf_release(&buf);
	return rc;
}

/* Does that site say that it holds the removal? */
static bool is_held_at(const struct view *v, struct ch_bytes name,
		       const struct ch_id *site)
{
	struct strbuf buf = STRBUF_INIT;
	uint64_t received_ms;
	struct report report;
	bool held =
		report_of(v, name, site, &buf, &report, &received_ms) == 0 &&
		report.state == STATE_HELD;

	strbuf_release(&buf);
	return held;
}

int view_trash_status(const struct view *v, struct ch_bytes trash,
		      const struct stored_trash *t, struct strbuf *out)
{
	struct strbuf value = STRBUF_INIT;
	struct site_value site;
	bool have = false;
	struct record r;
	struct entry e;
	size_t pos = 0;
	int rc;

	(void)trash;
	record_init(&r);
	rc = v->store->get(v->store, COL_RECORD, t->name, &value);
	if (rc == 0) {
		struct wire w = wire_of(strbuf_bytes(&value));

		(void)wire_u64(&w);
		have = record_decode((struct ch_bytes){w.p, w.len}, &r, NULL) ==
		       0;
	}
	strbuf_release(&value);
	strbuf_addf(out, "resource: %.*s\ndeleted: ", (int)t->name.len,
		    (const char *)t->name.p);
	text_time(t->deleted_ms, out);
	strbuf_addf(out, "\nby: %.*s\nat: %.*s\nlineage: ",
		    t->user.len ? (int)t->user.len : 1,
		    t->user.len ? (const char *)t->user.p : "-",
		    (int)t->site_name.len, (const char *)t->site_name.p);
	id_to_text(&t->lineage, out);
	strbuf_add_char(out, '\n');
	while (image_next(t->image, &pos, &e) > 0) {
		struct ch_id id;
		bool owed;

		if (e.type != ENTRY_SITE || entry_site(&e, &id) < 0 ||
		    site_value_decode(e.value, &site) < 0)
			continue;
		owed = have && resource_site_out(&r, &id);
		strbuf_addf(out, "%.*s: %s\n", (int)site.name.len,
			    (const char *)site.name.p,
			    !owed                         ? "removed"
			    : is_held_at(v, t->name, &id) ? "held"
							  : "removing");
	}
	record_release(&r);
	return 0;
}
