-- Tells whether the categories of the attached items are ids of a table of the shop's.
create or replace function aisle._has_tree() returns boolean
language plpgsql stable parallel safe
as $function$
declare
    attached constant aisle._attachments := (select a from aisle._attachments a where a.kind = 'items');
begin
    if attached.is_paused and attached.declaration ? 'categories' then
        raise exception 'The items are paused.' using errcode = 'AIS02', hint = 'When the migration is done: select aisle.resume(''items'')';
    end if;
    return coalesce(attached.declaration ? 'categories', false);
end
$function$;
