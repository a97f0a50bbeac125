/* story.c -- what a story about the engine is told with; see story.h. */
#include "tests/sim/story.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct world *boot_with(const struct world_options *o)
{
	struct world *w = world_new(o);

	world_run(w, 3000);
	return w;
}

struct world *boot(size_t n_sites)
{
	const struct world_options o = {.seed = 7, .n_sites = n_sites};

	return boot_with(&o);
}

const char *name_of(const struct world *w, size_t site)
{
	return w->site[site].name;
}

void good(struct world *w)
{
	if (!w->failed)
		return;
	world_print_trace(w, 40);
	fail_msg("%s", w->why);
}

/* The end of a story. */
void end(struct world *w)
{
	if (!world_until(w, judge_is_quiet, NULL, 300000))
		judge_unrest(w);
	if (!w->failed)
		judge_all(w);
	good(w);
	world_free(w);
}

static bool is_answered(struct world *w, void *arg)
{
	return world_answer(w, *(uint64_t *)arg)->done;
}

int result(struct world *w, uint64_t token)
{
	bool answered = world_until(w, is_answered, &token, 100000);

	good(w);
	assert_true(answered);
	return world_answer(w, token)->err;
}

int op(struct world *w, size_t site, struct ch_submit *c)
{
	c->user = ch_str("ann");
	return result(w, world_submit(w, site, c));
}

int make(struct world *w, size_t site, const char *name)
{
	struct ch_submit c = {.op = CH_MKDIR, .name = ch_str(name)};

	c.mode = 0755;
	return op(w, site, &c);
}

int unmake(struct world *w, size_t site, const char *name, uint64_t group)
{
	struct ch_submit c = {.op = CH_RMDIR, .name = ch_str(name)};

	c.group_id = group;
	return op(w, site, &c);
}

int move(struct world *w, size_t site, const char *name, const char *to)
{
	struct ch_submit c = {.op = CH_RENAME, .name = ch_str(name)};

	c.to = ch_str(to);
	return op(w, site, &c);
}

int add(struct world *w, size_t site, const char *name, const char *of)
{
	struct ch_submit c = {.op = CH_SITE_ADD, .name = ch_str(name)};

	c.site = ch_str(of);
	return op(w, site, &c);
}

int withdraw(struct world *w, size_t site, const char *name, const char *of,
	     uint64_t group)
{
	struct ch_submit c = {.op = CH_SITE_DEL, .name = ch_str(name)};

	c.site = ch_str(of);
	c.group_id = group;
	return op(w, site, &c);
}

/* What a file's writer has when it opens the file. */
void open_file(struct world *w, size_t site, const char *name,
	       enum ch_file file, struct strbuf *context)
{
	struct view v = site_view(&w->site[site]);

	strbuf_init(context);
	assert_int_equal(
		view_context(&v, ch_str(name), file, ch_str(""), context), 0);
}

/* Write, with what was seen at open (released); NULL: open it now. */
int put(struct world *w, size_t site, const char *name, enum ch_file file,
	const char *of, struct ch_bytes body, struct strbuf *seen)
{
	static const char *const drivers[] = {"directory", "other"};
	struct ch_submit c = {.op = CH_WRITE, .name = ch_str(name)};
	struct view v = site_view(&w->site[site]);
	struct strbuf now = STRBUF_INIT;
	struct err err = ERR_INIT;
	int rc;

	if (!seen) {
		seen = &now;
		assert_int_equal(
			view_context(&v, ch_str(name), file, ch_str(of), seen),
			0);
	}
	c.file = file;
	c.site = ch_str(of);
	c.context = strbuf_bytes(seen);
	c.body = body;
	rc = view_prepare(&v, c.name, file, c.site, body, drivers, 2,
			  &c.prepared, &err);
	if (rc == 0)
		rc = op(w, site, &c);
	strbuf_release(seen);
	return rc;
}

int spec(struct world *w, size_t site, const char *name, const char *text)
{
	return put(w, site, name, CH_FILE_SPEC, "", ch_str(text), NULL);
}

int sites(struct world *w, size_t site, const char *name, const char *text)
{
	return put(w, site, name, CH_FILE_SITES, "", ch_str(text), NULL);
}

bool shows(struct world *w, void *arg)
{
	const struct look *l = arg;
	struct view v = site_view(&w->site[l->at]);
	struct strbuf sb = STRBUF_INIT;
	int rc = view_content(&v, l->file, ch_str(l->name), ch_str(l->site),
			      &sb, NULL);
	bool is = l->want ? rc == 0 && strcmp(sb.buf, l->want) == 0
			  : rc == -ENOENT;

	strbuf_release(&sb);
	return is;
}

void sees(struct world *w, size_t at, enum view_file file, const char *name,
	  const char *site, const char *want)
{
	struct look l = {at, file, name, site, want};
	struct view v = site_view(&w->site[at]);
	struct strbuf sb = STRBUF_INIT;

	if (world_until(w, shows, &l, 120000))
		return;
	good(w);
	(void)view_content(&v, file, ch_str(name), ch_str(site), &sb, NULL);
	world_print_trace(w, 40);
	fail_msg("%s: file %d of %s/%s: '%s', not '%s'", name_of(w, at),
		 (int)file, name, site, sb.buf, want ? want : "(none)");
}

void sees_state(struct world *w, size_t at, const char *name, size_t of,
		const char *word)
{
	char line[40];

	(void)snprintf(line, sizeof(line), "%s\n", word);
	sees(w, at, VIEW_SITE_STATE, name, name_of(w, of), line);
}

void sees_heart(struct world *w, size_t at, size_t of, const char *word)
{
	char line[40];

	(void)snprintf(line, sizeof(line), "%s\n", word);
	sees(w, at, VIEW_MEMBER_HEARTBEAT, "", name_of(w, of), line);
}

/* What is on a platform; NULL: nothing. */
void has(struct world *w, size_t site, const char *driver, const char *name,
	 const char *want)
{
	struct thing *t = platform_find(&w->site[site], driver, name);

	if (!t && !want)
		return;
	if (t && want && t->len == strlen(want) &&
	    memcmp(t->bytes, want, t->len) == 0)
		return;
	world_print_trace(w, 40);
	fail_msg("%s: on the platform is '%s', not '%s'", name_of(w, site),
		 t ? t->bytes : "(nothing)", want ? want : "(nothing)");
}

static int last_trash(void *arg, struct ch_bytes name,
		      const struct view_resource *info)
{
	char *to = arg;

	(void)info;
	assert_true(name.len < 100);
	memcpy(to, name.p, name.len);
	to[name.len] = '\0';
	return 0;
}

const char *trash(struct world *w, size_t at, char name[100])
{
	struct view v = site_view(&w->site[at]);

	name[0] = '\0';
	assert_int_equal(view_trashes(&v, last_trash, name), 0);
	return name;
}

uint32_t versions(struct world *w, size_t at, const char *name)
{
	struct view v = site_view(&w->site[at]);
	struct view_resource info = {.versions = 0};

	if (view_resource(&v, ch_str(name), &info) < 0)
		return 0;
	return info.versions;
}

/* A resource on all sites, in force. */
void everywhere(struct world *w, const char *name, const char *text)
{
	assert_int_equal(make(w, A, name), 0);
	for (size_t i = 0; i < w->o.n_sites; i++)
		assert_int_equal(add(w, A, name, name_of(w, i)), 0);
	assert_int_equal(spec(w, A, name, text), 0);
	for (size_t i = 0; i < w->o.n_sites; i++) {
		sees_state(w, A, name, i, "ready");
		has(w, i, "directory", name, text);
	}
}
