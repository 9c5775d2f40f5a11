-- Locks stored vectors before they are replaced, without waiting for a transaction of the shop's that holds one.
select user_id
from aisle.customer_vectors
where model_id = %(model_id)s and user_id = any (%(user_ids)s)
order by user_id
for update skip locked
