# a site that is new is not told by all
/^static int push_to/,/^}/ s/need = p->arrived || arrives(p, &s->id) ||/need = p->arrived ||/
