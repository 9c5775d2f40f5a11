-- What is popular now: the items of the last 10,000 events that are at most seven days older than the newest one. The score is an item's
-- share of these events. Events in the future, such as bookings and placeholders, do not count; numbers of orders say nothing of now. If
-- there are fewer than k, or if only a scan of the whole table could tell, the items that the model prefers for an unknown user follow,
-- with a score of 0.
create or replace function aisle._popular_items(
    model_id integer, k integer, keys text[], excluded text[], as_of timestamptz)
returns table (item_id text, score double precision)
language plpgsql stable parallel safe
as $function$
#variable_conflict use_column
declare
    source aisle._attachments := aisle._event_source();
    until constant timestamptz := coalesce(
        as_of, case when source.time_type not in ('smallint', 'integer', 'bigint') then aisle._now() end);
    looks_up constant boolean := aisle._looks_up_items();
    latest text[] := '{}';
    ids text[];
    shares double precision[];
    answerable text[];
begin
    if source.kind is not null
       and (select aisle._has_index(o.relation, array[o.column_name]) from aisle._origin(source.relation, source.columns ->> 'at') o) is not false
    then
        execute format(
            'select array_agg(e.item_id)
             from (select item_id, local_at, max(local_at) over () as last_at
                   from (select e.item_id, e.local_at from aisle.%I e where true %s order by e.at desc limit 10000) e) e
             where e.local_at > e.last_at - interval ''7 days''',
            '_' || source.kind,
            aisle._before(source, until))
        into latest;
    end if;
    select array_agg(p.item_id), array_agg(p.share) into ids, shares
    from (select l.item_id, count(*)::float8 / cardinality(latest) as share
          from unnest(latest) l (item_id)
          join aisle.item_factors f on f.model_id = _popular_items.model_id and f.item_id = l.item_id
          where l.item_id <> all (excluded)
            and (keys is null or f.category_key = any (keys) or f.category_key >= keys[1] and f.category_key < keys[1] || chr(1114111))
          group by l.item_id
          order by 2 desc, 1
          limit case when not looks_up then k end) p;
    answerable := case when looks_up then aisle._answerable(coalesce(ids, '{}'), k, excluded) else coalesce(ids, '{}') end;
    return query
        select p.item_id, p.share from unnest(ids, shares) with ordinality p (item_id, share, place)
        where not looks_up or p.item_id = any (answerable)
        order by p.place;
    if cardinality(answerable) < k then
        return query
            select n.item_id, 0::float8
            from aisle.context_vectors c,
                 aisle._nearest_factors(_popular_items.model_id, c.embedding, k - cardinality(answerable), keys, answerable || excluded) n
            where c.model_id = _popular_items.model_id and c.feature = '';
    end if;
end
$function$;
