-- Removes what was derived from every item, after a TRUNCATE; aisle._forget_items says what is put aside. The worker finds no row for the
-- jobs that still wait, and drops them.
create or replace function aisle._forget_all_items() returns void
language plpgsql volatile
as $function$
declare
    vectors text;
begin
    delete from aisle.item_vectors;
    with gone as (delete from aisle.item_factors f returning *)
    insert into aisle._learned_factors (model_id, item_id, embedding, in_embedding)
    select g.model_id, g.item_id, g.embedding, g.in_embedding from gone g where g.origin = 'events'
    on conflict do nothing;  -- they are equal: a generation learns once
    delete from aisle._item_predictions;
    delete from aisle._applied_categories;
    for vectors in
        select t.row_vectors from aisle._tasks t where t.follows = 'items' and t.row_vectors not in ('item_vectors', 'item_factors')
    loop
        execute format('delete from aisle.%I', vectors);
    end loop;
end
$function$;
