-- Locks stored vectors before they are replaced, without waiting for a transaction of the shop's that holds one.
select item_id
from aisle.item_vectors
where model_id = %(model_id)s and item_id = any (%(item_ids)s)
order by item_id
for update skip locked
