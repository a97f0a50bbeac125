/* diagram.h -- what happened, drawn: sites as columns, time downwards. */
#ifndef CHEOPS_TESTS_SIM_DIAGRAM_H
#define CHEOPS_TESTS_SIM_DIAGRAM_H

#include <stdio.h>

#include "tests/sim/world.h"

/* Of a world with option `told`. */
void diagram_print(const struct world *w, FILE *out);

#endif
