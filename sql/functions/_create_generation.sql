-- Makes room for a model's vectors: a partition in each of the task's tables, which refuses any other number of dimensions.
create or replace function aisle._create_generation(model_id integer) returns void
language plpgsql volatile
as $function$
declare
    dimensions integer := (select m.dimensions from aisle._models m where m.model_id = _create_generation.model_id);
    parent text;
begin
    foreach parent in array array['item_vectors', 'category_vectors', 'ngram_vectors'] loop
        execute format(
            'create table aisle.%I partition of aisle.%I (check (vector_dims(embedding) = %s)) for values in (%s)',
            parent || '_' || model_id, parent, dimensions, model_id);
    end loop;
end
$function$;
