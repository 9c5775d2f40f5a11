-- The student: a text's vector is the sum of its n-grams' vectors over the square root of their number.
-- A text without any known n-gram has the zero vector, which leaves every category at its prior.
create or replace function aisle._embed(model_id integer, ngrams text[]) returns vector
language plpgsql stable parallel safe
as $function$
#variable_conflict use_variable
declare
    total vector;
    known integer;
begin
    -- `= any (array)` makes the primary key's index answer; a join would hash the whole table for each text.
    select sum(v.embedding::vector), count(*) into total, known
    from aisle.ngram_vectors v
    where v.model_id = model_id and v.ngram = any (ngrams);
    if known = 0 then
        return (select pg_catalog.array_fill(0, array[m.dimensions])::vector from aisle._models m where m.model_id = model_id);
    end if;
    return total * pg_catalog.array_fill(1::float8 / pg_catalog.sqrt(known::float8), array[vector_dims(total)])::vector;
end
$function$;
