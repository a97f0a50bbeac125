/*
 * story.h -- what a story about the engine is told with.
 *
 * Users act at a site, and what is then seen at another is waited for: through
 * the view, as the tree shows it, and on the platforms. Whatever does not come
 * in time fails the test, with the end of the world's trace.
 */
#ifndef CHEOPS_TESTS_SIM_STORY_H
#define CHEOPS_TESTS_SIM_STORY_H

#include "tests/sim/world.h"

#define A 0
#define B 1
#define C 2

/* A world whose sites have met. */
struct world *boot_with(const struct world_options *o);
struct world *boot(size_t n_sites);
const char *name_of(const struct world *w, size_t site);
/* Nothing has failed so far. */
void good(struct world *w);
/* The end: all becomes quiet, all that must hold does; frees @w. */
void end(struct world *w);

/* What users do at @site. 0 or the errno that they get. */
int result(struct world *w, uint64_t token);
int op(struct world *w, size_t site, struct ch_submit *c);
int make(struct world *w, size_t site, const char *name);
int unmake(struct world *w, size_t site, const char *name, uint64_t group);
int move(struct world *w, size_t site, const char *name, const char *to);
int add(struct world *w, size_t site, const char *name, const char *of);
int withdraw(struct world *w, size_t site, const char *name, const char *of,
	     uint64_t group);
/* What a file's writer has when it opens the file. */
void open_file(struct world *w, size_t site, const char *name,
	       enum ch_file file, struct strbuf *context);
/* Write, with what was seen at open (released); NULL: open it now. */
int put(struct world *w, size_t site, const char *name, enum ch_file file,
	const char *of, struct ch_bytes body, struct strbuf *seen);
int spec(struct world *w, size_t site, const char *name, const char *text);
int sites(struct world *w, size_t site, const char *name, const char *text);

/* What a file shows at a site. */
struct look {
	size_t at;
	enum view_file file;
	const char *name, *site, *want; /* NULL: the file is not there. */
};

bool shows(struct world *w, void *look);
/* It will. */
void sees(struct world *w, size_t at, enum view_file file, const char *name,
	  const char *site, const char *want);
void sees_state(struct world *w, size_t at, const char *name, size_t of,
		const char *word);
void sees_heart(struct world *w, size_t at, size_t of, const char *word);
/* What is on a platform now; NULL: nothing. */
void has(struct world *w, size_t site, const char *driver, const char *name,
	 const char *want);
/* The last name in .trash. */
const char *trash(struct world *w, size_t at, char name[100]);
uint32_t versions(struct world *w, size_t at, const char *name);
/* Make a resource at A, on all sites, and see it in force. */
void everywhere(struct world *w, const char *name, const char *text);

#endif
