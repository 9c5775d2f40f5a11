-- Notes what a model was not trained on: from which moment on a user's events are held out, in which context the first of them
-- was, and the items that it should have recommended. Python's seconds are those of the local time, and rounded, so the moment
-- is a little earlier.
insert into aisle._heldout_users (model_id, user_id, as_of, context, relevant)
select %(model_id)s, h.user_id,
       to_timestamp(h.at) at time zone 'UTC' at time zone s.time_zone - interval '2 microseconds',
       h.context::jsonb, h.relevant::text[]
from unnest(%(user_ids)s::text[], %(moments)s::float8[], %(contexts)s::text[], %(relevant)s::text[])
         as h (user_id, at, context, relevant),
     aisle._attachments s
where s.kind = coalesce(%(kind)s::text, (aisle._event_source()).kind)
