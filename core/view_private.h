/*
 * view_private.h -- what the parts of the view share.
 *
 *	view.c         names and attributes
 *	view_text.c    the small files
 *	view_status.c  status and state
 *	view_spec.c    bodies: read, patched, checked
 *	view_conflict.c  conflicts/
 */
#ifndef CHEOPS_CORE_VIEW_PRIVATE_H
#define CHEOPS_CORE_VIEW_PRIVATE_H

#include "core/record.h"
#include "core/resource.h"
#include "core/stored.h"
#include "core/view.h"

/* A resource that is there: 0 and @ret (initialized); -ENOENT; below. */
int view_load(const struct view *v, struct ch_bytes name, struct record *ret);

/* A site by its name: as a member, or as @r (may be NULL) calls it. */
int view_site_id(const struct view *v, const struct record *r,
		 struct ch_bytes name, struct ch_id *ret_site);
/* A site that the config names and that was never heard from: 0 and what is
 * known, @buf holds what @ret borrows; -ENOENT; below. */
int view_unmet(const struct view *v, struct ch_bytes name, struct strbuf *buf,
	       struct stored_live *ret);
/* What is stored of a site; @buf holds what @ret borrows. */
int view_site_stored(const struct view *v, const struct ch_id *site,
		     struct strbuf *buf, struct stored_site *ret);
/* The name to show for a site of a record. */
void view_site_name(const struct view *v, const struct resource_site *s,
		    struct strbuf *sb);

int view_trash_load(const struct view *v, struct ch_bytes trash,
		    struct strbuf *buf, struct stored_trash *ret);
/* The spec in an image, the one that was shown: 0 or -ENOENT. */
int view_image_get(struct ch_bytes image, uint16_t type, struct entry *ret);

void view_spec_of(const struct record *r, struct view_spec *ret);

/* Append a body. -EIO when a part of it is missing. */
int view_body(const struct view *v, const struct body_ref *body,
	      struct strbuf *out);

/* TIME-SITE-DIGITS */
void view_conflict_name(const struct view *v, const struct entry *e,
			struct strbuf *sb);
/* The content of a file in conflicts/. -ENOENT. */
int view_conflict_text(const struct view *v, const struct record *r,
		       struct ch_bytes file, struct strbuf *out);

int view_status_text(const struct view *v, const struct record *r,
		     struct strbuf *out);
int view_state_text(const struct view *v, const struct record *r,
		    struct strbuf *out);
int view_site_status_text(const struct view *v, const struct record *r,
			  const struct ch_id *site, bool only_state,
			  struct strbuf *out);
/* @site NULL: never heard from, see view_unmet(). */
int view_member_text(const struct view *v, enum view_file file,
		     const struct ch_id *site, struct ch_bytes name,
		     struct strbuf *out);
int view_trash_status(const struct view *v, struct ch_bytes trash,
		      const struct stored_trash *t, struct strbuf *out);
int view_site_spec(const struct view *v, const struct record *r,
		   const struct ch_id *site, struct strbuf *out,
		   struct err *reterr);
int view_spec_json(const struct view *v, const struct record *r,
		   struct strbuf *out);

#endif
