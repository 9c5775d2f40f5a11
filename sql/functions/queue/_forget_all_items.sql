-- Removes what was derived from any item, as _forget_items does of some. The worker finds no row for the jobs that were waiting, and drops them.
create or replace function aisle._forget_all_items() returns void
language plpgsql volatile
as $function$
begin
    delete from aisle.item_vectors;
    with gone as (delete from aisle.item_factors f returning *)
    insert into aisle._learned_factors (model_id, item_id, embedding, in_embedding)
    select g.model_id, g.item_id, g.embedding, g.in_embedding from gone g where g.origin = 'events'
    on conflict do nothing;  -- it is the same: a generation learns once
    delete from aisle._item_predictions;
end
$function$;
