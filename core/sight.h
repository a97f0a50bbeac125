/*
 * sight.h -- a resource while plan.c looks at it: its record, what is desired
 *of this site, the job that its driver has. What the parts of the plan share.
 *
 *	sight.c    what is known of it, and what is said of it
 *	job.c      jobs as they are stored, and those that were left behind
 *	inherit.c  jobs of resources that were renamed
 *	scrub.c    records that no act speaks for
 *	ran.c      how jobs went
 */
#ifndef CHEOPS_CORE_SIGHT_H
#define CHEOPS_CORE_SIGHT_H

#include "core/act.h"
#include "core/engine.h"

/* What is known of one resource while it is looked at. */
struct sight {
	struct record r;
	bool have;        /* A record. */
	bool unconfirmed; /* It may be older than what others forgot. */
	bool in, out;
	struct desired want;
	struct version version; /* Of want. */
	struct ch_bytes driver; /* Of the record; ours where it has none. */
	struct strbuf job_buf;
	struct stored_job job;
	bool has_job;
	uint8_t policy;                /* JOB_KEEP ...: as the record says. */
	uint64_t hold_ms, hold_end_ms; /* Left of it, and its end; 0: none. */
};

/* sight.c */
/* What becomes of it here is said to all who hold it. */
int sight_say(struct ch_engine *e, struct act *a, struct sight *s,
	      enum state state, struct ch_bytes message);
/* What we said last, to change a part of it; idle when nothing. */
int sight_said(struct ch_engine *e, struct ch_bytes name, struct strbuf *buf,
	       struct report *ret);
/* @s is to be closed, also after an error. 0 or below. */
int sight_open(struct ch_engine *e, struct ch_bytes name, struct sight *s);
void sight_close(struct sight *s);

/* job.c */
/* The index by object: @name has it; "": nobody. */
int job_put_object(struct ch_engine *e, const struct stored_job *job,
		   struct ch_bytes name);
/* The index by lineage: its job stands under @name; "": not under @was. */
int job_put_lineage(struct ch_engine *e, const struct ch_id *lineage,
		    struct ch_bytes name, struct ch_bytes was);
/* Who has @object on the platform of @driver: 0 and @ret; -ENOENT: the
 * resource that is called so, if any. */
int job_of_object(struct ch_engine *e, struct ch_bytes object,
		  struct ch_bytes driver, struct strbuf *ret);
/* Under which name we have a job of @lineage: 0 and @ret; -ENOENT; below. */
int job_of_lineage(struct ch_engine *e, const struct ch_id *lineage,
		   struct strbuf *ret);
/* It is on no platform any more. */
int job_del(struct ch_engine *e, struct ch_bytes name,
	    const struct stored_job *job);
/* It is left on its platform, and listed. */
int job_orphan(struct ch_engine *e, struct act *a,
	       const struct stored_job *job);
int job_orphan_named(struct ch_engine *e, struct sight *s, struct ch_bytes name,
		     struct stored_orphan *ret);
int job_unorphan(struct ch_engine *e, struct act *a, struct sight *s,
		 struct stored_orphan *ret, struct ch_bytes *ret_object);
int job_orphan_del(struct ch_engine *e, struct act *a,
		   const struct stored_job *job);

/* inherit.c */
/* Two of the name that it has now: each stays as it is. 1, or below. */
int inherit_say_stays(struct ch_engine *e, struct act *a, struct sight *s,
		      struct ch_bytes to);
/* Our job is of a lineage that has another name by now. 1: it stays until more
 * is known; 0: it is ours to withdraw; below. */
int inherit_follow(struct ch_engine *e, struct act *a, struct sight *s);
/* What this site has on its platform under a former name of @s. 1: nothing can
 * be done before it is known that it moves, or now that it has; 0; below. */
int inherit_claim(struct ch_engine *e, struct act *a, struct sight *s);

/* scrub.c */
/* Some more of them, when it is time. */
int scrub_run(struct ch_engine *e);

#endif
