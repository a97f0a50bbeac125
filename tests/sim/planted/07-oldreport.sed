# an older report replaces a newer one
s/rc == 0 && !report_is_newer(&r, &old)/false/
