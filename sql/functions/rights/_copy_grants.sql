-- Grants on a table or view what is granted on another, and nothing to PUBLIC. Partitions and the views over the shop's tables come and
-- go: a role that may read a table of vectors reads each generation of it, without a further grant.
create or replace function aisle._copy_grants(source regclass, target regclass) returns void
language plpgsql volatile
as $function$
declare
    granted record;
begin
    execute format('revoke all on %s from public', target);
    for granted in
        select a.grantee::regrole as role, string_agg(a.privilege_type, ', ') as privileges
        from pg_class c, aclexplode(c.relacl) a
        where c.oid = source and a.grantee not in (0, c.relowner)
        group by a.grantee
    loop
        execute format('grant %s on %s to %s', granted.privileges, target, granted.role);
    end loop;
end
$function$;
