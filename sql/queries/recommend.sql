-- What `aisle recommend` prints.
select r.rank, r.item_id, i.name, r.score
from aisle.recommend(%(user)s, %(k)s, %(category)s, %(context)s, %(exclude_seen)s) r
left join lateral aisle._read_items(array[r.item_id]) i on true
order by r.rank
