-- The attached kinds whose rows are about items, where items are attached, too.
select a.kind
from aisle._attachments a
where a.kind <> 'items' and to_regclass('aisle._' || a.kind) is not null and to_regclass('aisle._items') is not null
order by a.kind
