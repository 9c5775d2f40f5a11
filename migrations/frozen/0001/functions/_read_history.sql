-- A user's last events, the latest first, through the shop's own index on user and time: the id is cast to the column's type,
-- not the column to text. With `as_of`, only what was before it. The caller's rights and row-level security hold.
create or replace function aisle._read_history(
    user_id text, as_of timestamptz, at_most integer, out items text[], out contexts jsonb[])
language plpgsql stable parallel safe
as $function$
declare
    source aisle._attachments := aisle._event_source();
    castable text[] := aisle._castable_ids(array[user_id], source.id_type);
begin
    if castable = '{}' or user_id is null or source.kind is null then
        return;
    end if;
    execute format(
        'select array_agg(h.item_id), array_agg(h.context || aisle._time_context(h.local_at))
         from (select e.item_id, e.context, e.local_at
               from aisle.%I e
               where e.user_id = $1::%s %s
               order by e.at desc, e.item_id collate "C" desc
               limit $3) h',
        '_' || source.kind, source.id_type,
        aisle._before(source, as_of))
    into items, contexts
    using user_id, as_of, at_most;
end
$function$;
