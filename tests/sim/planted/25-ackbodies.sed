# a batch that waits for bodies is taken for delivered
/^static int on_ack/,/^}/ { s/case ACK_OK:/case ACK_OK: case ACK_BODIES:/; t
/^\tcase ACK_BODIES:$/d
}
