-- The tables below a view, with the names of those of their columns that the view reads.
create or replace function aisle._base_tables(source regclass) returns table (relation regclass, columns text[])
language sql stable
begin atomic
    with recursive read (relation, attnum) as (
        select source::oid, 0::smallint
        union
        select d.refobjid, d.refobjsubid::smallint
        from read r
        join pg_catalog.pg_rewrite w on w.ev_class = r.relation
        join pg_catalog.pg_class v on v.oid = w.ev_class and v.relkind = 'v'
        join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = w.oid
                                   and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid <> w.ev_class
    )
    select r.relation::regclass, coalesce(array_agg(a.attname::text order by a.attnum) filter (where a.attnum > 0), '{}')
    from read r
    join pg_catalog.pg_class c on c.oid = r.relation and c.relkind in ('r', 'p', 'f', 'm')
    left join pg_catalog.pg_attribute a on a.attrelid = r.relation and a.attnum = r.attnum and a.attnum > 0
    group by r.relation;
end;
