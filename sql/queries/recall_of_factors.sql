-- Compares the search for recommendations with an exact one, within a category or without one: the ten best items for the in-vector of
-- each of some items. A model of links alone has none.
select array(select n.item_id from aisle._nearest_factors(%(model_id)s, q.embedding, 10, case when %(first_key)s::text is not null then array[%(first_key)s::text] end, '{}') n),
       array(select f.item_id from aisle.item_factors f
             where f.model_id = %(model_id)s and (%(first_key)s::text is null or starts_with(f.category_key, %(first_key)s))
             order by aisle._inner_product(f.embedding, q.embedding) desc limit 10)
from (select f.in_embedding as embedding from aisle.item_factors f
      where f.model_id = %(model_id)s and aisle._inner_product(f.in_embedding, f.in_embedding) > 0 order by md5(f.item_id) limit %(queries)s) q
