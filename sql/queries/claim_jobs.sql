-- Lease due jobs of a task: changed rows before retries, retries before backfill, each the oldest first. Locked rows belong
-- to somebody else: skip them.
update aisle._embedding_jobs as job
set leased_until = aisle._now() + %(lease)s, lease_token = %(token)s
from (
    select task, id
    from aisle._embedding_jobs
    where task = %(task)s and not is_dead and run_after <= aisle._now()
      and (leased_until is null or leased_until <= aisle._now())
    order by priority, run_after
    limit %(limit)s
    for update skip locked
) due
where job.task = due.task and job.id = due.id
returning job.id, job.version, job.priority, job.enqueued_at
