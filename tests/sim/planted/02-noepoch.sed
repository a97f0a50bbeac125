# NOEPOCH: a site that starts again goes on with its old epoch
s/^\te->me\.nonce = cfg->nonce;$/\te->me.nonce = e->me.epoch = 1;/
