-- A customer's taste: the sum of what each product bought adds to it, by how often and how lately it was bought, at length 1.
-- Null for one of whose products the model knows none.
create or replace function aisle._taste(model_id integer, items text[], recency double precision[]) returns vector
language plpgsql stable parallel safe
as $function$
#variable_conflict use_variable
declare
    taste vector;
begin
    select l2_normalize(sum(b.taste * array_fill(ln(1 + o.recency), array[vector_dims(b.taste)])::vector)) into taste
    from unnest(items, recency) o (item_id, recency)
    join aisle.basket_items b on b.model_id = model_id and b.item_id = o.item_id;
    return taste;
end
$function$;
