-- The answers of two models, live or not, for these users at this moment.
select array(select r.item_id from aisle._recommend(%(live)s, u.id, %(k)s, null, null, %(exclude_seen)s, null) r),
       array(select r.item_id from aisle._recommend(%(candidate)s, u.id, %(k)s, null, null, %(exclude_seen)s, null) r)
from unnest(%(ids)s::text[]) u (id)
where (select aisle._guard())
