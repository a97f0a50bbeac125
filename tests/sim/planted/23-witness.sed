# the last holder leaves, and nobody is its witness
/^int keep_hold/,/^}/ s/if (!resource_is_there(r))/if (r)/
