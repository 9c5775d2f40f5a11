-- The answer of similar_items. A space belongs to a task, whose live model knows which items are alike there; its own function answers.
create or replace function aisle._similar_items(item text, k integer, space text)
returns table (rank integer, item_id text, score double precision)
language plpgsql stable parallel safe
as $function$
declare
    answering constant text := (select t.spaces ->> space from aisle._tasks t where t.spaces ? space);
begin
    if answering is null then
        raise exception 'There is no space %.', coalesce(space, 'null')
            using errcode = 'AIS06', hint = (
                select 'There are: ' || string_agg(s.name, ', ' order by t.place, s.name)
                from aisle._tasks t, jsonb_object_keys(t.spaces) s (name));
    end if;
    return query execute format('select s.rank, s.item_id, s.score from aisle.%I($1, $2) s', answering) using item, k;
end
$function$;
