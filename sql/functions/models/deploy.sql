-- Writes one row. No reader waits for it, and it waits for no reader; it waits at most two seconds for another deploy.
create or replace function aisle.deploy(model_id integer, force boolean default false) returns text
language plpgsql volatile
set lock_timeout = '2s'
as $function$
#variable_conflict use_column
declare
    model aisle._models;
begin
    perform aisle._lock_deployments();
    select * into model from aisle._models m where m.model_id = deploy.model_id for share;
    if not found then
        raise exception 'There is no model %.', deploy.model_id using errcode = 'AIS07', hint = 'See: aisle models';
    elsif model.state <> 'ready' then
        raise exception 'Model % is %, not ready.', deploy.model_id, model.state
            using errcode = 'AIS07', hint = 'See: aisle models';
    elsif exists (select from aisle._live_models l where l.model_id = model.model_id) then
        return format('Model %s answers for %s already.', model.model_id, model.task);
    elsif not model.passed_gate and force is not true then
        raise exception 'Model % lost: %.', deploy.model_id, model.verdict
            using errcode = 'AIS07', hint = format('To deploy it nevertheless: aisle deploy %s --force', deploy.model_id);
    end if;
    insert into aisle._deployments (task, model_id, deployed_at) values (model.task, model.model_id, aisle._now());
    return format('Model %s now answers for %s.', model.model_id, model.task);
end
$function$;

comment on function aisle.deploy(integer, boolean) is
    'Lets a ready model answer from the next statement on. A model that is not better than the live model and the baselines needs '
    'force => true. aisle.rollback undoes it.';
