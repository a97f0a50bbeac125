# a resource that goes is still counted
/^static int move_count/,/^}/ s/e->count--;/e->count = e->count;/
