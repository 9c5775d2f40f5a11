-- What the demo would harm: a schema `shop` that it did not mark as its own, and whatever else is attached.
with demo (oid) as (
    select n.oid from pg_namespace n
    where n.nspname = 'shop' and obj_description(n.oid, 'pg_namespace') = %(mark)s
)
select 'the schema shop' from pg_namespace n where n.nspname = 'shop' and n.oid not in (select oid from demo)
union all
select a.relation::text from aisle._attachments a
left join pg_class c on c.oid = a.relation
where c.relnamespace is null or c.relnamespace not in (select oid from demo)
