-- What one model, deployed or not, answers to the customers that another was held out from, at their moments.
select array(
    select b.item_id
    from aisle._next_basket(%(model_id)s, h.user_id, %(k)s::integer, h.as_of, a.state, %(heldout_of)s) b
    order by b.rank)
from unnest(%(user_ids)s::text[], %(states)b::vector[]) with ordinality a (user_id, state, place)
join aisle._heldout_users h on h.model_id = %(heldout_of)s and h.user_id = a.user_id
order by a.place
