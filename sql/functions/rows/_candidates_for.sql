-- How many candidates a search for k items looks at first, where some of them cannot be answered.
create or replace function aisle._candidates_for(k integer) returns integer
language plpgsql stable parallel safe
as $function$
begin
    return case when k < 1 or k is null then k else coalesce((
        select least(ceil((k::bigint + 5) / a.eligible_share), greatest(k, 1000000)) from aisle._attachments a where a.kind = 'items'), k) end;
end
$function$;
