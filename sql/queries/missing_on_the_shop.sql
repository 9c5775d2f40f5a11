-- The rights that a role lacks to use pgvector and to read the columns that Aisle reads of the shop's tables, as statements that grant
-- them. A view of the shop's that runs with its caller's rights needs rights below it, too.
with sources as (
    select a.relation, to_regclass('aisle._' || a.kind) as view from aisle._attachments a
), read as (
    select distinct t.attrelid as relation, t.attname, t.attnum
    from sources s
    cross join lateral aisle._base_tables(s.view) b
    join pg_attribute t on t.attrelid = b.relation and t.attname = any (b.columns)
    where not exists (  -- a view that runs with its owner's rights stands before it
        select from pg_class v
        where v.oid = s.relation and v.relkind = 'v' and v.relnamespace <> 'aisle'::regnamespace and not exists (
            select from pg_options_to_table(v.reloptions) o where o.option_name = 'security_invoker' and o.option_value::boolean))
    union
    select t.attrelid, t.attname, t.attnum
    from sources s
    join pg_class v on v.oid = s.relation and v.relkind = 'v' and v.relnamespace <> 'aisle'::regnamespace
    join pg_rewrite w on w.ev_class = s.view
    join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid
                    and d.refclassid = 'pg_class'::regclass and d.refobjid = v.oid
    join pg_attribute t on t.attrelid = v.oid and t.attnum = d.refobjsubid and t.attnum > 0
), unreadable as (
    select relation, attname, attnum from read where not has_column_privilege(%(role)s, relation, attnum, 'select')
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
