# the cursor is not in the batch with the data
/^static int store_cursor/,/^}/ s/if (rc == 0)$/if (rc == 0 \&\& !p->got_no)/
