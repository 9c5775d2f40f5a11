-- Gives jobs back for a while, without counting an attempt: the fault is not their rows'.
update aisle._embedding_jobs as job
set leased_until = null, lease_token = null, run_after = aisle._now() + %(delay)s,
    last_error = coalesce(%(error)s, last_error)
where job.task = %(task)s and job.id = any (array(
    select id
    from aisle._embedding_jobs
    where task = %(task)s and id = any (%(ids)s) and lease_token = %(token)s
    order by id
    for update skip locked
))
