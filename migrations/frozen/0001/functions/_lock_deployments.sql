-- Lets one transaction at a time change which models there are and which answer. Waits as long as `lock_timeout` says, and then
-- says for whom.
create or replace function aisle._lock_deployments() returns void
language plpgsql volatile
as $function$
declare
    deployment_lock constant bigint := 4150711055;  -- any constant
begin
    perform pg_advisory_xact_lock(deployment_lock);
exception when lock_not_available then
    raise exception 'Another deploy, rollback or prune is going on (%).', coalesce(aisle._lock_holder(deployment_lock), 'it has just ended')
        using errcode = 'AIS08', hint = 'Try again when its transaction has ended.';
end
$function$;
