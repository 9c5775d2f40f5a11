-- The spaces: of texts, where near is what the category model takes for alike; and of co-purchase, where near is what is bought with
-- the same products. Of an item that policies hide from the caller, nothing is said.
create or replace function aisle._similar_items(item text, k integer, space text)
returns table (rank integer, item_id text, score double precision)
language plpgsql stable parallel safe
as $function$
#variable_conflict use_variable
declare
    model integer;
begin
    if space is distinct from 'category' and space is distinct from 'basket' then
        raise exception 'There is no space %.', coalesce(space, 'null') using errcode = 'AIS06', hint = 'There are: category, basket';
    end if;
    model := aisle._live_model(space);
    if aisle._hides_items() and not exists (select from aisle._read_items(array[item])) then
        return;
    end if;
    return query select n.rank, n.item_id, n.score
                 from aisle._nearest_items(
                     model,
                     case space when 'category' then aisle._item_vector(model, item) else (
                         select b.co_purchase from aisle.basket_items b where b.model_id = model and b.item_id = item) end,
                     k, item,
                     case space when 'category' then 'item_vectors' else 'basket_items' end,
                     case space when 'category' then 'embedding' else 'co_purchase' end) n;
end
$function$;
