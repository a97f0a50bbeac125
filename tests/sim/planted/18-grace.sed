# withdrawn at once
/^static int withdraw/,/^}/ s/e->now_ms + e->cfg\.grace_ms/e->now_ms/
