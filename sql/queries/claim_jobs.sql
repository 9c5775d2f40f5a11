-- Leases due jobs of a task: changed rows before retries, retries before backfill, each the oldest first. It skips locked rows: another
-- worker has them. The array is made once, whatever the planner thinks. As a join, the locking query might run once for each row of a
-- queue whose statistics are from a time when it was empty, and lease far more than the limit.
update aisle._embedding_jobs as job
set leased_until = aisle._now() + %(lease)s, lease_token = %(token)s
where job.task = %(task)s and job.id = any (array(
    select id
    from aisle._embedding_jobs
    where task = %(task)s and not is_dead and run_after <= aisle._now()
      and not exists (select from aisle._attachments a join aisle._tasks t on t.follows = a.kind where t.task = %(task)s and a.is_paused)
      and (leased_until is null or leased_until <= aisle._now())
    order by priority, run_after
    limit %(limit)s
    for update skip locked
))
returning job.id, job.version, job.priority, job.enqueued_at
