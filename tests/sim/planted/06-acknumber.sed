# an acknowledgement counts for whatever is on its way
/^static int on_ack/,/^}/ s/ || f->u\.ack\.no != p->flying)/)/
