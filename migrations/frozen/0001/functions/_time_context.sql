-- What a time tells by itself: the hour, the weekday (1 is Monday), and the meal that is near.
create or replace function aisle._time_context(local_at timestamp) returns jsonb
language sql immutable parallel safe
as $function$
    select jsonb_build_object(
        'hour', hour::text,
        'weekday', extract(isodow from local_at)::integer::text,
        'meal_slot', case when hour between 5 and 10 then 'breakfast' when hour between 11 and 15 then 'lunch'
                          when hour between 16 and 21 then 'dinner' else 'late_night' end)
    from (select extract(hour from local_at)::integer as hour) clock
$function$;
