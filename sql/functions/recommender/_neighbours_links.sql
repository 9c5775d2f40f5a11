-- The links of an item of which the model learned none: those of the ten items whose texts are nearest, in the space of the live category
-- model, or else of ten items of its category; each counts a tenth.
create or replace function aisle._neighbours_links(model_id integer, item_id text)
returns table (kind text, linked text[], weights real[])
language plpgsql stable parallel safe
as $function$
#variable_conflict use_column
declare
    model constant integer := _neighbours_links.model_id;
    category_model constant integer := (
        select d.model_id from aisle._deployments d
        where d.task = 'category' and d.rolled_back_at is null order by d.deployment_id desc limit 1);
    nearest constant integer := 10;
    near text[];
begin
    if category_model is not null then
        near := array(
            select n.item_id
            from aisle._nearest_items(category_model, aisle._item_vector(category_model, _neighbours_links.item_id), 10 * nearest,
                                      _neighbours_links.item_id, looks_up => false) n
            where exists (select from aisle.item_links l where l.model_id = model and l.item_id = n.item_id)
            order by n.rank
            limit nearest);
    end if;
    if coalesce(near, '{}') = '{}' then
        near := array(
            select f.item_id
            from aisle.item_factors f
            where f.model_id = model
              and f.category_key = (select o.category_key from aisle.item_factors o
                                    where o.model_id = model and o.item_id = _neighbours_links.item_id)
              and exists (select from aisle.item_links l where l.model_id = model and l.item_id = f.item_id)
            limit nearest);
    end if;
    return query
        select l.kind, l.linked, array(select (w / cardinality(near))::real from unnest(l.weights) w)
        from unnest(near) n (item_id)
        join aisle.item_links l on l.model_id = model and l.item_id = n.item_id;
end
$function$;
