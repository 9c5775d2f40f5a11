-- The answer of one generation to recommend, live or not; with `as_of`, from what was known before that moment. It names no item that
-- is not eligible or that policies hide from the caller, even if the item is in the user's history.
--
-- A score is the inner product with the user's vector, and, as far as the model has links, the sum of those that lead from the history to
-- the item (_history_links). The candidates are the items of the nearest vectors and those of the strongest links.
create or replace function aisle._recommend(
    model_id integer, user_id text, k integer, category text, context jsonb, exclude_seen boolean, as_of timestamptz)
returns table (rank integer, item_id text, score double precision)
language plpgsql stable parallel safe rows 10
as $function$
#variable_conflict use_variable
declare
    source aisle._attachments := aisle._event_source();
    now constant timestamp := coalesce(as_of, aisle._now()) at time zone coalesce(source.time_zone, current_setting('TimeZone'));
    events record;
    seen text[];
    past text[] := '{}';
    keys constant text[] := aisle._category_keys(model_id, category);
    parameters constant jsonb := (select m.parameters from aisle._models m where m.model_id = model_id);
    has_links constant boolean := coalesce(parameters -> 'links', '{}') <> '{}';
    needs_vectors boolean := parameters ->> 'kind' is distinct from 'item-item';  -- whose vectors only tell what is popular
    looks_up constant boolean := aisle._looks_up_items();
    asked integer;      -- candidates
    further integer;    -- of them, because a sum ranks them anew
    strongest integer;  -- links whose items are candidates
    query @vector@.vector;
    ids text[];
    scores double precision[];
    answerable text[];
begin
    if k is null or k < 1 then
        raise exception 'k must be at least 1, not %.', coalesce(k::text, 'null') using errcode = 'AIS06';
    end if;
    perform aisle._check_context(model_id, context);
    events := aisle._read_history(source, user_id, as_of, case when exclude_seen then 10000 else 1000 end, not exclude_seen);
    seen := coalesce(events.items, '{}');
    if has_links then
        past := aisle._past_items(model_id, seen);
    end if;
    query := aisle._user_vector(model_id, user_id, case when has_links then past else seen end, context, now);
    if query is null then
        return query
            select (row_number() over ())::integer, p.item_id, p.score
            from aisle._popular_items(model_id, k, keys, case when exclude_seen then seen else '{}' end, as_of) p;
        return;
    elsif exclude_seen and not has_links then
        return query
            select (row_number() over ())::integer, n.item_id, n.score
            from aisle._nearest_factors(model_id, query, k, keys, seen) n;
        return;
    end if;
    if (parameters ->> 'unit')::boolean then
        query := @vector@.l2_normalize(query);
    end if;
    asked := case when looks_up then aisle._candidates_for(k) else k end;
    loop
        further := case when needs_vectors then 50 else 10 end;  -- without vectors, only for what popularity adds and what is gone
        strongest := case when keys is not null then greatest(asked, 2000) else asked end + 2 * further;
        with linked as materialized (
            select n.item_id, sum(n.score) as score
            from (select unnest(h.linked) as item_id, unnest(h.weights) * h.counts as score
                  from aisle._history_links(model_id, past) h) n
            group by n.item_id
        ), near as materialized (
            select n.item_id, n.score
            from aisle._nearest_factors(model_id, query, case when has_links then k + further else k end, keys, seen) n
            where needs_vectors
        ), found as (
            select n.item_id, n.score from near n
            union all
            select f.item_id, -(f.embedding operator(@vector@.<#>) query)
            from (select l.item_id
                  from linked l
                  where l.score > 0 and l.item_id not in (select unnest(seen)) and l.item_id not in (select n.item_id from near n)
                  order by l.score desc, l.item_id
                  limit strongest) l
            join aisle.item_factors f on f.model_id = model_id and f.item_id = l.item_id
            where keys is null or f.category_key = any (keys) or f.category_key >= keys[1] and f.category_key < keys[1] || chr(1114111)
            union all
            select r.item_id, r.score
            from aisle._score_repeats(model_id, query, keys, events.items, events.contexts, context, now) r
            where not exclude_seen
        )
        select array_agg(a.item_id order by a.score desc, a.item_id), array_agg(a.score order by a.score desc, a.item_id) into ids, scores
        from (select f.item_id, f.score + coalesce(l.score, 0) as score
              from found f left join linked l on l.item_id = f.item_id
              order by 2 desc, 1
              limit case when not looks_up then k end) a;
        answerable := case when looks_up then aisle._answerable(ids, k, case when exclude_seen then seen else '{}' end)
                           else ids end;
        exit when needs_vectors or cardinality(answerable) >= k;
        needs_vectors := true;
    end loop;
    return query
        select (row_number() over (order by a.place))::integer, a.item_id, a.score
        from unnest(ids, scores) with ordinality a (item_id, score, place)
        where a.item_id = any (answerable)
        order by a.place
        limit k;
end
$function$;
