-- Queues every customer who lacks a current vector in some basket model that is kept in step, as _enqueue_stale_items does items.
create or replace function aisle._enqueue_stale_customers() returns bigint
language plpgsql volatile
as $function$
declare
    queued bigint;
begin
    perform aisle._guard();
    perform aisle._forget_gone_customers();
    insert into aisle._embedding_jobs as job (task, id, priority, enqueued_at, run_after)
    select 'basket', c.user_id::text, 2, aisle._now(), aisle._now()
    from aisle._customers c
    where octet_length(c.user_id::text) <= 2600 and exists (  -- no index could hold a longer one
        select from aisle._models m
        left join aisle.customer_vectors v on v.user_id = c.user_id::text and v.model_id = m.model_id
        where m.task = 'basket' and m.state in ('filling', 'ready')
          and (v.user_id is null or v.content_hash <> c.content_hash))
    order by 2
    on conflict on constraint _embedding_jobs_pkey do update set run_after = excluded.run_after
        where job.lease_token is null and job.attempts = 0 and not job.is_dead;
    get diagnostics queued = row_count;
    return queued;
end
$function$;
