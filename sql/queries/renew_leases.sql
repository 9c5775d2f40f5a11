-- A lease that ran out is renewed, too, as long as nobody else has taken the job: its token would be another then.
update aisle._embedding_jobs as job
set leased_until = aisle._now() + %(lease)s
where job.task = %(task)s and job.id = any (array(
    select id
    from aisle._embedding_jobs
    where task = %(task)s and id = any (%(ids)s) and lease_token = %(token)s
    order by id
    for update skip locked
))
