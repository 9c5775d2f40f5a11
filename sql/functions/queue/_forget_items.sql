-- Removes what was derived from items that are gone, in every generation. What was learned from events no worker can make again:
-- it is put aside for rows that come back, as after a reload of the whole table.
create or replace function aisle._forget_items(ids text[]) returns void
language plpgsql volatile
as $function$
begin
    delete from aisle.item_vectors v where v.item_id = any (ids);
    with gone as (delete from aisle.item_factors f where f.item_id = any (ids) returning *)
    insert into aisle._learned_factors (model_id, item_id, embedding, in_embedding)
    select g.model_id, g.item_id, g.embedding, g.in_embedding from gone g where g.origin = 'events'
    on conflict do nothing;  -- it is the same: a generation learns once
    delete from aisle._item_predictions p where p.item_id = any (ids);
end
$function$;
