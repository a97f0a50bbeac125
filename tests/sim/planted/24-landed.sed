# a message that was lost is taken for delivered
/^int exchange_unsent/,/^}/ s/outbox_crashed(p);/outbox_landed(p);/
