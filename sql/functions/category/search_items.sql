create or replace function aisle.search_items(query text, k integer default 10)
returns table (rank integer, item_id text, score double precision)
language plpgsql stable parallel safe rows 10
as $function$
declare
    model integer := aisle._live_model('category');
begin
    return query
        select n.rank, n.item_id, n.score
        from aisle._nearest_items(
            model, aisle._embed(model, aisle._ngrams(search_items.query, null, null)), search_items.k, null) n;
end
$function$;

comment on function aisle.search_items(text, integer) is
    'The k attached items nearest to any text in the category model''s space; score is the cosine. '
    'A text without a known n-gram finds nothing.';
