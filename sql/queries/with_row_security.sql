-- The attached relations whose rows policies may hide: tables with policies, and views that run with their caller's rights.
select distinct c.oid::regclass::text
from aisle._attachments a
join pg_class c on c.oid = any (a.relation || a.reads) and c.relnamespace <> 'aisle'::regnamespace
where c.relrowsecurity or c.relkind = 'v' and exists (
    select from pg_options_to_table(c.reloptions) o
    where o.option_name = 'security_invoker' and o.option_value::boolean)
order by 1
