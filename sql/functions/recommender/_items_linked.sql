-- The items to which the links of a kind lead from an item, by weight. Says nothing of an item that policies hide from the caller.
create or replace function aisle._items_linked(kind text, item text, k integer)
returns table (rank integer, item_id text, score double precision)
language plpgsql stable parallel safe
as $function$
#variable_conflict use_column
declare
    model constant integer := aisle._live_model('recommender');
    ids text[];
    scores double precision[];
    answerable text[];
begin
    if k is null or k < 1 then
        raise exception 'k must be at least 1, not %.', coalesce(k::text, 'null') using errcode = 'AIS06';
    elsif aisle._hides_items() and not exists (select from aisle._read_items(array[item])) then
        return;
    end if;
    select array_agg(n.item_id order by n.score desc, n.item_id), array_agg(n.score order by n.score desc, n.item_id) into ids, scores
    from (select n.item_id, sum(n.weight)::float8 as score
          from (select l.linked, l.weights from aisle.item_links l
                where l.model_id = model and l.item_id = item and l.kind = _items_linked.kind
                union all
                select l.linked, l.weights from aisle._neighbours_links(model, item) l
                where l.kind = _items_linked.kind
                  and not exists (select from aisle.item_links o where o.model_id = model and o.item_id = item)) l
          cross join lateral unnest(l.linked, l.weights) n (item_id, weight)
          group by n.item_id) n
    join aisle.item_factors f on f.model_id = model and f.item_id = n.item_id  -- not gone
    where n.score > 0 and n.item_id <> item;
    answerable := case when aisle._looks_up_items() then aisle._answerable(ids, k, array[item]) else ids[:k] end;
    return query
        select (row_number() over (order by n.place))::integer, n.item_id, n.score
        from unnest(ids, scores) with ordinality n (item_id, score, place)
        where n.item_id = any (answerable)
        order by n.place;
end
$function$;
