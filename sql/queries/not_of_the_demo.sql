-- Finds what the demo did not make: a schema `shop` without its mark, and tables and views outside `shop` and `aisle` that belong to no
-- extension.
select 'the schema shop'
from pg_namespace n
where n.nspname = 'shop' and obj_description(n.oid, 'pg_namespace') is distinct from %(mark)s
union all
(select c.oid::regclass::text
 from pg_class c
 join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p', 'v', 'm', 'f')
   and n.nspname not in ('shop', 'aisle', 'information_schema') and n.nspname !~ '^pg_'
   and not exists (
       select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by 1 limit 5)
