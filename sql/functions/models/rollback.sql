create or replace function aisle.rollback(task text) returns text
language plpgsql volatile
set lock_timeout = '2s'
as $function$
#variable_conflict use_column
declare
    live aisle._deployments;
    previous aisle._deployments;
begin
    perform aisle._check_task(rollback.task);
    perform aisle._lock_deployments();
    select * into live from aisle._deployments d
    where d.task = rollback.task and d.rolled_back_at is null
    order by d.deployment_id desc limit 1 for update;
    select * into previous from aisle._deployments d
    where d.task = rollback.task and d.rolled_back_at is null and d.deployment_id < live.deployment_id
          and d.model_id <> live.model_id  -- two deployments of a model may follow each other when the one between was removed
    order by d.deployment_id desc limit 1;
    if not found then
        raise exception 'There is no earlier deployment of a % model.', rollback.task
            using errcode = 'AIS07', hint = 'See: aisle models';
    end if;
    update aisle._deployments set rolled_back_at = aisle._now()
    where task = rollback.task and rolled_back_at is null and deployment_id > previous.deployment_id;
    return format('Model %s answers for %s again.', previous.model_id, rollback.task);
end
$function$;

comment on function aisle.rollback(text) is
    'Takes back the newest deployment of a task, so that the model before it answers. Another call takes back that one.';
