-- The answers of two models, live or not, for the next orders of these customers.
select array(select b.item_id from aisle._next_basket(%(live)s, c.id, %(k)s) b),
       array(select b.item_id from aisle._next_basket(%(candidate)s, c.id, %(k)s) b)
from unnest(%(ids)s::text[]) c (id)
where (select aisle._guard())
