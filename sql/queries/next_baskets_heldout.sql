-- The answers of one model, live or not, for the held-out customers of another, at their moments: the products and their probabilities.
select b.item_ids, b.probabilities
from unnest(%(user_ids)s::text[], %(states)b::aisle._vector[]) with ordinality a (user_id, state, place)
join aisle._heldout_users h on h.model_id = %(heldout_of)s and h.user_id = a.user_id,
lateral (
    select coalesce(array_agg(n.item_id order by n.rank), '{}') as item_ids,
           coalesce(array_agg(n.probability order by n.rank), '{}') as probabilities
    from aisle._next_basket(%(model_id)s, h.user_id, %(k)s::integer, h.as_of, a.state, %(heldout_of)s) n
) b
where (select aisle._guard())
order by a.place
