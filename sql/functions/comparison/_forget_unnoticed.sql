-- Removes what was derived from rows that are gone, unless something waits that will; returns of how many rows there was something.
create or replace function aisle._forget_unnoticed(task text, ids text[]) returns bigint
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    gone text[] := array(
        select g.id from unnest(ids) g (id)
        where not exists (select from aisle._embedding_jobs j where j.task = task and j.id = g.id)
          and not exists (
              select from aisle._changes c
              where c.topic = case task when 'basket' then 'basket' else 'items' end and (g.id = any (c.ids) or c.ids = '{}')
                    or task = 'basket' and c.topic = 'lines'));
    forgotten bigint;
begin
    if task = 'basket' then
        with removed as (delete from aisle.customer_vectors v where v.user_id = any (gone) returning v.user_id)
        select count(distinct r.user_id) into forgotten from removed r;
    else
        forgotten := case task
            when 'category' then (select count(distinct v.item_id) from aisle.item_vectors v where v.item_id = any (gone))
            else (select count(distinct f.item_id) from aisle.item_factors f where f.item_id = any (gone)) end;
        perform aisle._forget_items(gone);
    end if;
    return forgotten;
end
$function$;
