-- The answers of one model, live or not, for carts of the held-out customers of another, at their moments.
select array(
    select b.item_id
    from aisle._complete_basket(%(model_id)s, c.cart::text[], %(k)s, h.user_id, true, h.as_of, c.state, %(heldout_of)s) b
    order by b.rank)
from unnest(%(carts)s::text[], %(user_ids)s::text[], %(states)b::aisle._vector[]) with ordinality c (cart, user_id, state, place)
join aisle._heldout_users h on h.model_id = %(heldout_of)s and h.user_id = c.user_id
where (select aisle._guard())
order by c.place
