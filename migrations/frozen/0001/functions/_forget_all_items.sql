-- The same for all items. The worker finds no row for the jobs that were waiting, and drops them.
create or replace function aisle._forget_all_items() returns void
language plpgsql volatile
as $function$
begin
    delete from aisle.item_vectors;
    delete from aisle.item_factors;
    delete from aisle._item_predictions;
end
$function$;
