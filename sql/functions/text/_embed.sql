-- The n-gram model: a text's vector is the sum of its n-grams' vectors over the square root of their number. A text without a known
-- n-gram has the zero vector, for which each category has its prior probability.
create or replace function aisle._embed(model_id integer, ngrams text[]) returns @vector@.vector
language plpgsql stable parallel safe
as $function$
#variable_conflict use_variable
declare
    total @vector@.vector;
    known integer;
begin
    -- `= any (array)` makes the primary key's index answer; a join would hash the whole table for each text.
    select @vector@.sum(v.embedding::@vector@.vector), count(*) into total, known
    from aisle.ngram_vectors v
    where v.model_id = model_id and v.ngram = any (ngrams);
    if known = 0 then
        return (select array_fill(0, array[m.dimensions])::@vector@.vector from aisle._models m where m.model_id = model_id);
    end if;
    return total operator(@vector@.*) array_fill(1 / sqrt(known), array[@vector@.vector_dims(total)])::@vector@.vector;
end
$function$;
