/*
 * shrink.h -- a script that fails, made as short as a person can read.
 *
 * Faults, then operations are left out, in halves, quarters and so on down to
 * one (Zeller, Hildebrandt: Simplifying and Isolating Failure-Inducing Input,
 * IEEE TSE 2002); options are set to nothing, and sites taken away; again and
 * again until nothing more can go. What is kept fails by the same check. Each
 * trial is a process of its own, since core ends the process when it finds
 * itself wrong.
 */
#ifndef CHEOPS_TESTS_SIM_SHRINK_H
#define CHEOPS_TESTS_SIM_SHRINK_H

#include "tests/sim/script.h"

/* One run in a process of its own. @draw: it prints a diagram. */
void try_apart(const struct script *s, bool draw, struct verdict *ret);
/* Shrink @s, which fails as @was; for @seconds at most. The trials it took. */
size_t shrink(struct script *s, const struct verdict *was,
	      unsigned int seconds);

#endif
