-- Gives a lease back when a batch is over or the worker stops. A row that a shop's transaction is changing right now is
-- skipped, not waited for: that change takes the lease away itself, and should it be rolled back, the lease runs out.
update aisle._embedding_jobs as job
set leased_until = null, lease_token = null
from (
    select task, id
    from aisle._embedding_jobs
    where task = %(task)s and lease_token = %(token)s
    for update skip locked
) held
where job.task = held.task and job.id = held.id
