-- Lets every role that may execute a function execute another, and takes that right from PUBLIC. Functions of a generation come and go,
-- as its partitions do.
create or replace function aisle._copy_execute(source regprocedure, target regprocedure) returns void
language plpgsql volatile
as $function$
declare
    grantee regrole;
begin
    execute format('revoke all on function %s from public', target);
    for grantee in
        select a.grantee from pg_proc p, aclexplode(p.proacl) a where p.oid = source and a.grantee not in (0, p.proowner)
    loop
        execute format('grant execute on function %s to %s', target, grantee);
    end loop;
end
$function$;
