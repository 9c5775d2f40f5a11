create or replace function aisle.complete_basket(item_ids text[], k integer default 10, user_id text default null)
returns table (rank integer, item_id text, score double precision)
language sql stable parallel safe rows 10
begin atomic
    select b.rank, b.item_id, b.score from aisle._complete_basket(aisle._live_model('basket'), item_ids, k, user_id) b;
end;

comment on function aisle.complete_basket(text[], integer, text) is
    'What goes best with the products in an open cart, and, with user_id, with what that customer is likely to order. For an empty '
    'cart: the customer''s next order, or what is popular.';
