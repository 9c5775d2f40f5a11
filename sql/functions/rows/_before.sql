-- Returns the condition that an event `e` was before a moment, in the type of the event's time, so that the shop's index serves; empty
-- without a moment. A date is compared with the moment itself: cut to a date, a moment just before midnight would exclude the day before.
-- The number of an order stands for so many days after 1970. The text means the same whatever the session's DateStyle is.
create or replace function aisle._before(source aisle._attachments, as_of timestamptz) returns text
language sql stable parallel safe
begin atomic
    select case when as_of is null then '' else format('and e.at < %L::%s',
        case when source.time_type = 'timestamp with time zone' then to_char(as_of at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00')
             when source.time_type in ('timestamp without time zone', 'date') then
                 to_char(as_of at time zone source.time_zone, 'YYYY-MM-DD HH24:MI:SS.US')
             else ceil(extract(epoch from as_of at time zone source.time_zone) / 86400)::text end,
        case source.time_type when 'date' then 'timestamp without time zone' else source.time_type end) end;
end;
