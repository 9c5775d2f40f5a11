-- A sample of a generation's items with their vectors, the same each time. The ids come from the index, so that only the vectors of the
-- sample are read.
select v.item_id, v.embedding::real[]
from aisle.item_vectors v
where v.model_id = %(model_id)s
  and v.item_id in (
      select s.item_id from aisle.item_vectors s where s.model_id = %(model_id)s order by md5(s.item_id) limit %(items)s)
order by md5(v.item_id)
