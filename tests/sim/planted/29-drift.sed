# a drift is seen, and not mended
/^static int ran_job/,/^}/ s/s->job\.phase = JOB_BEGUN;/s->job.phase = JOB_APPLIED;/
