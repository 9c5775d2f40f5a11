-- Makes room for a model's vectors: a partition in each of the task's tables, which refuses any other number of dimensions,
-- and which may be read and written by whoever may read and write the table; for items to recommend, the function that searches them.
create or replace function aisle._create_generation(model_id integer) returns void
language plpgsql volatile
as $function$
declare
    model aisle._models := (select m from aisle._models m where m.model_id = _create_generation.model_id);
    parent text;
begin
    foreach parent in array aisle._vector_tables(model.task) loop
        execute format(
            'create table aisle.%1$I (like aisle.%2$I including all,
                                      check (model_id = %3$s), check (@vector@.vector_dims(embedding) = %4$s))',
            parent || '_' || model_id, parent, model_id, model.dimensions);
        -- Attaching, unlike `create … partition of`, waits for no reader and lets none wait.
        execute format('alter table aisle.%I attach partition aisle.%I for values in (%s)',
                       parent, parent || '_' || model_id, model_id);
        perform aisle._copy_grants(format('aisle.%I', parent), format('aisle.%I', parent || '_' || model_id));
        execute format('alter table aisle.%I disable row level security', parent || '_' || model_id);  -- see aisle._secure
    end loop;
    if model.task = 'recommender' then
        perform aisle._create_search(model_id, model.dimensions);
    end if;
end
$function$;
