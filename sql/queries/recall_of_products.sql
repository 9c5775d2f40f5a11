-- Compares the search for products by a customer's state with an exact one: the ten nearest to each of some vectors.
select aisle._nearest_products(%(model_id)s, q.embedding, 10),
       array(select b.item_id from aisle.basket_items b
             where b.model_id = %(model_id)s order by aisle._inner_product(b.embedding, q.embedding) desc limit 10)
from (select b.embedding from aisle.basket_items b
      where b.model_id = %(model_id)s order by md5(b.item_id) limit %(queries)s) q
