# a body is swept that is needed
/^int body_sweep/,/^}/ s/if (rc == 0 \&\& !needed)/if (rc == 0)/
