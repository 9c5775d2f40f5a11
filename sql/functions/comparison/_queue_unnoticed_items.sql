-- Queues those of some items whose vectors are not those of their content although nothing waits that would make them so; returns how
-- many. One statement, so that a change, its entry in the log and its job are seen together or not at all.
create or replace function aisle._queue_unnoticed_items(task text, ids text[]) returns bigint
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    queued bigint;
begin
    insert into aisle._embedding_jobs as job (task, id, priority, enqueued_at, run_after)
    select task, i.item_id, 2, aisle._now(), aisle._now()
    from aisle._read_items(ids) i
    where octet_length(i.item_id) <= 2600  -- no index could hold it
      and exists (
          select from aisle._models m
          left join aisle.item_vectors v on task = 'category' and v.item_id = i.item_id and v.model_id = m.model_id
          left join aisle.item_factors f on task = 'recommender' and f.item_id = i.item_id and f.model_id = m.model_id
          where m.task = task and m.state = 'ready' and case task
              when 'category' then (not v.is_draft and v.content_hash = i.content_hash) is not true
              else (f.origin <> 'draft' and f.content_hash = aisle._factor_hash(i.content_hash, i.category)) is not true end)
      and not exists (select from aisle._embedding_jobs j where j.task = task and j.id = i.item_id)
      and not exists (select from aisle._changes c where c.topic = 'items' and (i.item_id = any (c.ids) or c.ids = '{}'))
    order by i.item_id
    on conflict do nothing;
    get diagnostics queued = row_count;
    return queued;
end
$function$;
