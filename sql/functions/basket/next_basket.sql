create or replace function aisle.next_basket(user_id text, k integer default 10)
returns table (rank integer, item_id text, score double precision, probability double precision, bought_before boolean)
language sql stable parallel safe rows 10
begin atomic
    select b.rank, b.item_id, b.score, b.probability, b.bought_before
    from aisle._next_basket(aisle._live_model('basket'), user_id, k) b;
end;

comment on function aisle.next_basket(text, integer) is
    'What a customer is most likely to order next, with the probability of each item. k => null returns the number of items that '
    'maximises the expected F1.';

create or replace function aisle.next_basket(user_id bigint, k integer default 10)
returns table (rank integer, item_id text, score double precision, probability double precision, bought_before boolean)
language sql stable parallel safe rows 10
begin atomic
    select b.rank, b.item_id, b.score, b.probability, b.bought_before from aisle.next_basket(user_id::text, k) b;
end;

comment on function aisle.next_basket(bigint, integer) is
    'What a customer is most likely to order next, with the probability of each item. k => null returns the number of items that '
    'maximises the expected F1.';
