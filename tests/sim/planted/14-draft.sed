# a lost draft: a write covers what its writer had not seen
/^static int write_spec/,/^}/ s/s->context\.len ? ctx : NULL/NULL/
