-- The score of a category is its bias and the product of its vector with that of the text, which is the sum of the vectors of n-grams
-- over the root of their number (aisle._embed). So the difference between two scores is a sum over n-grams. Those that show the same
-- piece of the text (a word, all characters of it, a run over spaces) are one term.
create or replace function aisle.explain_category(name text, manufacturer text default null)
returns table (because text, value text, share double precision)
language plpgsql stable parallel safe rows 50
as $function$
declare
    model constant integer := aisle._live_model('category');
    grams constant text[] := aisle._ngrams(explain_category.name, explain_category.manufacturer, null);
    labels text[];
    direction @vector@.vector;
    prior double precision;
begin
    select array_agg(coalesce(c.category_id, c.category) order by c.rank) into labels
    from aisle._answer_categories(model, aisle._embed(model, grams), 2, null) c;
    select one.embedding operator(@vector@.-) other.embedding, one.bias - other.bias into direction, prior
    from aisle.category_vectors one, aisle.category_vectors other
    where one.model_id = model and one.category = labels[1] and other.model_id = model and other.category = labels[2];
    if direction is null then  -- there are no two categories
        return;
    end if;
    return query
        with terms as (
            select btrim(translate(v.ngram, '+*=#@', '  ')) as piece,
                   -(v.embedding::@vector@.vector operator(@vector@.<#>) direction) / sqrt(count(*) over ()) as term
            from aisle.ngram_vectors v
            where v.model_id = model and v.ngram = any (grams)
        )
        select 'text', t.piece, sum(t.term) from terms t group by t.piece
        union all
        select 'prior', null, prior
        order by 3 desc, 2;
end
$function$;

comment on function aisle.explain_category(text, text) is
    'Why predict_category prefers its first category to its second: the terms whose sum is the difference of their scores, the logarithm '
    'of how many times more likely the first is. because is text (value: a piece of it) or prior (before a word is read).';
