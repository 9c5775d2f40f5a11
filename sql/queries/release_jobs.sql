-- Gives leases back when a worker stops before it has done the work.
update aisle._embedding_jobs as job
set leased_until = null, lease_token = null
where job.task = %(task)s and job.id = any (array(
    select id
    from aisle._embedding_jobs
    where task = %(task)s and id = any (%(ids)s) and lease_token = %(token)s
    order by id
    for update skip locked
))
