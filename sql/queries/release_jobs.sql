-- Gives leases back when a worker stops before it has done their work.
update aisle._embedding_jobs as job
set leased_until = null, lease_token = null
from (
    select task, id
    from aisle._embedding_jobs
    where task = %(task)s and lease_token = %(token)s
    order by id
    for update skip locked
) held
where job.task = held.task and job.id = held.id
