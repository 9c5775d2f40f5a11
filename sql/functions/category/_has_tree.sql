-- Tells whether the categories of the attached items are ids of a table of the shop's.
create or replace function aisle._has_tree() returns boolean
language plpgsql stable parallel safe
as $function$
declare
    attached constant aisle._attachments := (select a from aisle._attachments a where a.kind = 'items');
begin
    if coalesce(not attached.declaration ? 'categories', true) then
        return false;
    elsif attached.is_paused then
        raise exception 'The items are paused.' using errcode = 'AIS02', hint = 'When the migration is done: select aisle.resume(''items'')';
    elsif to_regclass('aisle._category_nodes') is null then
        raise exception 'Aisle''s view of the categories is gone.'
            using errcode = 'AIS02', hint = 'After a migration: select aisle.resume(''items'')';
    end if;
    return true;
end
$function$;
