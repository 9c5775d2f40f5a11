-- The same for the recommender: a row whose vectors its tower made, and whose present content they are of.
with known as materialized (
    select item_id, content_hash from aisle.item_factors where model_id = %(model_id)s and origin = 'content' limit 100
)
select known.item_id
from known
join aisle._read_items(array(select item_id from known)) row on row.item_id = known.item_id
where (select aisle._guard()) and aisle._factor_hash(row.content_hash, row.category) = known.content_hash
limit 1
