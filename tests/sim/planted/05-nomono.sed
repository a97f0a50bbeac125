# NOMONO: a batch is taken after a later one
/^static bool is_stale/,/^}/ s/return f->u\.batch\.nonce .*/return false;/
