-- Records a row's own error: another attempt later, or a dead letter when there were enough.
update aisle._embedding_jobs
set attempts = attempts + 1, last_error = %(error)s, leased_until = null, lease_token = null,
    is_dead = attempts + 1 >= %(max_attempts)s,
    run_after = aisle._now() + %(backoff)s * power(2, attempts)
where task = %(task)s and id = %(id)s and lease_token = %(token)s
