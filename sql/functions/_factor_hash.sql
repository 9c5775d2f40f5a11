-- The same for the recommender, which reads the category as well.
create or replace function aisle._factor_hash(content_hash bytea, category text) returns bytea
language sql immutable parallel safe
as $function$
    select substr(sha256(content_hash || convert_to(coalesce(category, ''), 'UTF8')), 1, 16)
$function$;
