create or replace function aisle.recommend(
    user_id text, k integer default 10, category text default null, context jsonb default null, exclude_seen boolean default true)
returns table (rank integer, item_id text, score double precision)
language sql stable parallel safe rows 10
begin atomic
    select r.rank, r.item_id, r.score
    from aisle._recommend(aisle._live_model('recommender'), user_id, k, category, context, exclude_seen, null) r;
end;

comment on function aisle.recommend(text, integer, text, jsonb, boolean) is
    'The k items that suit a user now, from the history as it is at this moment, the context and the category. exclude_seen => false '
    'includes items from the user''s own history. For a user of whom nothing is known: what is popular.';

create or replace function aisle.recommend(
    user_id bigint, k integer default 10, category text default null, context jsonb default null, exclude_seen boolean default true)
returns table (rank integer, item_id text, score double precision)
language sql stable parallel safe rows 10
begin atomic
    select r.rank, r.item_id, r.score from aisle.recommend(user_id::text, k, category, context, exclude_seen) r;
end;

comment on function aisle.recommend(bigint, integer, text, jsonb, boolean) is
    'The k items that suit a user now, from the history as it is at this moment, the context and the category. exclude_seen => false '
    'includes items from the user''s own history. For a user of whom nothing is known: what is popular.';
