-- Scores the items of a user's own history. To the inner product it adds how likely a repeat is: for having been seen before, how often,
-- how recently, and in the same context. Items that are gone take no place in the history.
create or replace function aisle._score_repeats(
    model_id integer, query @vector@.vector, keys text[], items text[], contexts jsonb[], given jsonb, local_at timestamp)
returns table (item_id text, score double precision)
language plpgsql stable parallel safe
as $function$
#variable_conflict use_column
declare
    model constant integer := _score_repeats.model_id;
    repeats constant jsonb := (select m.parameters -> 'repeats' from aisle._models m where m.model_id = _score_repeats.model_id);
    asked constant jsonb := aisle._time_context(local_at) || coalesce(given, '{}');
begin
    return query
        with events as (
            select e.item_id, e.context, row_number() over (order by e.place) as place
            from unnest(items, contexts) with ordinality e (item_id, context, place)
            where (e.item_id in (select f.item_id from aisle.item_factors f where f.model_id = model and f.item_id = any (items)))
                  is true  -- keeps it from becoming a join: it is hashed, whatever the plan
        ), own as (  -- one sum over both, because a join might compare each item with each
            select a.item_id, sum(a.score) as score
            from (select e.item_id,
                         (repeats ->> 'seen')::float8 + (repeats ->> 'count')::float8 * ln(1 + count(*))
                         + (repeats ->> 'recency')::float8
                           * ln(1 + sum(exp(least(greatest(-(repeats ->> 'decay')::float8 * (e.place - 1), -600), 600)))) as score
                  from events e
                  group by e.item_id
                  union all
                  select e.item_id, w.value::float8 * ln(1 + count(*))
                  from events e, jsonb_each_text(repeats -> 'context') w (feature, value)
                  where e.context ->> w.feature = asked ->> w.feature
                  group by e.item_id, w.feature, w.value) a
            group by a.item_id
        )
        select f.item_id, -(f.embedding operator(@vector@.<#>) query) + o.score
        from own o
        join aisle.item_factors f on f.model_id = model and f.item_id = o.item_id
        where keys is null or f.category_key = any (keys) or f.category_key >= keys[1] and f.category_key < keys[1] || chr(1114111);
end
$function$;
