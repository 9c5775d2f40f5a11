create or replace function aisle._forget_all_items() returns void
language plpgsql volatile
as $function$
begin
    delete from aisle._embedding_jobs j where j.task = 'category';
    delete from aisle.item_vectors;
    delete from aisle._item_predictions;
end
$function$;
