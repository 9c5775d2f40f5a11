-- A lease that ran out is not renewed: its rows may be somebody else's by now.
update aisle._embedding_jobs as job
set leased_until = aisle._now() + %(lease)s
where job.task = %(task)s and job.id = any (array(
    select id
    from aisle._embedding_jobs
    where task = %(task)s and id = any (%(ids)s) and lease_token = %(token)s and leased_until > aisle._now()
    order by id
    for update skip locked
))
