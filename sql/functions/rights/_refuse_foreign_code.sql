-- Refuses to read a relation where others' code would run with the caller's rights, and keeps that so until the transaction ends: to
-- change a view or a policy takes a lock that conflicts with ours. PREPARE takes it by parsing alone, without a right on the whole
-- table; to plan a query may already run a function.
create or replace function aisle._refuse_foreign_code(target regclass) returns void
language plpgsql volatile
as $function$
declare
    code text;
begin
    -- Nearly always it is a plain table of somebody who is trusted, who may do to it what they like.
    if target is null or (
        select c.relkind in ('r', 'm') and not c.relrowsecurity and not c.relhassubclass and pg_has_role(c.relowner, current_user, 'member')
        from pg_class c where c.oid = target) is not false
    then
        return;
    end if;
    execute format('prepare aisle_guard as select from %s', target);
    deallocate aisle_guard;
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'What code reading % runs is seen as of an older moment in a transaction that is %.',
            target, current_setting('transaction_isolation') using errcode = 'AIS09';
    end if;
    code := aisle._foreign_code(target);
    if code is not null then
        raise exception 'To read % would run code of others with the rights of %: %.', target, current_user, code
            using errcode = 'AIS09', hint = 'Let its author own the schema aisle, or trust it: docs/security.md, "Code of others".';
    end if;
end
$function$;
