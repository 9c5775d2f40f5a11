-- The share of eligible items among 10,000, never 0: a search for k items looks at so many more.
create or replace function aisle._eligible_share() returns real
language plpgsql stable
as $function$
begin
    return (select coalesce(greatest(avg((i.is_eligible is true)::integer), .001), 1) from (select i.is_eligible from aisle._items i limit 10000) i);
end
$function$;
