-- Queues every item, or every customer (kind 'orders'), that lacks a current vector in some generation of some task, and removes what was
-- derived from rows that are gone. Returns the number of queued rows. One statement for all tasks: the queue's rows are locked in the
-- order in which the workers lock them.
create or replace function aisle._enqueue_stale_rows(kind text) returns bigint
language plpgsql volatile
as $function$
declare
    queued bigint;
begin
    perform aisle._guard();
    perform aisle._forget_gone(kind);
    execute format($query$
        insert into aisle._embedding_jobs as job (task, id, priority, enqueued_at, run_after)
        select stale.task, r.id, 2, aisle._now(), aisle._now()
        from (%s) r
        cross join lateral (
            select distinct t.task
            from aisle._tasks t
            join aisle._models m on m.task = t.task and m.state in ('filling', 'ready')
            left join aisle._row_vectors v on v.id = r.id and v.model_id = m.model_id
            where t.follows = $1
              and (not v.is_draft
                   and v.content_hash = case when t.reads_category then aisle._factor_hash(r.content_hash, r.category)
                                             else r.content_hash end) is not true
        ) stale
        where octet_length(r.id) <= 2600  -- no index could hold a longer one
        order by r.id, stale.task
        on conflict on constraint _embedding_jobs_pkey do update set run_after = excluded.run_after
            where job.lease_token is null and job.attempts = 0 and not job.is_dead
        $query$,
        case kind
            when 'items' then 'select i.item_id as id, i.category, aisle._content_hash(i.name, i.manufacturer, i.details) as content_hash
                               from aisle._items i offset 0'  -- hashes each row once
            else 'select c.user_id::text as id, null::text as category, c.content_hash from aisle._customers c' end)
    using kind;
    get diagnostics queued = row_count;
    return queued;
end
$function$;
