-- The recommender's vectors of an item that its worker has not seen yet: the mean of the vectors of the ten items whose texts are
-- nearest, in the space of the live category model. Nulls if there is no such model, or no item near.
create or replace function aisle._text_neighbours(
    recommender integer, category_model integer, item_id text, text_vector @vector@.vector,
    out embedding @vector@.vector, out in_embedding @vector@.vector)
language plpgsql stable parallel safe
as $function$
#variable_conflict use_variable
begin
    select @vector@.avg(f.embedding), @vector@.avg(f.in_embedding) into embedding, in_embedding
    from aisle._nearest_items(category_model, text_vector, 10, item_id, looks_up => false) n
    join aisle.item_factors f on f.model_id = recommender and f.item_id = n.item_id and f.origin <> 'draft';
end
$function$;
