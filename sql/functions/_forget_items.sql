-- Removes what was derived from items that are gone, in every generation.
create or replace function aisle._forget_items(ids text[]) returns void
language plpgsql volatile
as $function$
begin
    delete from aisle.item_vectors v where v.item_id = any (ids);
    delete from aisle.item_factors f where f.item_id = any (ids);
    delete from aisle._item_predictions p where p.item_id = any (ids);
end
$function$;
