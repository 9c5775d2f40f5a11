-- Reads a user's last events, the newest first, through the shop's own index on user and time: it casts the id to the column's type, not
-- the column to text. With `as_of`, it reads what was before. The context of each event costs as much as the rest, so it is read on
-- request. The caller's rights and row security hold. What is asked for most has statements of its own, one for each source and type of
-- ids, so that their plans are kept: planning takes longer than reading.
create or replace function aisle._read_history(
    source aisle._attachments, user_id text, as_of timestamptz, at_most integer, with_contexts boolean,
    out items text[], out contexts jsonb[])
language plpgsql stable parallel safe
as $function$
#variable_conflict use_variable
begin
    if user_id is null or source.kind is null or aisle._castable_ids(array[user_id], source.id_type) = '{}' then
        return;
    end if;
    perform aisle._check_source(source);
    if as_of is not null or with_contexts then
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
    elsif source.kind = 'interactions' and source.id_type = 'text' then
        select array_agg(h.item_id) into items
        from (select e.item_id from aisle._interactions e where e.user_id = user_id
              order by e.at desc, e.item_id collate "C" desc limit at_most) h;
    elsif source.kind = 'interactions' and source.id_type = 'uuid' then
        select array_agg(h.item_id) into items
        from (select e.item_id from aisle._interactions e where e.user_id = user_id::uuid
              order by e.at desc, e.item_id collate "C" desc limit at_most) h;
    elsif source.kind = 'interactions' then
        select array_agg(h.item_id) into items
        from (select e.item_id from aisle._interactions e where e.user_id = user_id::bigint
              order by e.at desc, e.item_id collate "C" desc limit at_most) h;
    elsif source.kind = 'orders' and source.id_type = 'text' then
        select array_agg(h.item_id) into items
        from (select e.item_id from aisle._orders e where e.user_id = user_id
              order by e.at desc, e.item_id collate "C" desc limit at_most) h;
    elsif source.kind = 'orders' and source.id_type = 'uuid' then
        select array_agg(h.item_id) into items
        from (select e.item_id from aisle._orders e where e.user_id = user_id::uuid
              order by e.at desc, e.item_id collate "C" desc limit at_most) h;
    else
        select array_agg(h.item_id) into items
        from (select e.item_id from aisle._orders e where e.user_id = user_id::bigint
              order by e.at desc, e.item_id collate "C" desc limit at_most) h;
    end if;
end
$function$;
