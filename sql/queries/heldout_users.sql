-- The users that a model was measured on: their moments, in seconds of local time as for events, and the relevant items.
select h.user_id, extract(epoch from h.as_of at time zone s.time_zone)::float8, h.relevant
from aisle._heldout_users h, aisle._attachments s
where h.model_id = %(model_id)s and s.kind = coalesce(%(kind)s::text, (aisle._event_source()).kind)
