-- The answers of two models, live or not, for these items: the first k categories of each.
select array(select c.category from aisle._categorise(%(live)s, aisle._item_vector(%(live)s, i.id), %(k)s, null) c),
       array(select c.category from aisle._categorise(%(candidate)s, aisle._item_vector(%(candidate)s, i.id), %(k)s, null) c)
from unnest(%(ids)s::text[]) i (id)
where (select aisle._guard())
