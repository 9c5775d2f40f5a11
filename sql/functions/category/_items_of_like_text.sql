-- The items whose texts the category model takes for most alike. Says nothing of an item that policies hide from the caller.
create or replace function aisle._items_of_like_text(item text, k integer)
returns table (rank integer, item_id text, score double precision)
language plpgsql stable parallel safe
as $function$
declare
    model constant integer := aisle._live_model('category');
begin
    if aisle._hides_items() and not exists (select from aisle._read_items(array[item])) then
        return;
    end if;
    return query
        select n.rank, n.item_id, n.score from aisle._nearest_items(model, aisle._item_vector(model, item), k, item) n;
end
$function$;
