/*
 * view.h -- what the tree shows, read straight from the store.
 *
 * Every function is pure: the same store and the same moment give the same
 * bytes. Any number of threads may read at once. Names that a function hands
 * to a callback are valid while it runs.
 */
#ifndef CHEOPS_CORE_VIEW_H
#define CHEOPS_CORE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/cheops.h"
#include "core/err.h"
#include "core/reader.h"

struct view {
	const struct ch_reader *store; /* A snapshot. */
	struct ch_id self;
	uint64_t wall_ms; /* Now. */
	uint64_t stamp;   /* Its owner's, who may tell moments by it. */
};

#define VIEW_OWNER_MAX 64

struct view_resource {
	uint32_t mode, spec_mode;      /* Permission bits. */
	char owner[VIEW_OWNER_MAX];    /* Names; "" when nobody said. */
	char group[VIEW_OWNER_MAX];
	char spec_owner[VIEW_OWNER_MAX];
	char spec_group[VIEW_OWNER_MAX];
	uint64_t made_ms, changed_ms;  /* Wall clock. */
	bool has_spec;
	uint64_t spec_len, spec_ms;    /* Length and time of what is shown. */
	bool structured;               /* spec.json is there. */
	bool secret;                   /* Private, whatever its mode. */
	uint32_t versions;             /* Concurrent ones; 2: a conflict. */
	uint32_t sites;                /* Site directories. */
	uint64_t lineage; /* Of its id: the same under each name it has. */
};

/* The files that view_content() writes. */
enum view_file {
	VIEW_SPEC,      /* name */
	VIEW_SPEC_JSON, /* name */
	VIEW_DRIVER,    /* name */
	VIEW_SITES,     /* name */
	VIEW_STATUS,    /* name */
	VIEW_STATE,     /* name */
	VIEW_POLICY,    /* name */
	VIEW_HOLD,      /* name */
	VIEW_CONFLICT,  /* name, and the file's name as site */
	VIEW_SITE_STATUS,   /* name, site; the rest of SITE_ too */
	VIEW_SITE_STATE,
	VIEW_SITE_SPEC,
	VIEW_SITE_PATCH,    /* "" when there is none */
	VIEW_SITE_OBSERVED, /* "" when there is none */
	VIEW_HELD_TEXT,     /* name */
	VIEW_DRIVER_ORPHANED, /* the driver as name */
	VIEW_MEMBER_STATUS, /* site; the rest of MEMBER_ too */
	VIEW_MEMBER_HEARTBEAT,
	VIEW_MEMBER_ADDRESS,
	VIEW_MEMBER_LABELS,
	VIEW_TRASH_SPEC,    /* the trash name as name; the rest too */
	VIEW_TRASH_SITES,
	VIEW_TRASH_DRIVER,
	VIEW_TRASH_STATUS,
};

/* 0 to go on, 1 to stop, below 0 to fail. @info is NULL where there is none. */
typedef int view_name_fn(void *arg, struct ch_bytes name,
			 const struct view_resource *info);

/* 0; -ENOENT: no such resource (or deleted); -EIO, -ENOMEM. */
int view_resource(const struct view *v, struct ch_bytes name,
		  struct view_resource *ret_resource);
/* All resources whose name is after @after, in the order of their bytes. */
int view_resources(const struct view *v, struct ch_bytes after,
		   view_name_fn *fn, void *arg);
/* How many. Kept beside the records: costs one read. */
int view_resource_count(const struct view *v, uint64_t *ret_count);

/* 0 when the resource has that site; -ENOENT. */
int view_site(const struct view *v, struct ch_bytes name, struct ch_bytes site);
/* Its sites, in the order of their names. */
int view_sites(const struct view *v, struct ch_bytes name, view_name_fn *fn,
	       void *arg);
/* The files of conflicts/: versions that are not shown, and their bases. */
int view_conflicts(const struct view *v, struct ch_bytes name,
		   view_name_fn *fn, void *arg);
/* One of them is there: 0; -ENOENT. The base of one that is being discarded is
 * there too, though not listed. */
int view_conflict(const struct view *v, struct ch_bytes name,
		  struct ch_bytes file);
/* For ch_submit.context of CH_DISCARD: opaque bytes, appended to @out. 1: the
 * file is a base, which stays beside its version; -ENOENT. */
int view_discard(const struct view *v, struct ch_bytes name,
		 struct ch_bytes file, struct strbuf *out);
/* Sites known, and those that the config names, by name. */
int view_member(const struct view *v, struct ch_bytes site);
int view_members(const struct view *v, view_name_fn *fn, void *arg);
/* Names in .trash: @ret_resource has the mode, the owner, whether it is secret
 * (the rest is zeros), and in changed_ms when it was deleted. */
int view_trash(const struct view *v, struct ch_bytes trash,
	       struct view_resource *ret_resource);
int view_trashes(const struct view *v, view_name_fn *fn, void *arg);

/* Removals that the guard holds here, by the names of resources. */
int view_held(const struct view *v, struct ch_bytes name);
int view_helds(const struct view *v, view_name_fn *fn, void *arg);

/*
 * Append the file's content to @out. 0; -ENOENT when the file is not there
 * (no spec yet, no such resource or site); -EINVAL when a patch does not fit
 * its spec (SITE_SPEC), with the sentence; -EIO, -ENOMEM.
 */
int view_content(const struct view *v, enum view_file file,
		 struct ch_bytes name, struct ch_bytes site,
		 struct strbuf *out, struct err *reterr);

/* Its length without its bytes, where that is cheaper (spec); else the same
 * work. */
int view_length(const struct view *v, enum view_file file, struct ch_bytes name,
		struct ch_bytes site, uint64_t *ret_len);

/*
 * What the writer of a file has seen, to be handed back in ch_submit.context:
 * opaque bytes. Of a file that is not there yet too.
 */
int view_context(const struct view *v, struct ch_bytes name,
		 enum ch_file file, struct ch_bytes site, struct strbuf *out);

/*
 * What was opened, with that context, as @name, which is not there any more:
 * what is it called now? 0 and @ret_name; -ENOENT: it was deleted, or that is
 * not known here yet; -EIO, -ENOMEM.
 */
int view_renamed(const struct view *v, struct ch_bytes name,
		 struct ch_bytes context, struct strbuf *ret_name);

/* What has to be known of a resource before its spec is written. */
struct view_spec {
	bool settled;         /* These bytes again would be nothing new: */
	struct ch_hash shown; /* ... the spec that is shown. */
	char driver[264];     /* "": none has been chosen yet. */
};
/* Appends to @context, unless that is NULL, what view_context() would. */
int view_spec(const struct view *v, struct ch_bytes name,
	      struct view_spec *ret_spec, struct strbuf *context);

/*
 * Is @body something that may be committed to @file; what the engine wants to
 * know of it beforehand. Checks what is the same for all drivers: size
 * (-EFBIG), driver's word, site names and their syntax (-EINVAL, -ENXIO),
 * patch (a map, fits the spec). 1: nothing to do (empty, or the same bytes as
 * stand there). Only for SPEC and PATCH is @ret_prepared of use.
 */
int view_prepare(const struct view *v, struct ch_bytes name, enum ch_file file,
		 struct ch_bytes site, struct ch_bytes body,
		 const char *const *drivers, size_t n_drivers,
		 struct ch_prepared *ret_prepared, struct err *reterr);

/* The same of a spec whose resource has been looked at. */
int view_prepare_spec(const struct view_spec *spec, struct ch_bytes body,
		      struct ch_prepared *ret_prepared, struct err *reterr);

/* As a driver gets it: the spec body, changed by the patch body unless
 * @patch is zeros. Appended to @out. */
int view_effective(const struct view *v, const struct ch_hash *spec,
		   const struct ch_hash *patch, struct strbuf *out,
		   struct err *reterr);

#endif
