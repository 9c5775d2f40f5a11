-- The answers of one model, live or not, for held-out carts.
select array(
    select b.item_id from aisle._complete_basket(%(model_id)s, c.cart::text[], %(k)s, null, gone_too => true) b order by b.rank)
from unnest(%(carts)s::text[]) with ordinality c (cart, place)
where (select aisle._guard())
order by c.place
