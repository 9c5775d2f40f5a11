-- Tells whether policies may hide rows of the attached items from the caller; answers then name only items that the caller can see. A
-- view that runs with its caller's rights may read a table that has policies.
create or replace function aisle._hides_items() returns boolean
language plpgsql stable parallel safe
as $function$
begin
    return exists (
        select from aisle._attachments a
        cross join lateral unnest(a.relation || a.reads) r (relation)
        join pg_class c on c.oid = r.relation
        where a.kind = 'items' and (
            row_security_active(c.oid)
            or c.relkind = 'v' and c.relnamespace <> 'aisle'::regnamespace and exists (
                select from pg_options_to_table(c.reloptions) o
                where o.option_name = 'security_invoker' and o.option_value::boolean)));
end
$function$;
