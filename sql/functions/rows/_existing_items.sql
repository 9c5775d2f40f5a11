-- Returns those ids, the best first, that name a row of the attached table that the caller can see, until there are k (null: all of
-- them), in no order; all of the ids if no items are attached. The first k nearly always exist, so it reads little more. Each type of ids
-- has a statement of its own, instead of one that is put together, so that its plan is kept.
create or replace function aisle._existing_items(ids text[], k integer) returns text[]
language plpgsql stable parallel safe
as $function$
declare
    surplus constant integer := 5;
    id_type constant text := (select a.id_type from aisle._attachments a where a.kind = 'items');
    existing text[] := '{}';
    start bigint := 1;
    size bigint := coalesce(k::bigint + surplus, cardinality(ids));
    batch text[];
    uuids uuid[];
    numbers bigint[];
begin
    if id_type is null then
        return ids;
    end if;
    while start <= cardinality(ids) and (k is null or cardinality(existing) < k) loop
        batch := ids[start : least(start + size - 1, cardinality(ids))];
        if id_type = 'text' then
            existing := existing || array(select i.item_id from aisle._items i where i.id = any (batch));
        elsif id_type = 'uuid' then
            uuids := aisle._castable_ids(batch, id_type);
            existing := existing || array(select i.item_id from aisle._items i where i.id = any (uuids));
        else
            numbers := aisle._castable_ids(batch, id_type);
            existing := existing || array(select i.item_id from aisle._items i where i.id = any (numbers));
        end if;
        start := start + size;
        size := 10 * size;
    end loop;
    return existing;
end
$function$;
