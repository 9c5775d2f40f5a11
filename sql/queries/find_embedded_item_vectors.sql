-- A row whose text a model is known to take: its vector is the model's own, and of the row's present content. So many are
-- looked at that one which did not change is among them, and no more.
with known as materialized (
    select item_id, content_hash from aisle.item_vectors where model_id = %(model_id)s and not is_draft limit 100
)
select item_id
from known
join aisle._read_items(array(select item_id from known)) row using (item_id, content_hash)
where (select aisle._guard())
limit 1
