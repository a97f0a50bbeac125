/*
 * resource.h -- what a record means: is the resource there, what is desired
 * of whom, who holds it.
 *
 * All of this is a function of the record alone, so that every site with the
 * same record says the same.
 *
 * A resource is there while it has a MADE or a SPEC entry. Deleting replaces
 * all of these that were seen by a TOMB, which carries an image of what was
 * deleted. A spec written by someone who did not know of that survives the
 * join: then the resource is there again, with the sites of the image.
 *
 * Renaming leaves a TOMB too, which says where the lineage went: it is not
 * there any more, whatever else of it is in the record. What survives such a
 * TOMB was written by someone who did not know of it, and belongs under the
 * other name: move.c brings it there. Of renames that did not know of each
 * other, the one after more renames counts, then the greater dot.
 *
 * A site is in (it should have the resource), out (it was withdrawn, and has
 * not yet said that its platform is clear of it), or neither. Who is in, out
 * or a witness holds the record.
 */
#ifndef CHEOPS_CORE_RESOURCE_H
#define CHEOPS_CORE_RESOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/policy.h"
#include "core/record.h"

struct mode_value {
	uint32_t mode;
	struct ch_bytes owner, group;
};

struct site_value {
	bool in;
	struct ch_bytes name;
};

bool resource_is_there(const struct record *r);
/* The TOMB that says where @lineage went from here; NULL: it did not. */
const struct entry *resource_moved(const struct record *r,
				   const struct ch_id *lineage);
/* The MADE entry of @lineage that counts, moved or not; NULL. */
const struct entry *resource_made(const struct record *r,
				  const struct ch_id *lineage);
/* > 0 when the rename that wrote @a counts, not that of @b. MADE or TOMB. */
int rename_rank(const struct entry *a, const struct entry *b);
/* A MADE or SPEC entry of a lineage that is under this name. */
bool entry_is_alive(const struct record *r, const struct entry *e);
/* Has some lineage left, and is this an entry of it that did not? */
bool entry_is_left(const struct record *r, const struct entry *e);
/* The shown version; NULL when there is none. */
const struct entry *resource_spec(const struct record *r);
/* Concurrent versions of different content; 1 or 0: no conflict. */
size_t resource_versions(const struct record *r);
/* Do two entries of one register put the same there? */
bool resource_says_same(const struct entry *a, const struct entry *b);
/*
 * Concurrent values of spec, driver, mode and patches that are not shown: walk
 * them from place *pos on, as record_next(); those that say the same count
 * once.
 */
const struct entry *resource_hidden(const struct record *r, size_t *pos);
/* Does that entry's register hold such a value? */
bool resource_is_torn(const struct record *r, uint16_t type,
		      struct ch_bytes sub);
/* Versions that contradict each other, those of modes apart; 0: no conflict. */
size_t resource_conflicts(const struct record *r);
/* The specs are of several lineages: two resources under one name. */
bool resource_is_split(const struct record *r);
/* The lineage that writes belong to; zero when there is none. */
struct ch_id resource_lineage(const struct record *r);
/* Is anything of that lineage alive in the record, and not moved away? */
bool resource_has_lineage(const struct record *r, const struct ch_id *lineage);
/* The word in the register; empty when nobody has chosen. */
struct ch_bytes resource_driver(const struct record *r);
/* The word of policy.h that is in force for @key. */
struct ch_bytes resource_policy(const struct record *r, enum policy_key key);
bool resource_policy_is(const struct record *r, enum policy_key key,
			const char *word);
/* The hold that counts, and for how long it is; NULL: there is none. */
const struct entry *resource_hold(const struct record *r, uint64_t *ret_ms);
/* 0755 and no owner unless someone said. */
struct mode_value resource_mode(const struct record *r, bool of_spec);
bool resource_is_secret(const struct record *r);
/* NULL when that site has none. */
const struct entry *resource_patch(const struct record *r,
				   const struct ch_id *site);
/* When it was last changed by anyone: the greatest hlc. */
uint64_t resource_hlc(const struct record *r);

bool resource_site_in(const struct record *r, const struct ch_id *site);
bool resource_site_out(const struct record *r, const struct ch_id *site);
bool resource_is_witness(const struct record *r, const struct ch_id *site);
bool resource_is_holder(const struct record *r, const struct ch_id *site);

/*
 * Each site that the record names, once, sorted by id: in, out or witness, and
 * its name as the record knows it. 0, what @fn returned, or -ENOMEM.
 */
struct resource_site {
	struct ch_id id;
	struct ch_bytes name;
	bool in, out, witness;
};
typedef int resource_site_fn(void *arg, const struct resource_site *s);
int resource_sites(const struct record *r, resource_site_fn *fn, void *arg);

/* Each body that the record needs; some may come twice. */
typedef int resource_body_fn(void *arg, const struct body_ref *body);
int resource_bodies(const struct record *r, resource_body_fn *fn, void *arg);

/* What @site should have in force. Zeros in patch and patch_vid: no patch. */
struct desired {
	bool any; /* The site is in, and there is a spec. */
	struct ch_id lineage;
	struct ch_hash vid, patch_vid;
	struct body_ref spec, patch;
	uint8_t syntax;
	bool secret;
};
void resource_desired(const struct record *r, const struct ch_id *site,
		      struct desired *ret_desired);

/* Values, as they stand in entries. */
/* "0750 ann staff", with - for who is not known. */
void resource_mode_words(const struct entry *e, struct strbuf *out);
void hold_value_encode(uint64_t ms, struct strbuf *sb);
void mode_value_encode(const struct mode_value *m, struct strbuf *sb);
int mode_value_decode(struct ch_bytes b, struct mode_value *ret_mode);
void site_value_encode(const struct site_value *s, struct strbuf *sb);
/* -EPROTO too where the name is not a site's; it may be empty. */
int site_value_decode(struct ch_bytes b, struct site_value *ret_site);
/* An entry's sub-key as a site. 0 or -EPROTO. */
int entry_site(const struct entry *e, struct ch_id *ret_site);

/*
 * The image in a tombstone: entries without their dots.
 *
 *	u32 entries, each: u16 type, u8 length, sub, b32 payload
 *
 * image_make() takes what is there now; @also are sites that were withdrawn
 * by the same deletion, and count as in.
 */
void image_make(const struct record *r, const struct resource_site *also,
		size_t n_also, struct strbuf *sb);
/* Start with *pos 0: 1 and an entry (without dot), 0 at the end, -EPROTO. */
int image_next(struct ch_bytes image, size_t *pos, struct entry *ret_entry);
bool image_has_site(struct ch_bytes image, const struct ch_id *site);

#endif
