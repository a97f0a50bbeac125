# a site that is new is not told by all
/^static int push_to/,/^}/ s/p->corrects || arrives(p, &s->id) ||/p->corrects ||/
