-- Returns the vector of an item in one generation. A row that no worker has seen yet, and that came in a statement too large for drafts,
-- gets its n-gram vector here. Null: the caller can see no such item.
create or replace function aisle._item_vector(model_id integer, item_id text) returns @vector@.vector
language plpgsql stable parallel safe
as $function$
#variable_conflict use_variable
declare
    stored @vector@.vector;
begin
    if aisle._hides_items() and not exists (select from aisle._read_items(array[item_id])) then
        return null;
    end if;
    select v.embedding into stored
    from aisle.item_vectors v
    where v.item_id = item_id and v.model_id = model_id;
    if stored is null then
        select aisle._embed(model_id, aisle._ngrams(i.name, i.manufacturer, i.details)) into stored
        from aisle._read_items(array[item_id]) i;
    end if;
    return stored;
end
$function$;
