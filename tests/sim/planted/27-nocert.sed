# a certificate is not asked
/^int keep_fresh/,/^}/ s/rc = db_get(e, COL_CERT, name, &value);/rc = -ENOENT;/
