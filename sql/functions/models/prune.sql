create or replace function aisle.prune(task text default null, keep integer default 2) returns setof text
language plpgsql volatile
set lock_timeout = '2s'
as $function$
declare
    is_training boolean := false;
    model aisle._models;
    freed bigint;
    is_any boolean := false;
    is_gone boolean;
begin
    if keep is null or keep < 1 then
        raise exception 'keep must be at least 1, not %.', coalesce(keep::text, 'null') using errcode = 'AIS06';
    end if;
    perform aisle._check_task(task);
    begin
        lock table aisle._training_lock in exclusive mode nowait;
    exception when lock_not_available then
        is_training := true;
    end;
    perform aisle._lock_deployments();
    for model in select * from aisle._prunable(task, keep) loop
        continue when is_training and model.state in ('loading', 'filling');
        begin
            freed := aisle._drop_model(model.model_id, case when is_any then '1ms' else '40ms' end);
        exception when sqlstate 'AIS08' then
            exit when is_any;
            raise;
        end;
        is_any := true;
        is_gone := not exists (select from aisle._models m where m.model_id = model.model_id);
        return next format('Model %s (%s, %s) is %s: %s freed.', model.model_id, model.task, model.state,
                           case when is_gone then 'removed' else 'in use, and removed in part' end, pg_size_pretty(freed));
        exit when not is_gone;
    end loop;
end
$function$;

comment on function aisle.prune(text, integer) is
    'Removes the models of a task, or of all tasks, that nobody needs. Of each task it keeps the live model, the `keep` newest that '
    'are ready, and the `keep` that rollbacks lead to. Says what each removed model has freed. If queries are in its way, it stops; '
    'the next call removes the rest.';
