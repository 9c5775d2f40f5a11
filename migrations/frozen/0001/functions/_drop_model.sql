-- Removes a model and its generation: for one that never became ready, or that nobody needs any longer.
create or replace function aisle._drop_model(model_id integer) returns void
language plpgsql volatile
as $function$
declare
    parent text;
begin
    if exists (select from aisle._live_models l where l.model_id = _drop_model.model_id) then
        raise exception 'Model % is live.', model_id
            using errcode = 'AIS07', hint = 'Deploy another first: aisle deploy MODEL';
    end if;
    foreach parent in array aisle._vector_tables((select m.task from aisle._models m where m.model_id = _drop_model.model_id)) loop
        execute format('drop table if exists aisle.%I', parent || '_' || model_id);
    end loop;
    delete from aisle._deployments d where d.model_id = _drop_model.model_id;
    delete from aisle._models m where m.model_id = _drop_model.model_id;
end
$function$;
