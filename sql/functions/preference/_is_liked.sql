-- Tells whether the user liked the item of an event: by the rating if that tells, else by the label that a preference model gave to the
-- review. Null if there is neither.
create or replace function aisle._is_liked(model_id integer, rating text, review text) returns boolean
language plpgsql stable parallel safe
as $function$
#variable_conflict use_column
begin
    return coalesce(
        aisle._is_liked_rating(rating, (
            select m.parameters -> 'liked' from aisle._models m where m.model_id = _is_liked.model_id)),
        (select l.is_liked from aisle._review_labels l
         where l.model_id = _is_liked.model_id and l.text_hash = aisle._content_hash(review, null, null)));
end
$function$;
