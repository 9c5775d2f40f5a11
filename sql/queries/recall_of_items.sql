-- Compares the search for similar items with an exact one: the ten nearest to each of some items.
select array(select n.item_id from aisle._nearest_items(%(model_id)s, q.embedding, 10, null) n),
       array(select v.item_id from aisle.item_vectors v
             where v.model_id = %(model_id)s and aisle._inner_product(v.embedding, v.embedding) > 0
             order by aisle._cosine(v.embedding, q.embedding) desc limit 10)
from (select v.embedding from aisle.item_vectors v
      where v.model_id = %(model_id)s and aisle._inner_product(v.embedding, v.embedding) > 0
      order by md5(v.item_id) limit %(queries)s) q
