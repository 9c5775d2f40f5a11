create or replace function aisle.deploy(model_id integer) returns text
language plpgsql volatile
as $function$
#variable_conflict use_column
declare
    model aisle._models;
begin
    select * into model from aisle._models m where m.model_id = deploy.model_id for share;
    if not found then
        raise exception 'There is no model %.', deploy.model_id using errcode = 'AIS07', hint = 'See: aisle models';
    elsif model.state <> 'ready' then
        raise exception 'Model % is %, not ready.', deploy.model_id, model.state
            using errcode = 'AIS07', hint = 'See: aisle models';
    end if;
    insert into aisle._deployments (task, model_id, deployed_at) values (model.task, model.model_id, aisle._now());
    return format('Model %s now answers for %s.', model.model_id, model.task);
end
$function$;

comment on function aisle.deploy(integer) is
    'Lets a ready model answer from the next statement on. aisle.rollback undoes it.';
