-- The terms of a score of _recommend, of one generation: the sum of the shares is the score. The user's vector is a sum of rows, and an
-- inner product with a sum is the sum of inner products.
create or replace function aisle._explain_recommendation(model_id integer, user_id text, item text, given jsonb)
returns table (because text, value text, share double precision)
language plpgsql stable parallel safe
as $function$
#variable_conflict use_column
declare
    model constant integer := _explain_recommendation.model_id;
    parameters constant jsonb := (select m.parameters from aisle._models m where m.model_id = model);
    source aisle._attachments := aisle._event_source();
    now constant timestamp := aisle._now() at time zone coalesce(source.time_zone, current_setting('TimeZone'));
    context constant jsonb := aisle._time_context(now) || coalesce(given, '{}');
    events record;
    past text[];
    of_vectors text[];  -- as many of them as the user's vector has
    query @vector@.vector;
    scale double precision := 1;
    wanted @vector@.vector;
begin
    perform aisle._check_context(model, given);
    select f.embedding into wanted from aisle.item_factors f where f.model_id = model and f.item_id = item;
    if wanted is null or aisle._looks_up_items() and aisle._answerable(array[item], null) = '{}' then
        return;
    end if;
    events := aisle._read_history(source, user_id, null, 1000, true);
    query := aisle._user_vector(model, user_id, events.items, given, now);
    if query is null then
        return query
            select 'popularity', null, p.score from aisle._popular_items(model, 10000, null, '{}', null) p where p.item_id = item;
        return;
    end if;
    if (parameters ->> 'unit')::boolean then
        scale := 1 / greatest(@vector@.vector_norm(query), 1e-12);
        query := @vector@.l2_normalize(query);
    end if;
    past := aisle._past_items(model, events.items);
    of_vectors := past[:(parameters ->> 'history')::integer];
    return query
        select t.because, t.value, sum(t.share)
        from (select 'item' as because, e.item_id as value,
                     -((f.in_embedding operator(@vector@.*) w.weights) operator(@vector@.<#>) wanted)
                     * scale * greatest(cardinality(of_vectors), 1) ^ -(parameters ->> 'exponent')::float8 as share
              from unnest(of_vectors) with ordinality e (item_id, place)
              join aisle.item_factors f on f.model_id = model and f.item_id = e.item_id
              join aisle._recency_weights w on w.model_id = model and w.place = e.place
              union all
              select 'item', h.source, n.weight * h.counts
              from aisle._history_links(model, past) h
              cross join lateral unnest(h.linked, h.weights) n (item_id, weight)
              where n.item_id = item
              union all
              select 'taste', null, -(v.embedding operator(@vector@.<#>) wanted) * scale
              from aisle.user_vectors v where v.model_id = model and v.user_id = _explain_recommendation.user_id
              union all
              select case c.feature when '' then 'popularity' else c.feature end, nullif(c.value, ''),
                     -(c.embedding operator(@vector@.<#>) wanted) * scale
              from aisle.context_vectors c
              where c.model_id = model and (c.feature = '' or c.value = context ->> c.feature)
              union all
              select 'repeat', null, r.score + (wanted operator(@vector@.<#>) query)
              from aisle._score_repeats(model, query, null, events.items, events.contexts, given, now) r
              where r.item_id = item) t
        where t.share <> 0
        group by t.because, t.value
        order by 3 desc, 1, 2;
end
$function$;
