-- Raises an error if reading a relation would run code of others with the caller's rights, and keeps the answer true until the
-- transaction ends: changing a view or a policy takes a lock that conflicts with ours. PREPARE takes our lock when it parses, and needs
-- no right on the whole table; planning a query may already run a function.
create or replace function aisle._refuse_foreign_code(target regclass) returns void
language plpgsql volatile
as $function$
declare
    code text;
begin
    -- Nearly always it is a plain table whose owner the caller trusts.
    if target is null or (
        select c.relkind in ('r', 'm') and not c.relrowsecurity and not c.relhassubclass and pg_has_role(c.relowner, current_user, 'member')
        from pg_class c where c.oid = target) is not false
    then
        return;
    end if;
    execute format('prepare aisle_guard as select from %s', target);
    deallocate aisle_guard;
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'A transaction that is % cannot tell what code reading % runs: it sees the catalogue as of an older moment.',
            current_setting('transaction_isolation'), target using errcode = 'AIS09';
    end if;
    code := aisle._foreign_code(target);
    if code is not null then
        raise exception 'Reading % would run code of others with the rights of %: %.', target, current_user, code
            using errcode = 'AIS09', hint = 'Let the author of that code own the schema aisle, or trust that role: docs/security.md, "Code of others".';
    end if;
end
$function$;
