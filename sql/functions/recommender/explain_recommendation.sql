create or replace function aisle.explain_recommendation(user_id text, item_id text, context jsonb default null)
returns table (because text, value text, share double precision)
language sql stable parallel safe rows 10
begin atomic
    select e.because, e.value, e.share
    from aisle._explain_recommendation(aisle._live_model('recommender'), user_id, item_id, context) e;
end;

comment on function aisle.explain_recommendation(text, text, jsonb) is
    'Why recommend scores an item so for a user now: the terms whose sum is the score. because is item (value: an item of the history), '
    'taste (the user''s own vector), the name of a context (value: its value), repeat (the item is in the history), or popularity.';

create or replace function aisle.explain_recommendation(user_id bigint, item_id bigint, context jsonb default null)
returns table (because text, value text, share double precision)
language sql stable parallel safe rows 10
begin atomic
    select e.because, e.value, e.share from aisle.explain_recommendation(user_id::text, item_id::text, context) e;
end;

comment on function aisle.explain_recommendation(bigint, bigint, jsonb) is
    'Why recommend scores an item so for a user now: the terms whose sum is the score. because is item (value: an item of the history), '
    'taste (the user''s own vector), the name of a context (value: its value), repeat (the item is in the history), or popularity.';
