-- The answer of one generation to recommend, live or not; with `as_of`, from what was known before that moment. It names no item that
-- is not eligible or that policies hide from the caller, even if the item is in the user's history.
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
    keys constant text[] := aisle._category_keys(model_id, category);
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
    query := aisle._user_vector(model_id, user_id, events.items, context, now);
    if query is null then
        return query
            select (row_number() over ())::integer, p.item_id, p.score
            from aisle._popular_items(model_id, k, keys, case when exclude_seen then coalesce(events.items, '{}') else '{}' end, as_of) p;
    elsif exclude_seen then
        return query
            select (row_number() over ())::integer, n.item_id, n.score
            from aisle._nearest_factors(model_id, query, k, keys, coalesce(events.items, '{}')) n;
    else
        select array_agg(a.item_id order by a.score desc, a.item_id), array_agg(a.score order by a.score desc, a.item_id) into ids, scores
        from (select n.item_id, n.score
              from aisle._nearest_factors(model_id, query, k, keys, coalesce(events.items, '{}')) n
              union all
              select r.item_id, r.score
              from aisle._score_repeats(model_id, query, keys, events.items, events.contexts, context, now) r) a;
        answerable := case when aisle._looks_up_items() then aisle._answerable(ids, k) else ids[:k] end;
        return query
            select (row_number() over (order by a.place))::integer, a.item_id, a.score
            from unnest(ids, scores) with ordinality a (item_id, score, place)
            where a.item_id = any (answerable)
            order by a.place
            limit k;
    end if;
end
$function$;
