-- What a time tells by itself: the hour, the weekday (1 is Monday), and the nearest meal. It is one expression, and stable as
-- jsonb_build_object is, so that the planner makes it a part of the query that calls it for each of a thousand events.
create or replace function aisle._time_context(local_at timestamp) returns jsonb
language sql stable parallel safe
begin atomic
    select jsonb_build_object(
        'hour', extract(hour from local_at)::integer::text,
        'weekday', extract(isodow from local_at)::integer::text,
        'meal_slot', case when extract(hour from local_at) < 5 then 'late_night' when extract(hour from local_at) < 11 then 'breakfast'
                          when extract(hour from local_at) < 16 then 'lunch' when extract(hour from local_at) < 22 then 'dinner'
                          else 'late_night' end);
end;
