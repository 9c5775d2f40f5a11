-- Finds an item whose vectors the recommender's tower made, and which has not changed since: the model is known to take its texts.
with known as materialized (
    select item_id, content_hash from aisle.item_factors where model_id = %(model_id)s and origin = 'content' limit 100
)
select known.item_id
from known
join aisle._read_items(array(select item_id from known)) row on row.item_id = known.item_id
where (select aisle._guard()) and aisle._factor_hash(row.content_hash, row.category) = known.content_hash
limit 1
