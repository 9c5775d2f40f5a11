-- Creates the function that searches the index of one generation of item_factors. The number of dimensions is a part of the index, and
-- the partition's name a part of the statement. One text for all generations would be dynamic, and planned at each call, which takes half
-- as long as the search. This one is planned once a session, until an index or the count of rows changes.
--
-- The plan is for any k: for a known k, another plan looks cheaper, and would be made at each call. So the function tells the planner not
-- to read the whole partition, which looks cheaper for a tenth of all rows. A scan that goes on finds nearer rows later (relaxed order):
-- the function fetches more rows than k, and sorts them by their exact scores.
create or replace function aisle._create_search(model_id integer, dimensions integer) returns void
language plpgsql volatile
as $function$
begin
    perform '[1]'::@vector@.vector;  -- loads the library: before, only a superuser may set hnsw's settings
    execute format($definition$
        create function aisle._nearest_factors_%1$s(
            query @vector@.vector, k integer, excluded text[], first_key text, last_key text, keys text[], out item_ids text[], out scores double precision[])
        language plpgsql stable parallel safe
        set search_path from current
        set plan_cache_mode = force_generic_plan
        set enable_seqscan = off
        set jit = off
        set hnsw.iterative_scan = 'relaxed_order'
        set hnsw.ef_search = 40
        as $search$
        begin
            select array_agg(n.item_id), array_agg(n.score) into item_ids, scores
            from (select c.item_id, c.score
                  from (select f.item_id, -(f.embedding operator(@vector@.<#>) query) as score
                        from aisle.item_factors_%1$s f
                        where f.item_id not in (select unnest(excluded))  -- hashed, whatever the plan
                          and (first_key is null or f.category_key >= first_key and f.category_key < last_key)
                          and (keys is null or f.category_key in (select unnest(keys)))
                        order by f.embedding::@vector@.halfvec(%2$s) operator(@vector@.<#>) query::@vector@.halfvec(%2$s)
                        limit k::bigint + least(cardinality(excluded) / 10, 40) + case when coalesce(first_key, keys[1]) is null then (
                            select aisle._further(p.reltuples) from pg_class p where p.oid = 'aisle.item_factors_%1$s'::regclass)
                            else 0 end) c  -- in a category, each further row is found among many of other categories
                  order by c.score desc, c.item_id
                  limit k) n;
        end
        $search$
        $definition$, model_id, dimensions);
    perform aisle._copy_execute('aisle._nearest_factors'::regproc, ('aisle._nearest_factors_' || model_id)::regproc);
end
$function$;
