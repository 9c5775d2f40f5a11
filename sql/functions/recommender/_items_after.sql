-- The items that follow an item in its users' histories, by the recommender.
create or replace function aisle._items_after(item text, k integer)
returns table (rank integer, item_id text, score double precision)
language sql stable parallel safe
begin atomic
    select l.rank, l.item_id, l.score from aisle._items_linked('after', item, k) l;
end;
