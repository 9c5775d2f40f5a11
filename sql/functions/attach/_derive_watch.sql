-- Returns the query for the ids that a row `r` of a table touches: from the table to the one that has the ids, through some of `among`, by
-- the joins of the source's query or by foreign keys; null if there is no such path. It follows all of the shortest paths: nothing tells
-- which of them matters.
create or replace function aisle._derive_watch(base regclass, root regclass, root_column text, among regclass[], source regclass) returns text
language sql stable
begin atomic
    with recursive foreign_keys (one, its, other, others) as (
        select c.conrelid::regclass, array(select a.attname::text from unnest(c.conkey) with ordinality k (n, place)
                                           join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.n order by k.place),
               c.confrelid::regclass, array(select a.attname::text from unnest(c.confkey) with ordinality k (n, place)
                                            join pg_catalog.pg_attribute a on a.attrelid = c.confrelid and a.attnum = k.n order by k.place)
        from pg_catalog.pg_constraint c
        where c.contype = 'f'
    ), joins as materialized (
        select j.one, j.its, j.other, j.others from aisle._joins(source) j
    ), steps (one, its, other, others) as (
        select j.one, j.its, j.other, j.others from joins j
        union
        select s.one, s.its, s.other, s.others
        from (select f.one, f.its, f.other, f.others from foreign_keys f
              union all select f.other, f.others, f.one, f.its from foreign_keys f) s
        where not exists (select from joins j where j.one = s.one and j.other = s.other)  -- the query says more
    ), paths (seen, last, tables, conditions) as (
        select array[base], base, array[]::text[] collate "C", array[]::text[] collate "C"
        union all
        select p.seen || s.other, s.other, p.tables || format('%s t%s', s.other, cardinality(p.seen)) collate "C",
               p.conditions || j.condition collate "C"
        from paths p
        join steps s on s.one = p.last and s.other <> all (p.seen) and (s.other = root or s.other = any (among))
        cross join lateral (
            select string_agg(format('t%s.%I = %s.%I', cardinality(p.seen), k.others,
                                     case cardinality(p.seen) when 1 then 'r' else 't' || cardinality(p.seen) - 1 end, k.its), ' and ')
            from unnest(s.its, s.others) k (its, others)) j (condition)
        where p.last <> root and cardinality(p.seen) <= 6
    ), found as (
        select p.tables, p.conditions, cardinality(p.tables) as steps, dense_rank() over (order by cardinality(p.tables)) as place
        from paths p
        where p.last = root
    ), short as (  -- without the last table, if the one before has the id, too
        select case when e.id is null then f.tables else f.tables[:f.steps - 1] end as tables,
               case when e.id is null then f.conditions else f.conditions[:f.steps - 1] end as conditions,
               coalesce(e.id, format('%s.%I', case f.steps when 0 then 'r' else 't' || f.steps end, root_column)) as id
        from found f
        cross join lateral (
            select (regexp_match(f.conditions[f.steps], format('^t%s\.%s = (((?! and ).)+)$', f.steps,
                                                               regexp_replace(quote_ident(root_column), '(\W)', '\\\1', 'g'))))[1]) e (id)
        where f.place = 1
    )
    select string_agg(distinct format('select %s', s.id) || coalesce(
        ' from ' || s.tables[1] || (select coalesce(string_agg(format(' join %s on %s', s.tables[n], s.conditions[n]), '' order by n), '')
                                   from generate_series(2, cardinality(s.tables)) n)
        || ' where ' || s.conditions[1], ''), ' union ')
    from short s;
end;
