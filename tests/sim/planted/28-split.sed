# of two resources under one name one replaces the other
/^static int consider/,/^}/ s/if (resource_is_split(&s->r))/if (!s->have)/
