-- The indexes that the shop's tables lack for fast answers from the rows of a kind, as statements that create them: on what is asked for,
-- and on what queries and conditions join. Looks through the views that Aisle made, as far as their columns are the tables'.
create or replace function aisle._missing_indexes(kind text) returns table (purpose text, statement text)
language sql stable
begin atomic
    with missing (place, purpose, statement) as (
    select w.place, w.purpose, format('create index concurrently on %s (%s);', i.relation, (select string_agg(quote_ident(c), ', ') from unnest(i.columns) c))
    from aisle._attachments a
    cross join lateral (
        values (1, 'items', 'For fast answers, also', a.relation, array[a.columns ->> 'id']),
               (2, 'interactions', 'For fast answers, also', a.relation, array[a.columns ->> 'user', a.columns ->> 'at']),
               (3, 'interactions', 'For users without a history', a.relation, array[a.columns ->> 'at']),
               (4, 'orders', 'For fast answers, also', a.relation, array_remove(array[a.columns ->> 'user', a.columns ->> 'at'], null)),
               (5, 'orders', 'For fast answers, also', a.lines, array[a.columns ->> 'line_order'])
    ) w (place, kind, purpose, relation, columns)
    cross join lateral (
        select min(o.relation::oid)::regclass, array_agg(o.column_name order by c.place), min(o.relation::oid) = max(o.relation::oid)
        from unnest(w.columns) with ordinality c (name, place), aisle._origin(w.relation, c.name) o
    ) i (relation, columns, is_one_table)
    where a.kind = _missing_indexes.kind and w.kind = a.kind and i.is_one_table
      -- For orders, an index on the customer is enough.
      and not aisle._has_index(i.relation, case w.kind when 'orders' then i.columns[:1] else i.columns end)
    union all
    select 6, 'For fast joins', format('create index concurrently on %s (%I);', j.one, j.its[1])
    from aisle._attachments a, aisle._joins(to_regclass('aisle._' || a.kind)) j
    where a.kind = _missing_indexes.kind and j.one = any (a.reads) and j.other is not null
      and not exists (select from unnest(j.its) c (name) where aisle._has_index(j.one, array[c.name]))
    )
    select (array_agg(m.purpose order by m.place))[1], m.statement from missing m group by m.statement order by min(m.place), m.statement;
end;
