-- Takes the right to execute all of our trigger functions from a role.
create or replace function aisle._revoke_triggers(role regrole) returns void
language plpgsql volatile
as $function$
declare
    trigger_function regprocedure;
begin
    for trigger_function in
        select p.oid from pg_proc p where p.pronamespace = 'aisle'::regnamespace and p.prorettype = 'trigger'::regtype
    loop
        execute format('revoke execute on function %s from %s', trigger_function, role);
    end loop;
end
$function$;
