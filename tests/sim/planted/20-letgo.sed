# who was let go is not told once the record has changed again
/^static int push(struct pusher/,/^}/ s/rc = still_owed(p);/rc = 0;/
