-- The items that are bought with the same products as an item. The basket model may know items that are gone from the attached table, so
-- this asks for more until it has k that are there. Says nothing of an item that policies hide from the caller.
create or replace function aisle._items_bought_alike(item text, k integer)
returns table (rank integer, item_id text, score double precision)
language plpgsql stable parallel safe
as $function$
#variable_conflict use_variable
declare
    model constant integer := aisle._live_model('basket');
    asked integer := aisle._candidates_for(k);
    ids text[];
    scores double precision[];
    answerable text[];
begin
    if aisle._hides_items() and not exists (select from aisle._read_items(array[item])) then
        return;
    end if;
    loop
        select array_agg(n.item_id order by n.rank), array_agg(n.score order by n.rank) into ids, scores
        from aisle._nearest_items(
            model, (select b.co_purchase from aisle.basket_items b where b.model_id = model and b.item_id = item),
            asked, item, 'basket_items', 'co_purchase', looks_up => false) n;
        answerable := aisle._answerable(ids, k, array[item]);
        exit when coalesce(cardinality(answerable), 0) >= k or coalesce(cardinality(ids), 0) < asked;
        asked := least(10 * asked::bigint, 2147483647);
    end loop;
    return query select (row_number() over (order by n.place))::integer, n.item_id, n.score
                 from unnest(ids, scores) with ordinality n (item_id, score, place)
                 where n.item_id = any (answerable)
                 order by n.place
                 limit k;
end
$function$;
