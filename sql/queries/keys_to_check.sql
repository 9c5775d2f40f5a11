-- The columns that must lead to one row each, though no unique index may say so, as attach checks them: the table or view, and the column.
select a.kind, 'aisle._items' as relation, 'item_id' as column_name
from aisle._attachments a where a.kind = 'items' and not a.is_paused and a.declaration ? 'query'
union all
select a.kind, 'aisle._category_nodes', 'category_id'
from aisle._attachments a where a.kind = 'items' and not a.is_paused and a.declaration ? 'categories'
union all
select a.kind, aisle._relation_named(w.way[1])::text, w.way[2]
from aisle._attachments a, aisle._item_way(a.declaration ->> 'item_via') w (way)
where a.declaration ? 'item_via' and aisle._relation_named(w.way[1]) is not null
union all
select a.kind, aisle._relation_named(a.declaration ->> 'relation')::text, a.declaration ->> 'order_id'
from aisle._attachments a
where a.kind = 'orders' and a.declaration ? 'lines' and aisle._relation_named(a.declaration ->> 'relation') is not null
