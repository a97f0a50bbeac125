# KEYCTR: counters begin anew in each record
s/^\tentry->dot = engine_dot(e);$/\tentry->dot = engine_dot(e), entry->dot.seq = vv_get(\&r->clock, \&entry->dot.actor) + 1;/
