-- The items that the same users have, by the recommender.
create or replace function aisle._items_beside(item text, k integer)
returns table (rank integer, item_id text, score double precision)
language sql stable parallel safe
begin atomic
    select l.rank, l.item_id, l.score from aisle._items_linked('beside', item, k) l;
end;
