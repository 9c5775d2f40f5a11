create or replace function aisle.prune(task text default null, keep integer default 2) returns setof text
language plpgsql volatile
set lock_timeout = '2s'
as $function$
declare
    training_lock constant bigint := 4150711054;  -- that of trainers/run.py
    is_training constant boolean := not pg_try_advisory_xact_lock(training_lock);
    model aisle._models;
begin
    if keep is null or keep < 1 then
        raise exception 'keep must be at least 1, not %.', coalesce(keep::text, 'null') using errcode = 'AIS06';
    end if;
    perform aisle._lock_deployments();
    for model in select * from aisle._prunable(task, keep) loop
        continue when is_training and model.state in ('loading', 'filling');
        return next format('Model %s (%s, %s) is removed: %s freed.', model.model_id, model.task, model.state,
                           pg_size_pretty(aisle._drop_model(model.model_id)));
    end loop;
end
$function$;

comment on function aisle.prune(text, integer) is
    'Removes the models of a task, or of all, that nobody needs: failed ones, and what is neither live, nor among the newest '
    '`keep` that are ready, nor among the `keep` that rollbacks lead through. Says what each has freed.';
