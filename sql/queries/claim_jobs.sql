-- Lease due jobs of a task: changed rows before retries, retries before backfill, each the oldest first. Locked rows belong
-- to somebody else: skip them. The array is made once, whatever the planner thinks; as a join, the locking query would run
-- again for each row of a queue whose statistics are those of its empty hours, and lease far more than the limit.
update aisle._embedding_jobs as job
set leased_until = aisle._now() + %(lease)s, lease_token = %(token)s
where job.task = %(task)s and job.id = any (array(
    select id
    from aisle._embedding_jobs
    where task = %(task)s and not is_dead and run_after <= aisle._now()
      and (leased_until is null or leased_until <= aisle._now())
    order by priority, run_after
    limit %(limit)s
    for update skip locked
))
returning job.id, job.version, job.priority, job.enqueued_at
