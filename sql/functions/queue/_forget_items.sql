-- Removes what was derived from items that are gone, in every generation. Vectors that were learned from events are put aside for items
-- that come back, as after a reload of the whole table: no worker can make them again. The tables that the shop's own deletes wait for
-- are named here, so that their plans are kept.
create or replace function aisle._forget_items(ids text[]) returns void
language plpgsql volatile
as $function$
declare
    vectors text;
begin
    delete from aisle.item_vectors v where v.item_id = any (ids);
    with gone as (delete from aisle.item_factors f where f.item_id = any (ids) returning *)
    insert into aisle._learned_factors (model_id, item_id, embedding, in_embedding)
    select g.model_id, g.item_id, g.embedding, g.in_embedding from gone g where g.origin = 'events'
    on conflict do nothing;  -- they are equal: a generation learns once
    delete from aisle._item_predictions p where p.item_id = any (ids);
    delete from aisle._applied_categories c where c.item_id = any (ids);
    for vectors in
        select t.row_vectors from aisle._tasks t where t.follows = 'items' and t.row_vectors not in ('item_vectors', 'item_factors')
    loop
        execute format('delete from aisle.%I v where v.item_id = any ($1)', vectors) using ids;
    end loop;
end
$function$;
