-- The joins of a view's query: the columns of two tables that must be equal, a row each way. Read from the text of the view, where PostgreSQL
-- writes each comparison as `one.column = other.column`. `root` is the table that has the ids. A row with nulls for the other names a table of which not every use is joined so:
-- what its rows touch cannot be told. That is also said of a table that is used twice under one name or beside itself, of all tables
-- below a window function, and of a table with children.
create or replace function aisle._joins(source regclass, root regclass default null) returns table (one regclass, its text[], other regclass, others text[])
language sql stable
begin atomic
    with recursive views (oid) as (
        select source::oid
        union
        select d.refobjid
        from views v
        join pg_catalog.pg_rewrite w on w.ev_class = v.oid
        join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = w.oid
                                   and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid <> w.ev_class
    ), texts (oid, query) as materialized (
        select v.oid, pg_catalog.pg_get_viewdef(v.oid) from views v join pg_catalog.pg_class c on c.oid = v.oid and c.relkind = 'v'
    ), named (view, alias, relation) as materialized (
        select t.oid, coalesce(m[2], regexp_replace(m[1], '^.*\.', '')), aisle._relation_named(m[1])
        from texts t
        cross join lateral regexp_matches(
            t.query, '(?:FROM|JOIN)\s+\(*((?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+))?)(?:\s+(?!ON\M|JOIN\M|LEFT\M|RIGHT\M|FULL\M|CROSS\M|WHERE\M|GROUP\M|ORDER\M|LIMIT\M|HAVING\M|UNION\M|WINDOW\M)("[^"]+"|\w+))?', 'g') m
    ), ambiguous (view, alias) as materialized (
        select n.view, n.alias from named n group by n.view, n.alias having count(*) > 1
    ), equal (view, one, its, other, others) as materialized (  -- each reads the text once
        select t.oid, m[1], m[2], m[3], m[4]
        from texts t
        cross join lateral aisle._conjunctions(t.query) c (condition)
        cross join lateral regexp_matches(
            c.condition, '\(("[^"]+"|\w+)\.("[^"]+"|\w+)(?:::\w+)? = ("[^"]+"|\w+)\.("[^"]+"|\w+)(?:::\w+)?\)', 'g') m
        where (t.oid, m[1]) not in (select a.view, a.alias from ambiguous a)
          and (t.oid, m[3]) not in (select a.view, a.alias from ambiguous a)
    ), pairs as materialized (
        select e.view, s.*
        from equal e
        join named o on o.view = e.view and o.alias = e.one
        join named p on p.view = e.view and p.alias = e.other
        join pg_catalog.pg_attribute a on a.attrelid = o.relation and quote_ident(a.attname) = e.its
        join pg_catalog.pg_attribute b on b.attrelid = p.relation and quote_ident(b.attname) = e.others
        cross join lateral (
            values (e.one, e.other, o.relation, a.attname::text, p.relation, b.attname::text),
                   (e.other, e.one, p.relation, b.attname, o.relation, a.attname)) s (alias, other_alias, one, its, other, others)
        where o.relation <> p.relation
          -- Keys of other types cannot be logged; without such a comparison, a few more ids are touched.
          and aisle._column_type(o.relation, a.attname) in ('smallint', 'integer', 'bigint', 'uuid', 'text')
          and aisle._column_type(p.relation, b.attname) in ('smallint', 'integer', 'bigint', 'uuid', 'text')
    )
    select distinct p.one, array_agg(p.its order by p.its, p.others), p.other, array_agg(p.others order by p.its, p.others)
    from pairs p
    group by p.view, p.alias, p.other_alias, p.one, p.other
    union
    select n.relation, null, null, null
    from named n
    join texts t on t.oid = n.view
    join pg_catalog.pg_class c on c.oid = n.relation
    where c.relkind <> 'v'
      and ((n.view, n.alias) in (select a.view, a.alias from ambiguous a)
           or n.relation is distinct from root and not exists (select from pairs p where p.view = n.view and p.alias = n.alias)
           or exists (select from named o where o.view = n.view and o.relation = n.relation and o.alias <> n.alias)
              and n.relation = root
           or c.relkind = 'r' and exists (select from pg_catalog.pg_inherits i where i.inhparent = n.relation)
           or t.query ~ '\mOVER \(|DISTINCT ON');
end;
