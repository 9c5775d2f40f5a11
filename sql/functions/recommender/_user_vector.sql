-- The user's vector at this moment: a sum of rows. Null for a user of whom nothing is known: no vector of their own, no event with an
-- item that the model knows, and no given context that it knows. An item that is gone takes no place in the history, as in training; nor
-- does a repeated item where the model counts each item once. Only a user's last 1,000 events are read. The events come in order without
-- a sort, so that only as many items are looked up as the model needs.
--
--   u = constant + own vector + Σ recency weight · in-vector of a recent item / (number of them) ^ exponent + Σ context vectors
create or replace function aisle._user_vector(model_id integer, user_id text, items text[], given jsonb, local_at timestamp)
returns @vector@.vector
language plpgsql stable parallel safe
as $function$
#variable_conflict use_variable
declare
    context jsonb := aisle._time_context(local_at) || coalesce(given, '{}');
    own @vector@.vector;
    past @vector@.vector;
    known_items integer;
    situation @vector@.vector;
    is_given boolean;
    parameters constant jsonb := (select m.parameters from aisle._models m where m.model_id = model_id);
begin
    if (parameters ->> 'distinct')::boolean then
        items := array(
            select e.item_id from unnest(items[:1000]) with ordinality e (item_id, place) group by e.item_id order by min(e.place));
    end if;
    select v.embedding into own from aisle.user_vectors v where v.model_id = model_id and v.user_id = user_id;
    select @vector@.sum(h.in_embedding operator(@vector@.*) w.weights), count(*) into past, known_items
    from (select f.in_embedding, row_number() over (order by e.place) as place
          from unnest(items[:1000]) with ordinality e (item_id, place)
          join aisle.item_factors f on f.model_id = model_id and f.item_id = e.item_id
          order by e.place
          limit (parameters ->> 'history')::integer) h
    join aisle._recency_weights w on w.model_id = model_id and w.place = h.place;
    select @vector@.sum(c.embedding), bool_or(given ? c.feature) into situation, is_given
    from aisle.context_vectors c
    where c.model_id = model_id and (c.feature = '' or c.value = context ->> c.feature);
    if own is null and known_items = 0 and is_given is not true then
        return null;
    end if;
    if own is not null then
        situation := situation operator(@vector@.+) own;
    end if;
    if known_items > 0 then
        situation := situation operator(@vector@.+) (past operator(@vector@.*)
            array_fill(known_items ^ -(parameters ->> 'exponent')::float8, array[@vector@.vector_dims(past)])::@vector@.vector);
    end if;
    return situation;
end
$function$;
