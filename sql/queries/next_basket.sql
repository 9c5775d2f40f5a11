-- What `aisle next-basket` prints.
select b.rank, b.item_id, i.name, b.probability, b.bought_before, b.score
from aisle.next_basket(%(user)s, %(k)s) b
left join lateral aisle._read_items(array[b.item_id]) i on true
order by b.rank
