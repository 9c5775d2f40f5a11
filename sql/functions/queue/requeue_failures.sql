create or replace function aisle.requeue_failures(task text default null) returns bigint
language plpgsql volatile
as $function$
declare
    requeued bigint;
begin
    perform aisle._check_task(task);
    update aisle._embedding_jobs j
    set is_dead = false, attempts = 0, priority = 1, run_after = aisle._now()
    where j.is_dead and j.task = coalesce(requeue_failures.task, j.task);
    get diagnostics requeued = row_count;
    perform pg_notify('aisle_embedding_jobs', coalesce(requeue_failures.task, ''));
    return requeued;
end
$function$;

comment on function aisle.requeue_failures(text) is
    'Queues the rows again that the worker gave up; returns how many.';
