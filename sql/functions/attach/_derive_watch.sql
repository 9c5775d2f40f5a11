-- Returns the query for the ids that a row `r` of a table touches: by the joins of the source's query, from the table to the one that has the
-- ids; null if there is no such path. It follows all of the paths that pass no table twice.
create or replace function aisle._derive_watch(base regclass, root regclass, root_column text, source regclass) returns text
language sql stable
begin atomic
    with recursive steps as materialized (
        select j.one, j.its, j.other, j.others from aisle._joins(source) j where j.other is not null
    ), paths (seen, last, tables, conditions) as (
        select array[base], base, array[]::text[] collate "C", array[]::text[] collate "C"
        union all
        select p.seen || s.other, s.other, p.tables || format('%s t%s', s.other, cardinality(p.seen)) collate "C",
               p.conditions || j.condition collate "C"
        from paths p
        join steps s on s.one = p.last and s.other <> all (p.seen)
        cross join lateral (
            select string_agg(format('t%s.%I = %s.%I', cardinality(p.seen), k.others,
                                     case cardinality(p.seen) when 1 then 'r' else 't' || cardinality(p.seen) - 1 end, k.its), ' and ')
            from unnest(s.its, s.others) k (its, others)) j (condition)
        where p.last <> root and cardinality(p.seen) <= 8
    ), found as (
        select p.tables, p.conditions, cardinality(p.tables) as steps from paths p where p.last = root
    ), short as (  -- without the last table, if the one before has the id, too
        select case when e.id is null then f.tables else f.tables[:f.steps - 1] end as tables,
               case when e.id is null then f.conditions else f.conditions[:f.steps - 1] end as conditions,
               coalesce(e.id, format('%s.%I', case f.steps when 0 then 'r' else 't' || f.steps end, root_column)) as id
        from found f
        cross join lateral (
            select (regexp_match(f.conditions[f.steps], format('^t%s\.%s = (((?! and ).)+)$', f.steps,
                                                               regexp_replace(quote_ident(root_column), '(\W)', '\\\1', 'g'))))[1]) e (id)
    )
    select string_agg(distinct format('select %s', s.id) || coalesce(
        ' from ' || s.tables[1] || (select coalesce(string_agg(format(' join %s on %s', s.tables[n], s.conditions[n]), '' order by n), '')
                                   from generate_series(2, cardinality(s.tables)) n)
        || ' where ' || s.conditions[1], ''), ' union ')
    from short s;
end;
