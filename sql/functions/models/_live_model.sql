-- Returns the model that answers for a task, or raises an error that says how to get one.
create or replace function aisle._live_model(task text) returns integer
language plpgsql stable parallel safe
as $function$
declare
    live integer := (
        select d.model_id from aisle._deployments d
        where d.task = _live_model.task and d.rolled_back_at is null
        order by d.deployment_id desc
        limit 1);
begin
    if live is null then
        raise exception 'No % model is live.', task
            using errcode = 'AIS01', hint = format('Train one: aisle train %s', task);
    end if;
    return live;
end
$function$;
