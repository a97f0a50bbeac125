/*
 * doc.h -- JSON and YAML as one: specs and patches that can be looked into.
 *
 * A doc is a stream of one or more documents, each a tree of maps, lists and
 * scalars. It keeps what the writer wrote: the syntax, the order of keys, and
 * each scalar's text (a number is never turned into a double). Scalars are
 * typed as kubectl does (YAML 1.1 through sigs.k8s.io/yaml: y, on, 0777 ...).
 * Comments and anchors are not kept; aliases are expanded.
 */
#ifndef CHEOPS_CORE_DOC_H
#define CHEOPS_CORE_DOC_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"
#include "core/strbuf.h"

#define DOC_NESTING_MAX 64
#define DOC_ALIASES_MAX 100 /* Expansions in one stream. */

/* Stored and sent: the numbers stay. */
enum doc_syntax {
	DOC_RAW = 0,  /* Neither: just bytes. */
	DOC_JSON = 1, /* One JSON text, a map or a list. */
	DOC_YAML = 2, /* YAML; each document a map or a list. */
};

struct doc;

/*
 * Parse @in, JSON where it is JSON and else YAML. 0; -EINVAL with line,
 * column and what is wrong (duplicate keys, nesting over DOC_NESTING_MAX, too
 * many alias expansions, a stream that holds no map or list included), or
 * -ENOMEM. Free with doc_free(), which takes NULL.
 */
int doc_parse(struct ch_bytes in, struct doc **ret_doc, struct err *reterr);
void doc_free(struct doc *d);

enum doc_syntax doc_syntax(const struct doc *d);
size_t doc_count(const struct doc *d);

/* Each document has apiVersion and kind, both non-empty strings. */
bool doc_is_manifest(const struct doc *d);
/* Some document has kind: Secret (within kind: List too). */
bool doc_has_secret(const struct doc *d);

/*
 * @in is the beginning of something longer. 0 when some continuation could
 * make it parse; -EINVAL with the sentence when none could; -ENOMEM.
 */
int doc_check_prefix(struct ch_bytes in, struct err *reterr);

/* Some line begins with "apiVersion:", so it is meant to be a manifest. */
bool doc_claims_manifest(struct ch_bytes in);

/*
 * @spec changed by @patch (JSON merge patch, RFC 7396; both in either
 * syntax), appended to @out in @spec's own syntax: its keys in their order,
 * new ones behind, untouched scalars as they were written. A spec of several
 * documents is patched document by document: a patch document with kind and
 * metadata.name goes to the one of that kind and name, without them only to a
 * spec of one document. -EINVAL with the sentence when a patch document finds
 * no place or is not a map; -ENOMEM. @out is untouched on failure.
 */
int doc_patch(const struct doc *spec, const struct doc *patch,
	      struct strbuf *out, struct err *reterr);

/*
 * What each of the @n versions @v changed of @base, in one, appended to @out:
 * key by key as a merge patch from @base would say it, lists whole. It has the
 * syntax of @base (of the versions, where they all have another), its keys in
 * their order, new ones behind in the order of @v, and untouched scalars as
 * they were written. Several documents go by kind and metadata.name (and
 * namespace), or by place where not all have these. NULL stands for {}. All
 * who merge give @v in the same order. -EINVAL with the sentence when two
 * versions contradict each other, or have other documents; -ENOMEM. @out is
 * untouched on failure.
 */
int doc_merge3(const struct doc *base, const struct doc *const *v, size_t n,
	       struct strbuf *out, struct err *reterr);

/*
 * The same as JSON, two spaces of indent and a newline at the end: one
 * document as it is, several as a list. -ENOMEM.
 */
int doc_to_json(const struct doc *d, struct strbuf *out);

#endif
