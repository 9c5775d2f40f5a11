-- The users that a model was measured on, their moments in seconds as events have them, and what was relevant.
select h.user_id,
       case when s.time_type = 'timestamp with time zone' then extract(epoch from h.as_of)
            else extract(epoch from h.as_of at time zone s.time_zone) end::float8,
       h.relevant
from aisle._heldout_users h, aisle._event_source() s
where h.model_id = %(model_id)s
