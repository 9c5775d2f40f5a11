-- Tells where events are read from: the attached interactions, or else the attached orders; a row of nulls if neither is attached.
create or replace function aisle._event_source() returns aisle._attachments
language plpgsql stable parallel safe
as $function$
begin
    return (select a from aisle._attachments a where a.kind in ('interactions', 'orders') order by a.kind limit 1);
end
$function$;
