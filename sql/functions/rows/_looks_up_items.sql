-- Tells whether an answer must look up each item at this moment: it may not be eligible, may be hidden from the caller, or may have gone
-- from a query without a trace.
create or replace function aisle._looks_up_items() returns boolean
language plpgsql stable parallel safe
as $function$
begin
    return exists (select from aisle._attachments a where a.kind = 'items' and a.looks_up) or aisle._hides_items();
end
$function$;
