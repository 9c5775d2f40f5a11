-- Finds an item whose vector the model itself made, and which has not changed since: the model is known to take its text. It looks at so
-- many items that one without a change is among them, and at no more.
with known as materialized (
    select item_id, content_hash from aisle.item_vectors where model_id = %(model_id)s and not is_draft limit 100
)
select item_id
from known
join aisle._read_items(array(select item_id from known)) row using (item_id, content_hash)
where (select aisle._guard())
limit 1
