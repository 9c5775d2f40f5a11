-- A customer's taste: the sum of what each product bought adds to it, by how often and how lately it was bought, at length 1.
-- Null for one of whose products the model knows none.
create or replace function aisle._taste(model_id integer, items text[], recency double precision[]) returns vector
language plpgsql stable parallel safe
as $function$
#variable_conflict use_variable
declare
    taste vector;
begin
    -- Scaling is dear, and many items were bought once in the same order: they are added up before.
    select l2_normalize(sum(same.taste * array_fill(ln(1 + same.recency), array[vector_dims(same.taste)])::vector)) into taste
    from (select o.recency, sum(b.taste) as taste
          from unnest(items, recency) o (item_id, recency)
          join aisle.basket_items b on b.model_id = model_id and b.item_id = o.item_id
          group by o.recency) same;
    return taste;
end
$function$;
