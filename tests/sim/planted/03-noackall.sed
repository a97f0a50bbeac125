# NOACKALL: a tombstone goes before every holder knows of it
/^int keep_settle/,/^}/ s/(there || c\.others || /(there || /
