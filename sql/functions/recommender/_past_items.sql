-- The items of a history that take a place in it, the latest first: those that the model knows, each at its latest event alone where the
-- model counts each item once.
create or replace function aisle._past_items(model_id integer, items text[]) returns text[]
language plpgsql stable parallel safe
as $function$
#variable_conflict use_column
declare
    longest constant integer := 1000;
    model constant integer := _past_items.model_id;
    is_distinct constant boolean := (select (m.parameters ->> 'distinct')::boolean from aisle._models m where m.model_id = model);
begin
    return array(
        select e.item_id
        from (select u.item_id, min(u.place) as place
              from unnest(items[:longest]) with ordinality u (item_id, place)
              group by u.item_id, case when is_distinct is not true then u.place end) e
        join aisle.item_factors f on f.model_id = model and f.item_id = e.item_id
        order by e.place);
end
$function$;
