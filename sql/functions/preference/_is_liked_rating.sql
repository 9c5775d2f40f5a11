-- Tells whether a rating means that the user liked the item; null if it does not tell. The rule is {"from": 4}, by which only a number
-- tells, or {"values": ["good", "great"]}.
create or replace function aisle._is_liked_rating(rating text, rule jsonb) returns boolean
language sql immutable parallel safe
begin atomic
    select case
        when rule ? 'values' then rule -> 'values' ? rating
        when rating ~ '^[-+]?[0-9]{1,30}([.][0-9]{1,30})?$' then rating::numeric >= (rule ->> 'from')::numeric
    end;
end;
