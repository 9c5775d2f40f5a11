-- The joins of a view's query, which need no foreign key: the columns of two tables that it compares for equality, a row each way. Read
-- from the text of the view, where PostgreSQL writes each comparison as `one.column = other.column`.
create or replace function aisle._joins(source regclass) returns table (one regclass, its text[], other regclass, others text[])
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
    ), texts (oid, query) as (
        select v.oid, pg_catalog.pg_get_viewdef(v.oid) from views v join pg_catalog.pg_class c on c.oid = v.oid and c.relkind = 'v'
    ), named (view, alias, relation) as (
        select t.oid, coalesce(m[2], regexp_replace(m[1], '^.*\.', '')), aisle._relation_named(m[1])
        from texts t
        cross join lateral regexp_matches(
            t.query, '(?:FROM|JOIN)\s+\(*((?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+))?)(?:\s+(?!ON\M|JOIN\M|LEFT\M|RIGHT\M|FULL\M|CROSS\M|WHERE\M|GROUP\M|ORDER\M|LIMIT\M|HAVING\M|UNION\M|WINDOW\M)("[^"]+"|\w+))?', 'g') m
    ), equal (view, one, its, other, others) as (
        select t.oid, m[1], m[2], m[3], m[4]
        from texts t
        cross join lateral regexp_matches(
            t.query, '("[^"]+"|\w+)\.("[^"]+"|\w+)(?:::\w+)? = ("[^"]+"|\w+)\.("[^"]+"|\w+)', 'g') m
    )
    select distinct j.one, array_agg(j.its order by j.its, j.others), j.other, array_agg(j.others order by j.its, j.others)
    from (select e.view, e.one as alias, e.other as other_alias, s.*
          from equal e
          join named o on o.view = e.view and o.alias = e.one
          join named p on p.view = e.view and p.alias = e.other
          join pg_catalog.pg_attribute a on a.attrelid = o.relation and quote_ident(a.attname) = e.its
          join pg_catalog.pg_attribute b on b.attrelid = p.relation and quote_ident(b.attname) = e.others
          cross join lateral (
              values (o.relation, a.attname::text, p.relation, b.attname::text), (p.relation, b.attname, o.relation, a.attname)
          ) s (one, its, other, others)
          where o.relation <> p.relation) j
    group by j.view, least(j.alias, j.other_alias), greatest(j.alias, j.other_alias), j.one, j.other;
end;
