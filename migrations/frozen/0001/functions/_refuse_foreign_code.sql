-- Refuses to read a relation where others' code would run with the caller's rights, and keeps that so until the transaction ends.
create or replace function aisle._refuse_foreign_code(target regclass) returns void
language plpgsql volatile
as $function$
declare
    code text;
begin
    if target is null or (
        select c.relkind in ('r', 'p', 'm') and not row_security_active(c.oid) and pg_has_role(c.relowner, current_user, 'member')
        from pg_class c where c.oid = target)
    then
        return;
    end if;
    if (select c.relkind in ('r', 'p', 'v') from pg_class c where c.oid = target) then
        execute format('lock table %s in access share mode', target);
    end if;
    code := aisle._foreign_code(target);
    if code is not null then
        raise exception 'To read % would run others'' code with the rights of %: %.', target, current_user, code
            using errcode = 'AIS09', hint = 'Let its author''s role own Aisle''s schema, or trust it: see docs/security.md, "Code of others".';
    end if;
end
$function$;
