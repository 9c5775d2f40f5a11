-- Queues those of some customers whose vectors are not those of their orders although nothing waits that would make them so, as
-- _queue_unnoticed_items does items; returns how many.
create or replace function aisle._queue_unnoticed_customers(ids text[]) returns bigint
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    queued bigint;
begin
    insert into aisle._embedding_jobs as job (task, id, priority, enqueued_at, run_after)
    select 'basket', c.user_id, 2, aisle._now(), aisle._now()
    from aisle._read_customers(ids) c
    where octet_length(c.user_id) <= 2600  -- no index could hold it
      and exists (
          select from aisle._models m
          left join aisle.customer_vectors v on v.user_id = c.user_id and v.model_id = m.model_id
          where m.task = 'basket' and m.state = 'ready' and (v.content_hash = c.content_hash) is not true)
      and not exists (select from aisle._embedding_jobs j where j.task = 'basket' and j.id = c.user_id)
      and not exists (
          select from aisle._changes e where e.topic = 'basket' and (c.user_id = any (e.ids) or e.ids = '{}') or e.topic = 'lines')
    order by c.user_id
    on conflict do nothing;
    get diagnostics queued = row_count;
    return queued;
end
$function$;
