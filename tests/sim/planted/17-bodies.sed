# a record is taken without its bodies
/^static int take_record/,/^}/ s/if (rc < 0 || t->incomplete)/if (rc < 0)/
