/*
 * tally.h -- what happened in a world, counted.
 *
 * A run that exercised nothing proves nothing: the simulator prints these
 * after its seeds, and fails when one is zero after many.
 */
#ifndef CHEOPS_TESTS_SIM_TALLY_H
#define CHEOPS_TESTS_SIM_TALLY_H

#include <stddef.h>
#include <stdint.h>

#define TALLIES(X)                                                             \
	X(STEPS, "steps of engines")                                           \
	X(ROUNDS, "rounds")                                                    \
	X(AUDITS, "stores audited")                                            \
	X(OPS, "operations of users")                                          \
	X(REFUSED_OPS, "operations refused")                                   \
	X(WRITES, "writes of records")                                         \
	X(MERGES, "records merged")                                            \
	X(SIBLINGS, "merges that left concurrent writes")                      \
	X(CONFLICTS, "conflicts")                                              \
	X(RESOLVED, "conflicts resolved")                                      \
	X(DELETES, "deletions")                                                \
	X(RESTORES, "restored from .trash")                                    \
	X(OVERRULED, "deletions that a write overruled")                       \
	X(FORGOTTEN, "records forgotten")                                      \
	X(CERTIFICATES, "certificates left")                                   \
	X(REMADE, "forgotten records made again")                              \
	X(SPLITS, "lineages that met under one name")                          \
	X(STARTS, "starts")                                                    \
	X(CRASHES, "crashes")                                                  \
	X(COMMIT_CRASHES, "crashes during a commit")                           \
	X(COMMIT_FAILS, "commits that failed")                                 \
	X(FREEZES, "sites stopped for a while")                                \
	X(CUTS, "links cut")                                                   \
	X(CLOGS, "links clogged")                                              \
	X(CLOCKS, "wall clocks set")                                           \
	X(MESSAGES, "messages")                                                \
	X(LOST, "messages lost")                                               \
	X(TWICE, "messages doubled")                                           \
	X(RESETS, "connections reset")                                         \
	X(REPLAYS, "old messages sent again")                                  \
	X(STALE, "batches refused as old")                                     \
	X(BODIES, "batches that waited for bodies")                            \
	X(JOBS, "jobs of drivers")                                             \
	X(JOB_FAILS, "jobs that failed")                                       \
	X(WITHDRAWALS, "objects withdrawn")                                    \
	X(DRIFTS, "drifts mended")                                             \
	X(HEALED, "worlds healed and found equal")

enum tally {
#define TALLY_ENUM(name, text) TALLY_##name,
	TALLIES(TALLY_ENUM)
#undef TALLY_ENUM
	TALLY_N
};

extern const char *const tally_text[TALLY_N];

#endif
