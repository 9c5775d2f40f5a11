-- Queues every item, or every customer (kind 'orders'), that lacks a current vector in some generation of some task, and removes what was
-- derived from rows that are gone. Returns the number of queued rows. One statement for all tasks: the queue's rows are locked in the
-- order in which the workers lock them.
create or replace function aisle._enqueue_stale_rows(kind text) returns bigint
language plpgsql volatile
as $function$
declare
    queued bigint;
begin
    perform aisle._forget_gone(kind);
    insert into aisle._embedding_jobs as job (task, id, priority, enqueued_at, run_after)
    select s.task, s.id, 2, aisle._now(), aisle._now()
    from aisle._stale_rows(kind) s
    order by s.id, s.task
    on conflict on constraint _embedding_jobs_pkey do update set run_after = excluded.run_after
        where job.lease_token is null and job.attempts = 0 and not job.is_dead;
    get diagnostics queued = row_count;
    return queued;
end
$function$;
