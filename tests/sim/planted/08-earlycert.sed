# a certificate for what others still have
/^int keep_settle/,/^}/ s/rc == 0 && !there && !c\.others/rc == 0 \&\& !there/
