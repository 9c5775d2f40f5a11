-- Makes jobs of the oldest entries of the log; returns how many ids it took in. A row that is queued already keeps its one job: the
-- job's version grows and its lease ends, so that a worker can neither write a result for the older content nor end the job with it.
-- Leaves entries about watched rows to aisle._resolve_watches, which turns them into entries about items or customers. An entry without ids stands for a TRUNCATE.
create or replace function aisle._collect_changes() returns bigint
language plpgsql volatile
as $function$
#variable_conflict use_column
declare
    collected bigint;
    truncated text[];  -- topics
begin
    with taken as materialized (
        select topic, ids, changed_at from aisle._take_changes(watched => false)
    ), collected_jobs as (
        insert into aisle._embedding_jobs as job (task, id, version, enqueued_at, run_after)
        select task, id, count(*), min(changed_at), min(changed_at)
        from taken, unnest(ids) id, unnest(aisle._tasks_of(topic)) task
        where octet_length(id) <= 2600  -- no index could hold a longer one
        group by task, id
        order by id, task
        on conflict on constraint _embedding_jobs_pkey do update
            set version = job.version + excluded.version, priority = 0, run_after = excluded.run_after, attempts = 0,
                enqueued_at = case when job.priority = 2 or job.is_dead then excluded.enqueued_at else job.enqueued_at end,
                is_dead = false, last_error = null, leased_until = null, lease_token = null
        returning 1
    )
    select (select count(*) from collected_jobs), array(select topic from taken where ids = '{}') into collected, truncated;
    perform aisle._forget_gone(topic) from (select distinct topic from unnest(truncated) topic) t;
    return collected;
end
$function$;
