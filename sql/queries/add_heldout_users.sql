-- Stores what a model was not trained on: the moment from which a user's events are held out, the context of the first of them, and the
-- items that the model should have recommended. Python's seconds are in local time and rounded, so the moment is set a little earlier.
insert into aisle._heldout_users (model_id, user_id, as_of, context, relevant)
select %(model_id)s, h.user_id,
       to_timestamp(h.at) at time zone 'UTC' at time zone s.time_zone - interval '2 microseconds',
       h.context::jsonb, h.relevant::text[]
from unnest(%(user_ids)s::text[], %(moments)s::float8[], %(contexts)s::text[], %(relevant)s::text[])
         as h (user_id, at, context, relevant),
     aisle._attachments s
where s.kind = coalesce(%(kind)s::text, (aisle._event_source()).kind)
