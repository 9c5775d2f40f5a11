-- Lets one transaction at a time change which models exist and which answer. The lock is on the table that a deployment writes to: only a
-- role that may write there can hold it, and no reader waits for it. It waits as long as `lock_timeout` says, and then names the holder.
create or replace function aisle._lock_deployments() returns void
language plpgsql volatile
as $function$
begin
    lock table aisle._deployments in share row exclusive mode;
exception when lock_not_available then
    raise exception 'Another deploy, rollback or prune is going on (%).',
        coalesce(aisle._table_user(array['aisle._deployments'::regclass], 'ShareRowExclusiveLock'), 'it has just ended')
        using errcode = 'AIS08', hint = 'Try again when its transaction has ended.';
end
$function$;
