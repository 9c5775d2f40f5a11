-- The indexes that the shop's tables lack for fast answers, as statements that create them.
select format('create index concurrently on %s (%s);', w.relation, (select string_agg(quote_ident(c), ', ') from unnest(w.columns) c))
from aisle._attachments a
cross join lateral (
    values ('items', a.relation, array[a.columns ->> 'id']),
           ('interactions', a.relation, array[a.columns ->> 'user', a.columns ->> 'at']),
           ('interactions', a.relation, array[a.columns ->> 'at']),
           ('orders', a.relation, array_remove(array[a.columns ->> 'user', a.columns ->> 'at'], null)),
           ('orders', a.lines, array[a.columns ->> 'line_order'])
) w (kind, relation, columns)
where w.kind = a.kind and w.relation is not null
  -- For orders, an index on the customer is enough.
  and not aisle._has_index(w.relation, case w.kind when 'orders' then w.columns[:1] else w.columns end)
