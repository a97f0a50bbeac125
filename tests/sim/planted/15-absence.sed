# removed because its author is not heard
/^int sight_open/,/^}/ s/s->in = resource_site_in(&s->r, &e->cfg\.self);/s->in = resource_site_in(\&s->r, \&e->cfg.self) \&\& member_heartbeat(e, \&s->r.v[0].dot.actor.site) == HB_ALIVE;/
