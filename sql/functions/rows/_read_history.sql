-- Reads a user's last events, the newest first, through the shop's own index on user and time: it casts the id to the column's type, not
-- the column to text. With `as_of`, it reads what was before. The context of each event costs as much as the rest, so it is read on
-- request. The caller's rights and row security hold.
create or replace function aisle._read_history(
    source aisle._attachments, user_id text, as_of timestamptz, at_most integer, with_contexts boolean,
    out items text[], out contexts jsonb[])
language plpgsql stable parallel safe
as $function$
begin
    if user_id is null or source.kind is null or aisle._castable_ids(array[user_id], source.id_type) = '{}' then
        return;
    end if;
    perform aisle._check_source(source);
    execute format(
        'select array_agg(h.item_id), %s
         from (select e.item_id, e.context, e.local_at
               from aisle.%I e
               where e.user_id = $1::%s %s
               order by e.at desc, e.item_id collate "C" desc
               limit $2) h',
        case when with_contexts then 'array_agg(h.context || aisle._time_context(h.local_at))' else 'null::jsonb[]' end,
        '_' || source.kind, source.id_type,
        aisle._before(source, as_of))
    into items, contexts
    using user_id, at_most;
end
$function$;
