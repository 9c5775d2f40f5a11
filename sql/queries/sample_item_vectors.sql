-- Some items of a generation with their vectors: any, but the same each time. Ids come from the key alone, so that only the
-- vectors asked for are read.
select v.item_id, v.embedding::real[]
from aisle.item_vectors v
where v.model_id = %(model_id)s
  and v.item_id in (
      select s.item_id from aisle.item_vectors s where s.model_id = %(model_id)s order by md5(s.item_id) limit %(items)s)
order by md5(v.item_id)
