-- The links that leave the items of a history (_past_items), and how much each counts. Each kind of links reads so many of the items, and
-- counts the one at place p, from 0, by exp(-p / decay). If no link leaves any of them, the latest few lead where their neighbours do.
create or replace function aisle._history_links(model_id integer, past text[])
returns table (source text, linked text[], weights real[], counts double precision)
language plpgsql stable parallel safe
as $function$
#variable_conflict use_column
declare
    model constant integer := _history_links.model_id;
    strangers constant integer := 3;  -- items
    kinds text[];
    decays double precision[];
    histories integer[];
begin
    select array_agg(k.key), array_agg(coalesce((k.value ->> 'decay')::float8, 'infinity')), array_agg((k.value ->> 'history')::integer)
    into kinds, decays, histories
    from aisle._models m, jsonb_each(m.parameters -> 'links') k where m.model_id = model;
    return query
        select e.item_id, l.linked, l.weights, exp((1 - e.place) / k.decay)
        from unnest(past[:(select max(h) from unnest(histories) h)]) with ordinality e (item_id, place)
        join aisle.item_links l on l.model_id = model and l.item_id = e.item_id
        join unnest(kinds, decays, histories) k (kind, decay, history) on k.kind = l.kind and e.place <= k.history;
    if not found then
        return query
            select e.item_id, l.linked, l.weights, exp((1 - e.place) / k.decay)
            from unnest(past[:strangers]) with ordinality e (item_id, place)
            cross join lateral aisle._neighbours_links(model, e.item_id) l
            join unnest(kinds, decays, histories) k (kind, decay, history) on k.kind = l.kind and e.place <= k.history;
    end if;
end
$function$;
