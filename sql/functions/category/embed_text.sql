create or replace function aisle.embed_text(text text) returns @vector@.vector
language plpgsql stable parallel safe
as $function$
begin
    return aisle._embed(aisle._live_model('category'), aisle._ngrams(text, null, null));
end
$function$;

comment on function aisle.embed_text(text) is
    'The vector of any text in the live category model''s space, computed from n-gram vectors inside the database. '
    'A text without a known n-gram has the zero vector.';
