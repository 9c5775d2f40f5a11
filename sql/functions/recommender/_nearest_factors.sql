-- The k items whose vectors have the largest inner product with a user's vector: in one category and all below it if a category is named,
-- and without the excluded items. A function of the generation's own searches the index (aisle._create_search). Few candidates are
-- compared one by one: an index scan that has to skip most of what it finds takes longer, and may end before it has k. Where policies
-- hide items from the caller, all candidates are compared one by one, and looked up in that order until there are k.
create or replace function aisle._nearest_factors(model_id integer, query @vector@.vector, k integer, category text, excluded text[])
returns table (item_id text, score double precision)
language plpgsql stable parallel safe
as $function$
declare
    exact_below constant integer := 20000;  -- candidates, which take about 10 ms
    partition constant text := 'item_factors_' || model_id;
    hides constant boolean := aisle._hides_items();
    is_exact boolean := hides;
    first_key text;
    last_key text;
    of_category text := '';
    ids text[];
    scores double precision[];
begin
    if category is not null then
        first_key := category || (
            select m.parameters ->> 'category_separator' from aisle._models m where m.model_id = _nearest_factors.model_id);
        last_key := first_key || chr(1114111);
        of_category := 'and f.category_key >= $4 and f.category_key < $5';
        execute format('select count(*) < %s from (select from aisle.%I f where true %s limit %1$s) c',
                       exact_below, partition, replace(replace(of_category, '$4', '$1'), '$5', '$2'))
        into is_exact using first_key, last_key;
        is_exact := is_exact or hides;
    end if;
    if not is_exact then
        execute 'select * from aisle._nearest_factors_' || model_id || '($1, $2, $3, $4, $5)'
        into ids, scores using query, k, excluded, first_key, last_key;
        is_exact := coalesce(cardinality(ids), 0) < k;  -- the index found no more, but it is approximate: there may be some
        if not is_exact then
            return query select * from unnest(ids, scores);
            return;
        end if;
    end if;
    return query execute format(
        'select n.item_id, -n.distance
         from (select f.item_id, f.embedding operator(@vector@.<#>) $1 as distance
               from aisle.%I f
               where f.item_id <> all ($2) %s
               order by 2, 1
               %s) n
         %s
         order by n.distance, n.item_id
         limit $3',
        partition, of_category,
        case when hides then 'offset 0' else 'limit $3' end,  -- sorts before it looks up
        case when hides then 'where exists (select from aisle._read_items(array[n.item_id]))' end)
    using query, excluded, k, first_key, last_key;
end
$function$;
