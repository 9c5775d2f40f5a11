-- Reads what a customer bought, a line an item and order: how many orders ago (0: in the last one), and when, in days since 1970 or in
-- numbers of orders; and the present time on the same scale. Of two orders at the same time, the one with the larger id is the later. It
-- reads through the shop's own indexes: it casts the id to the column's type, not the column to text. The caller's rights and row
-- security hold.
create or replace function aisle._read_orders(
    user_id text, as_of timestamptz, out items text[], out ago integer[], out days double precision[], out now double precision)
language plpgsql stable parallel safe
as $function$
declare
    at_most constant integer := 10000;  -- lines
    source aisle._attachments := (select a from aisle._attachments a where a.kind = 'orders');
    castable text[] := aisle._castable_ids(array[user_id], source.id_type);
begin
    if castable = '{}' or user_id is null or source.kind is null then
        return;
    end if;
    perform aisle._check_source(source);
    execute format(
        'select array_agg(l.item_id), array_agg(o.ago), array_agg(o.day)
         from (select array_agg(distinct r.item_id) as items, extract(epoch from max(r.local_at)) / 86400 as day,
                      row_number() over (order by max(r.at) desc, r.order_id desc)::integer - 1 as ago
               from (select e.order_id, e.item_id, e.at, e.local_at
                     from aisle._orders e
                     where e.user_id = $1::%s %s
                     order by e.at desc, e.order_id desc
                     limit $2) r
               group by r.order_id) o, unnest(o.items) l (item_id)',
        source.id_type, aisle._before(source, as_of))
    into items, ago, days
    using user_id, at_most;
    if as_of is null and source.time_type in ('smallint', 'integer', 'bigint') then
        now := (select max(d) + 1 from unnest(days) d);
    else
        now := extract(epoch from coalesce(as_of, aisle._now()) at time zone source.time_zone) / 86400;
    end if;
end
$function$;
