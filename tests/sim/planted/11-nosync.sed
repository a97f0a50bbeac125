# acknowledged before it is synced
/^int db_put(/,/^}/ s/durable |= col != COL_LIVE;/durable |= col == COL_JOB;/
