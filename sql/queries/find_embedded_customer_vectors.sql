-- Finds a customer whose vectors are up to date: the model is known to take its orders.
with known as materialized (
    select user_id, content_hash from aisle.customer_vectors where model_id = %(model_id)s limit 100
)
select known.user_id
from known
join aisle._read_customers(array(select user_id from known)) row
    on row.user_id = known.user_id and row.content_hash = known.content_hash
where (select aisle._guard())
limit 1
