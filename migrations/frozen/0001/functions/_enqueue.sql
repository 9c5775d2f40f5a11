-- Queues rows for the worker and wakes it. A row that is queued already keeps its one job. Its version grows and its lease
-- ends, so that a result for the older content can neither be written nor end the job, and any worker may take it at once.
create or replace function aisle._enqueue(task text, ids text[]) returns void
language plpgsql volatile
as $function$
begin
    insert into aisle._embedding_jobs as job (task, id, enqueued_at, run_after)
    select _enqueue.task, id, aisle._now(), aisle._now()
    from unnest(ids) id
    on conflict on constraint _embedding_jobs_pkey do update
        set version = job.version + 1, run_after = excluded.run_after, attempts = 0, is_dead = false, last_error = null,
            leased_until = null, lease_token = null;
    perform pg_notify('aisle_embedding_jobs', _enqueue.task);
end
$function$;
