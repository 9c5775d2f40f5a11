-- The columns that triggers read and that are gone or have another name now: a trigger names a column, while a view follows it.
create or replace view aisle._lost_columns as
select r.kind, r.relation, r.name
from (select a.kind, a.relation, a.columns ->> 'id' as name
      from aisle._attachments a
      where a.kind = 'items' and not a.is_paused and not a.declaration ? 'query'
      union all
      select w.kind, w.relation, c.name
      from aisle._watches w
      join aisle._attachments a on a.kind = w.kind and not a.is_paused
      cross join lateral unnest(w.columns) c (name)) r
join pg_class t on t.oid = r.relation and t.relkind in ('r', 'p')
where not exists (
    select from pg_attribute c where c.attrelid = r.relation and c.attname = r.name and c.attnum > 0 and not c.attisdropped);
