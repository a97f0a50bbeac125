# acknowledged before it is synced
/^static int lay/,/^}/ s/if (col != COL_LIVE)/if (col == COL_JOB)/
