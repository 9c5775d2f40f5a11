-- The rights that a role lacks to use pgvector and to read the attached columns of the shop's tables, as statements that grant them.
with attached as (
    select relation, columns from aisle._attachments
    union all
    select lines, columns from aisle._attachments where lines is not null
), read as (
    select a.relation, t.attname, t.attnum
    from attached a
    join pg_attribute t on t.attrelid = a.relation and t.attnum > 0 and not t.attisdropped
    where exists (
        select from jsonb_each(a.columns) c
        where c.value = to_jsonb(t.attname::text) or jsonb_typeof(c.value) = 'array' and c.value ? t.attname::text)
), unreadable as (
    select distinct relation, attname, attnum from read where not has_column_privilege(%(role)s, relation, attnum, 'select')
)
select format('grant usage on schema %%I to %%I;', n.nspname, %(role)s)
from pg_extension e
join pg_namespace n on n.oid = e.extnamespace
where e.extname = 'vector' and not has_schema_privilege(%(role)s, n.oid, 'usage')
union
select format('grant usage on schema %%I to %%I;', n.nspname, %(role)s)
from read r
join pg_class c on c.oid = r.relation
join pg_namespace n on n.oid = c.relnamespace
where not has_schema_privilege(%(role)s, n.oid, 'usage')
group by n.nspname
union all
select format('grant select (%%s) on %%s to %%I;', string_agg(quote_ident(attname), ', ' order by attnum), relation::regclass, %(role)s)
from unreadable
group by relation
