create or replace function aisle.predict_category(
    name text, manufacturer text default null, k integer default 3, level integer default null)
returns table (rank integer, category text, confidence double precision, category_id text)
language plpgsql stable parallel safe rows 3
as $function$
declare
    model integer := aisle._live_model('category');
begin
    return query
        select c.rank, c.category, c.confidence, c.category_id
        from aisle._answer_categories(
            model, aisle._embed(model, aisle._ngrams(predict_category.name, predict_category.manufacturer, null)),
            predict_category.k, predict_category.level) c;
end
$function$;

comment on function aisle.predict_category(text, text, integer, integer) is
    'The k most likely categories of a product, which need not be a row yet. Confidences are calibrated and sum to 1 over all '
    'categories. level => n adds up the confidences below each path of n steps.';
