# the cursor is not in the batch with the data
/^int member_cursor/,/^}/ s/^\tif (rc == 0)$/\tif (rc == 0 \&\& !p->got_no)/
