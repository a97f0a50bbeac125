# merged in the wrong orientation
/^static int add_survivors/,/^}/ s/vv_covers(&b->clock/vv_covers(\&a->clock/
