-- Queues every item that lacks a current vector in some generation that is kept in step, and removes what belongs to rows
-- that are gone. Returns the number of queued rows.
create or replace function aisle._enqueue_stale_items() returns bigint
language plpgsql volatile
as $function$
declare
    queued bigint;
begin
    perform aisle._guard();
    perform aisle._forget_gone_items();
    insert into aisle._embedding_jobs as job (task, id, priority, enqueued_at, run_after)
    select task, i.item_id, 2, aisle._now(), aisle._now()
    from aisle._items i
    cross join lateral aisle._content_hash(i.name, i.manufacturer, i.details) row_hash
    cross join lateral (
        select m.task
        from aisle._models m
        left join aisle.item_vectors v on v.item_id = i.item_id and v.model_id = m.model_id
        where m.task = 'category' and m.state in ('filling', 'ready')
          and (v.item_id is null or v.is_draft or v.content_hash <> row_hash)
        union
        select m.task
        from aisle._models m
        left join aisle.item_factors f on f.item_id = i.item_id and f.model_id = m.model_id
        where m.task = 'recommender' and m.state in ('filling', 'ready')
          and (f.item_id is null or f.origin = 'draft' or f.content_hash <> aisle._factor_hash(row_hash, i.category))
    ) stale
    where octet_length(i.item_id) <= 2600  -- no index could hold it
    order by i.item_id, task
    on conflict on constraint _embedding_jobs_pkey do update set run_after = excluded.run_after
        where job.lease_token is null and job.attempts = 0 and not job.is_dead;
    get diagnostics queued = row_count;
    return queued;
end
$function$;
