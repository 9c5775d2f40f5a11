-- The k items whose vectors, in a column of a vector table, have the largest cosine with the query's. The statement names the partition,
-- so that its own index can answer: the index of a generation is on a cast to that generation's dimensions. A zero vector, which no index
-- holds, has no cosine: NaN, which sorts last, before null. Where policies hide rows from the caller, all items are compared, because an
-- index scan may end before it has found k that the caller can see. Each is looked up in that order, until there are k.
create or replace function aisle._nearest_items(
    model_id integer, query @vector@.vector, k integer, except_item text, vectors text default 'item_vectors',
    embedding text default 'embedding', hides boolean default aisle._hides_items())
returns table (rank integer, item_id text, score double precision)
language plpgsql stable parallel safe
set hnsw.iterative_scan = 'relaxed_order'  -- go on until there are k, however many rows an index scan reads
set hnsw.ef_search = 40
as $function$
declare
    partition constant text := vectors || '_' || model_id::text;
    candidates text := 'select v.item_id, v.%3$I::@vector@.halfvec(%1$s) operator(@vector@.<=>) $1::@vector@.halfvec(%1$s) as distance
               from aisle.%2$I v
               where $2 is null or v.item_id <> $2
               order by v.%3$I::@vector@.halfvec(%1$s) operator(@vector@.<=>) $1::@vector@.halfvec(%1$s)
               limit $3::bigint + $4';
begin
    if k is null or k < 1 then
        raise exception 'k must be at least 1, not %.', coalesce(k::text, 'null') using errcode = 'AIS06';
    elsif query is null or @vector@.vector_norm(query) = 0 then
        return;
    end if;
    if hides then
        candidates := 'select v.item_id, v.distance
               from (select v.item_id, v.%3$I operator(@vector@.<=>) $1 as distance
                     from aisle.%2$I v
                     where $2 is null or v.item_id <> $2
                     order by 2
                     offset 0) v  -- sorts before it looks up
               where exists (select from aisle._read_items(array[v.item_id]))
               order by v.distance
               limit $3';
    end if;
    return query execute format(
        'select (row_number() over (order by n.distance, n.item_id))::integer, n.item_id, 1 - n.distance
         from (' || candidates || ') n
         where n.distance <> ''NaN''
         order by 1
         limit $3',
        @vector@.vector_dims(query), partition, embedding)
    using query, except_item, k,
        (select aisle._further(c.reltuples) from pg_class c where c.oid = to_regclass(format('aisle.%I', partition)));
end
$function$;
