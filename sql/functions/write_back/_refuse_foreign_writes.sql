-- Raises an error if writing to a table would run code of others with the caller's rights: its triggers, rules and policies, functions in
-- its defaults, checks and indexes, and types that are not PostgreSQL's own; and what else a declared statement names. Keeps the answer true
-- until the transaction ends: all of these change under a lock that conflicts with ours.
create or replace function aisle._refuse_foreign_writes(target regclass) returns void
language plpgsql volatile
as $function$
declare
    code text;
begin
    if not exists (select from pg_class c where c.oid = target) then
        raise exception 'The table that categories are written to no longer exists.'
            using errcode = 'AIS02', hint = 'Say where they are written now: aisle.set_write_back, or [write_back] in the shop file.';
    elsif (select c.relkind not in ('r', 'p') from pg_class c where c.oid = target) then
        raise exception '% is no table. What is written to a view runs what its owner wrote.', target
            using errcode = 'AIS09', hint = 'Write to the table below it.';
    end if;
    execute format('lock table %s in row exclusive mode', target);
    perform aisle._refuse_foreign_code(d.refobjid)
    from pg_proc p
    join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.refclassid = 'pg_class'::regclass
    where p.pronamespace = 'aisle'::regnamespace and p.proname in ('_write_statement', '_undo_statement') and d.refobjid <> target;
    with statements (oid) as (
        select p.oid from pg_proc p
        where p.pronamespace = 'aisle'::regnamespace and p.proname in ('_write_statement', '_undo_statement')
    ), tables (oid) as (
        select target::oid
        union
        select p.relid from pg_partition_tree(target) p
        union
        select d.refobjid from statements s
        join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = s.oid and d.refclassid = 'pg_class'::regclass
    ), objects (what, author, class, object) as (
        select format('the trigger %I', t.tgname), null::oid, 'pg_trigger'::regclass, t.oid
        from pg_trigger t join tables on tables.oid = t.tgrelid where not t.tgisinternal
        union all
        select format('the rule %I', r.rulename), c.relowner, 'pg_rewrite', r.oid
        from pg_rewrite r join tables on tables.oid = r.ev_class join pg_class c on c.oid = r.ev_class
        union all
        select format('the policy %I', p.polname), c.relowner, 'pg_policy', p.oid
        from pg_policy p join tables on tables.oid = p.polrelid join pg_class c on c.oid = p.polrelid where row_security_active(c.oid)
        union all
        select 'a default', null, 'pg_attrdef', d.oid from pg_attrdef d join tables on tables.oid = d.adrelid
        union all
        select format('the constraint %I', c.conname), null, 'pg_constraint', c.oid
        from pg_constraint c join tables on tables.oid = c.conrelid where c.contype in ('c', 'x')
        union all
        select format('the index %s', i.indexrelid::regclass), null, 'pg_class', i.indexrelid
        from pg_index i join tables on tables.oid = i.indrelid where i.indexprs is not null or i.indpred is not null
        union all
        select 'the statement', null, 'pg_proc', s.oid from statements s
    ), code (what, author) as (
        select o.what, o.author from objects o where o.author is not null
        union all
        select format('%s, which %s %s', o.what, case n.kind when 'function' then 'calls' else 'uses the operator' end, n.name), n.author
        from objects o, aisle._code_named(o.class, o.object) n
        union all
        select format('the type %s of the column %I', t.oid::regtype, a.attname), t.typowner
        from pg_attribute a
        join tables on tables.oid = a.attrelid
        join pg_type t on t.oid = a.atttypid
        where a.attnum > 0 and not a.attisdropped
    )
    select format('%s, of %s', c.what, c.author::regrole) into code
    from code c
    where not pg_has_role(c.author, current_user, 'member')
    order by 1
    limit 1;
    if code is not null then
        raise exception 'Writing to % would run code of others with the rights of %: %.', target, current_user, code
            using errcode = 'AIS09', hint = 'Let the author of that code own the schema aisle, or trust that role: docs/security.md, "Code of others".';
    end if;
end
$function$;
