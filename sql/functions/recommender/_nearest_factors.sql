-- The k items whose vectors have the largest inner product with a user's vector: of some categories if their keys are given (_category_keys),
-- and without the excluded items. A function of the generation's own searches the index (aisle._create_search). Few candidates are
-- compared one by one: an index scan that has to skip most of what it finds takes longer, and may end before it has k. Where not every
-- item may be answered, it looks up the best, and searches for more until it has k.
create or replace function aisle._nearest_factors(model_id integer, query @vector@.vector, k integer, keys text[], excluded text[])
returns table (item_id text, score double precision)
language plpgsql stable parallel safe
as $function$
declare
    exact_below constant integer := 20000;  -- candidates, which take about 10 ms
    partition constant text := 'item_factors_' || model_id;
    looks_up constant boolean := aisle._looks_up_items();
    asked integer := case when looks_up then aisle._candidates_for(k) else k end;
    is_exact boolean := false;
    first_key text;
    last_key text;
    of_category text := '';
    ids text[];
    scores double precision[];
    answerable text[];
begin
    if keys is not null then
        if cardinality(keys) = 1 then
            first_key := keys[1];
            last_key := first_key || chr(1114111);
            keys := null;
            of_category := 'and f.category_key >= $4 and f.category_key < $5';
        else
            of_category := 'and f.category_key = any ($6)';
        end if;
        execute format('select count(*) < %s from (select from aisle.%I f where true %s limit %1$s) c',
                       exact_below, partition, translate(of_category, '456', '123'))
        into is_exact using first_key, last_key, keys;
    end if;
    loop
        if is_exact then
            execute format(
                'select array_agg(n.item_id order by n.distance, n.item_id), array_agg(-n.distance order by n.distance, n.item_id)
                 from (select f.item_id, f.embedding operator(@vector@.<#>) $1 as distance
                       from aisle.%I f
                       where f.item_id <> all ($2) %s
                       order by 2, 1
                       limit $3) n', partition, of_category)
            into ids, scores using query, excluded, asked, first_key, last_key, keys;
        else
            execute 'select * from aisle._nearest_factors_' || model_id || '($1, $2, $3, $4, $5, $6)'
            into ids, scores using query, asked, excluded, first_key, last_key, keys;
        end if;
        answerable := case when looks_up then aisle._answerable(ids, k, excluded) else ids end;
        exit when cardinality(answerable) >= k or is_exact and coalesce(cardinality(ids), 0) < asked;
        -- The index is approximate: where it finds no more, there may be some. And past some thousands, comparing all is faster.
        is_exact := is_exact or coalesce(cardinality(ids), 0) < asked or asked > 2000;
        asked := case when looks_up then least(asked::bigint * 8, 2147483647) else k end;
    end loop;
    return query
        select n.item_id, n.score from unnest(ids, scores) with ordinality n (item_id, score, place)
        where not looks_up or n.item_id = any (answerable)
        order by n.place;
end
$function$;
