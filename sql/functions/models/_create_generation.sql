-- Makes room for a model's vectors: a partition in each of the task's tables, which refuses vectors of another number of dimensions. The
-- roles that may read and write the table may read and write the partition. A partition of item_factors gets the function that searches
-- it.
create or replace function aisle._create_generation(model_id integer) returns void
language plpgsql volatile
as $function$
declare
    model aisle._models := (select m from aisle._models m where m.model_id = _create_generation.model_id);
    parent text;
begin
    foreach parent in array aisle._vector_tables(model.task) loop
        execute format(
            'create table aisle.%1$I (like aisle.%2$I including all, check (model_id = %3$s) %4$s)',
            parent || '_' || model_id, parent, model_id,
            case when exists (select from pg_attribute a where a.attrelid = to_regclass(format('aisle.%I', parent)) and a.attname = 'embedding')
                 then format(', check (@vector@.vector_dims(embedding) = %s)', model.dimensions) end);
        -- `attach partition`, unlike `create … partition of`, neither waits for readers nor makes them wait.
        execute format('alter table aisle.%I attach partition aisle.%I for values in (%s)',
                       parent, parent || '_' || model_id, model_id);
        perform aisle._copy_grants(format('aisle.%I', parent), format('aisle.%I', parent || '_' || model_id));
        execute format('alter table aisle.%I disable row level security', parent || '_' || model_id);  -- see aisle._secure
        if parent = 'item_factors' then
            perform aisle._create_search(model_id, model.dimensions);
        end if;
    end loop;
end
$function$;
