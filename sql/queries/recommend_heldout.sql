-- The answers of one model, live or not, for the held-out users of another, at their moments and in their contexts.
select h.user_id, h.relevant, array(
    select r.item_id
    from aisle._recommend(%(model_id)s, h.user_id, %(k)s, null, h.context, %(exclude_seen)s, h.as_of) r
    order by r.rank)
from aisle._heldout_users h
where h.model_id = %(heldout_of)s and (select aisle._guard())
order by h.user_id
