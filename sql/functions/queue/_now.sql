-- The time by which jobs are due and leases end. A test sets `aisle.now`; otherwise it is the clock's.
create or replace function aisle._now() returns timestamptz
language sql stable parallel safe
begin atomic
    select coalesce(nullif(current_setting('aisle.now', true), '')::timestamptz, clock_timestamp());
end;
