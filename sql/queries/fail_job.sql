-- Records a row's own error. The job gets another attempt later, at a random moment, or is given up after enough attempts. A job that
-- somebody else locks is skipped: it gets a newer version, and the error belongs to the older content.
update aisle._embedding_jobs as job
set attempts = job.attempts + 1, last_error = %(error)s, leased_until = null, lease_token = null,
    is_dead = job.attempts + 1 >= %(max_attempts)s, priority = greatest(job.priority, 1),
    run_after = aisle._now() + %(backoff)s * power(2, job.attempts) * (1 + random() / 2)
where job.task = %(task)s and job.id = any (array(
    select id
    from aisle._embedding_jobs
    where task = %(task)s and id = %(id)s and lease_token = %(token)s
    for update skip locked
))
