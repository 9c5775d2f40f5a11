-- The n products that are in most orders; with `checks`, only those that an answer may name.
create or replace function aisle._popular_products(model_id integer, n integer, checks boolean) returns text[]
language plpgsql stable parallel safe
as $function$
#variable_conflict use_variable
declare
    asked integer := case when checks then aisle._candidates_for(n) else n end;
    ids text[];
    answerable text[];
begin
    loop
        ids := array(select b.item_id from aisle.basket_items b where b.model_id = model_id order by b.popularity desc, b.item_id limit asked);
        answerable := case when checks then aisle._answerable(ids, n) else ids end;
        exit when cardinality(answerable) >= n or cardinality(ids) < asked;
        asked := least(asked::bigint * 8, 2147483647);
    end loop;
    return answerable;
end
$function$;
