-- Queues those of some rows whose vectors are out of date although nothing waits that would renew them; returns how many. It is one
-- statement, so that it sees a change, its entry in the log and its job together or not at all.
create or replace function aisle._queue_unnoticed(task text, ids text[]) returns bigint
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    kind constant text := (select t.follows from aisle._tasks t where t.task = task);
    queued bigint;
begin
    insert into aisle._embedding_jobs as job (task, id, priority, enqueued_at, run_after)
    select task, r.id, 2, aisle._now(), aisle._now()
    from aisle._read_rows(task, ids) r
    where octet_length(r.id) <= 2600  -- no index could hold a longer one
      and exists (
          select from aisle._models m
          left join aisle._row_vectors v on v.id = r.id and v.model_id = m.model_id
          where m.task = task and m.state = 'ready' and (not v.is_draft and v.content_hash = r.content_hash) is not true)
      and not exists (select from aisle._embedding_jobs j where j.task = task and j.id = r.id)
      and not exists (
          select from aisle._changes c
          where c.topic = kind and (r.id = any (c.ids) or c.ids = '{}') or c.topic in (select w.topic from aisle._watches w where w.kind = kind))
    order by r.id
    on conflict do nothing;
    get diagnostics queued = row_count;
    return queued;
end
$function$;
