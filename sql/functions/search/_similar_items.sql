-- The spaces: of texts, where near is what the category model takes for alike; and of co-purchase, where near is what is bought with
-- the same products: there, products may be gone from the attached table, and more are asked for until there are k. Of an item that
-- policies hide from the caller, nothing is said.
create or replace function aisle._similar_items(item text, k integer, space text)
returns table (rank integer, item_id text, score double precision)
language plpgsql stable parallel safe
as $function$
#variable_conflict use_variable
declare
    model integer;
    asked integer;
    ids text[];
    scores double precision[];
    existing text[];
begin
    if space is distinct from 'category' and space is distinct from 'basket' then
        raise exception 'There is no space %.', coalesce(space, 'null') using errcode = 'AIS06', hint = 'There are: category, basket';
    end if;
    model := aisle._live_model(space);
    if aisle._hides_items() and not exists (select from aisle._read_items(array[item])) then
        return;
    end if;
    if space = 'category' then
        return query select n.rank, n.item_id, n.score
                     from aisle._nearest_items(model, aisle._item_vector(model, item), k, item) n;
        return;
    end if;
    asked := k;
    loop
        select array_agg(n.item_id order by n.rank), array_agg(n.score order by n.rank) into ids, scores
        from aisle._nearest_items(
            model, (select b.co_purchase from aisle.basket_items b where b.model_id = model and b.item_id = item),
            asked, item, 'basket_items', 'co_purchase') n;
        existing := aisle._existing_items(ids, k);
        exit when coalesce(cardinality(existing), 0) >= k or coalesce(cardinality(ids), 0) < asked;
        asked := least(10 * asked::bigint, 2147483647);
    end loop;
    return query select (row_number() over (order by n.place))::integer, n.item_id, n.score
                 from unnest(ids, scores) with ordinality n (item_id, score, place)
                 where n.item_id = any (existing)
                 order by n.place
                 limit k;
end
$function$;
