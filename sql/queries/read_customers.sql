-- Reads customers for one generation of the basket model: whether their vectors are up to date; if not, what they bought.
select c.user_id, c.content_hash, c.is_current, orders.items, orders.ago, orders.days
from (
    select r.user_id, r.content_hash, not %(anew)s and v.user_id is not null as is_current
    from aisle._read_customers(%(ids)s) r
    left join aisle.customer_vectors v
        on v.user_id = r.user_id and v.model_id = %(model_id)s and v.content_hash = r.content_hash
    where (select aisle._guard())
) c
left join lateral aisle._read_orders(c.user_id, null) orders on not c.is_current
