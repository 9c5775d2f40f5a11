-- Renews leases, also one that ran out, unless another worker has taken the job: the job has another token then.
update aisle._embedding_jobs as job
set leased_until = aisle._now() + %(lease)s
where job.task = %(task)s and job.id = any (array(
    select id
    from aisle._embedding_jobs
    where task = %(task)s and id = any (%(ids)s) and lease_token = %(token)s
    order by id
    for update skip locked
))
