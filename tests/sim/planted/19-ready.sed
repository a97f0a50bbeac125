# ready as soon as it is applied
/^static int seen/,/^}/ s/ran->healthy ? STATE_READY : STATE_APPLYING/STATE_READY/
