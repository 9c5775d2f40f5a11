-- The k items whose vectors, in a column of a vector table, have the largest cosine with the query's. The statement names the partition,
-- so that its own index can answer: the index of a generation is on a cast to that generation's dimensions. A zero vector, which no index
-- holds, has no cosine: NaN, which sorts last, before null. Where not every item may be answered, it looks up the best, and searches for
-- more until it has k; past some thousands it compares all items, because an index scan may end before it has found k.
create or replace function aisle._nearest_items(
    model_id integer, query @vector@.vector, k integer, except_item text, vectors text default 'item_vectors',
    embedding text default 'embedding', looks_up boolean default aisle._looks_up_items())
returns table (rank integer, item_id text, score double precision)
language plpgsql stable parallel safe
set hnsw.iterative_scan = 'relaxed_order'  -- go on until there are k, however many rows an index scan reads
set hnsw.ef_search = 40
as $function$
declare
    partition constant text := vectors || '_' || model_id::text;
    asked integer := case when looks_up then aisle._candidates_for(k) else k end;
    is_exact boolean := false;
    ids text[];
    scores double precision[];
    answerable text[];
begin
    if k is null or k < 1 then
        raise exception 'k must be at least 1, not %.', coalesce(k::text, 'null') using errcode = 'AIS06';
    elsif query is null or @vector@.vector_norm(query) = 0 then
        return;
    end if;
    loop
        execute format(
            case when is_exact then
                'select array_agg(n.item_id), array_agg(1 - n.distance)
                 from (select v.item_id, v.%3$I operator(@vector@.<=>) $1 as distance
                       from aisle.%2$I v
                       where ($2 is null or v.item_id <> $2) and (v.%3$I operator(@vector@.<=>) $1) <> ''NaN''
                       order by 2, 1
                       limit $3) n'
            else
                'select array_agg(n.item_id), array_agg(1 - n.distance)
                 from (select n.* from (
                           select v.item_id, v.%3$I::@vector@.halfvec(%1$s) operator(@vector@.<=>) $1::@vector@.halfvec(%1$s) as distance
                           from aisle.%2$I v
                           where $2 is null or v.item_id <> $2
                           order by v.%3$I::@vector@.halfvec(%1$s) operator(@vector@.<=>) $1::@vector@.halfvec(%1$s)
                           limit $3::bigint + $4) n
                       where n.distance <> ''NaN''
                       order by n.distance, n.item_id
                       limit $3) n' end,
            @vector@.vector_dims(query), partition, embedding)
        into ids, scores
        using query, except_item, asked,
            (select aisle._further(c.reltuples) from pg_class c where c.oid = to_regclass(format('aisle.%I', partition)));
        answerable := case when looks_up then aisle._answerable(ids, k, array_remove(array[except_item], null)) else ids end;
        exit when not looks_up or cardinality(answerable) >= k or is_exact and coalesce(cardinality(ids), 0) < asked;
        is_exact := is_exact or coalesce(cardinality(ids), 0) < asked or asked > 2000;
        asked := least(asked::bigint * 8, 2147483647);
    end loop;
    return query
        select (row_number() over (order by n.place))::integer, n.item_id, n.score
        from unnest(ids, scores) with ordinality n (item_id, score, place)
        where not looks_up or n.item_id = any (answerable)
        order by n.place;
end
$function$;
