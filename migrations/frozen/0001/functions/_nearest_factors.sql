-- The k items whose out-vectors have the largest inner product with a user's vector, of one category and all below it if one
-- is named, without the excluded ones. The partition is named so that its own index can answer. Few candidates are compared one
-- by one: an index scan that has to pass over most of what it finds takes longer, and may end before it has found k. So are all
-- where policies hide items from the caller; each is looked up in its turn then, until there are k.
create or replace function aisle._nearest_factors(model_id integer, query vector, k integer, category text, excluded text[])
returns table (item_id text, score double precision)
language plpgsql stable parallel safe
set hnsw.iterative_scan = 'relaxed_order'
set hnsw.ef_search = 40
as $function$
declare
    exact_below constant integer := 20000;  -- candidates, which take about 10 ms
    partition constant text := 'item_factors_' || model_id;
    more constant integer := least(cardinality(excluded) / 10, 40) + aisle._further(partition);
    first_key text;
    last_key text;
    of_category text := '';
    hides constant boolean := aisle._hides_items();
    is_exact boolean := hides;
    ids text[];
    scores double precision[];
begin
    if category is not null then
        first_key := category || (select a.category_separator from aisle._attachments a where a.kind = 'items');
        last_key := first_key || U&'\+10FFFF';
        of_category := 'and f.category_key >= $4 and f.category_key < $5';
        execute format('select count(*) < %s from (select from aisle.%I f where true %s limit %1$s) c',
                       exact_below, partition, replace(replace(of_category, '$4', '$1'), '$5', '$2'))
        into is_exact using first_key, last_key;
        is_exact := is_exact or hides;
    end if;
    loop
        execute format(
            'select array_agg(n.item_id order by n.score desc, n.item_id), array_agg(n.score order by n.score desc, n.item_id)
             from (%sselect f.item_id, -(f.embedding <#> $1) as score
                   from aisle.%I f
                   where f.item_id <> all ($2) %s
                   order by %s
                   %s) n',
            case when hides then 'select n.* from (' end, partition, of_category,
            format(case when is_exact then 'f.embedding <#> $1' else 'f.embedding::halfvec(%1$s) <#> $1::halfvec(%1$s)' end,
                   vector_dims(query)),
            case when not hides then format('limit $3::bigint + %s', case when is_exact then 0 else more end)
                 else 'offset 0) n  -- sorts before it looks up
                   where exists (select from aisle._read_items(array[n.item_id]))
                   order by n.score desc
                   limit $3' end)
        into ids, scores using query, excluded, k, first_key, last_key;
        exit when is_exact or cardinality(ids) >= k;
        is_exact := true;  -- the index has no more: it is approximate, and there may be some
    end loop;
    return query select * from unnest(ids[:k], scores[:k]);
end
$function$;
