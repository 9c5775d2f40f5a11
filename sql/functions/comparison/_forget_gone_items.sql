-- Removes what was derived from items that are gone, whichever they are.
create or replace function aisle._forget_gone_items() returns void
language plpgsql volatile
as $function$
begin
    perform aisle._guard();
    perform aisle._forget_items(array(
        select v.item_id from (
            select item_id from aisle.item_vectors
            union select item_id from aisle.item_factors
            union select item_id from aisle._item_predictions) v
        where not exists (select from aisle._items i where i.item_id = v.item_id)));
end
$function$;
