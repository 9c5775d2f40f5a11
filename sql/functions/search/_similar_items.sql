-- The answer of similar_items. A space is a task whose model knows which items are alike; its own function answers.
create or replace function aisle._similar_items(item text, k integer, space text)
returns table (rank integer, item_id text, score double precision)
language plpgsql stable parallel safe
as $function$
declare
    answering constant text := (select t.similar_items from aisle._tasks t where t.task = space);
begin
    if answering is null then
        raise exception 'There is no space %.', coalesce(space, 'null')
            using errcode = 'AIS06', hint = (
                select 'There are: ' || string_agg(t.task, ', ' order by t.place) from aisle._tasks t where t.similar_items is not null);
    end if;
    return query execute format('select s.rank, s.item_id, s.score from aisle.%I($1, $2) s', answering) using item, k;
end
$function$;
