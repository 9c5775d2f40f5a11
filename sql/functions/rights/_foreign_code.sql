-- Names code of another role that reading a relation would run with the caller's rights; null if there is none. Reading a plain table
-- runs no code but functions in the expressions of its indexes. A view and a policy of row security run whatever their owner wrote, and a
-- foreign table runs code of its server. So these must belong to a role that the caller trusts anyway: a superuser, the caller, or a
-- member of the caller's role; and so must the functions that they name. It looks through views, policies and children by inheritance
-- down to the tables.
create or replace function aisle._foreign_code(target regclass) returns text
language plpgsql stable
as $function$
begin
    return (
        with recursive relations (oid) as (
            select target::oid
            union
            select below.oid
            from relations r
            cross join lateral (
                select d.refobjid as oid
                from pg_rewrite w
                join pg_class c on c.oid = w.ev_class and c.relkind = 'v'
                join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass
                where w.ev_class = r.oid
                union all
                select d.refobjid
                from pg_policy p
                join pg_depend d on d.classid = 'pg_policy'::regclass and d.objid = p.oid and d.refclassid = 'pg_class'::regclass
                where p.polrelid = r.oid
                union all
                select i.inhrelid from pg_inherits i where i.inhparent = r.oid
            ) below
        ), code (what, author, class, object) as (
            select format('the view %s', c.oid::regclass), c.relowner, 'pg_rewrite'::regclass, w.oid
            from relations r
            join pg_class c on c.oid = r.oid and c.relkind = 'v'
            join pg_rewrite w on w.ev_class = c.oid
            union all
            select format('the policy %I on %s', p.polname, c.oid::regclass), c.relowner, 'pg_policy'::regclass, p.oid
            from relations r
            join pg_class c on c.oid = r.oid and c.relrowsecurity
            join pg_policy p on p.polrelid = c.oid
            where c.oid <> target or row_security_active(c.oid)
            union all
            -- Planning a query simplifies the expressions of its tables' indexes.
            select format('the index %s', i.indexrelid::regclass), null::oid, 'pg_class'::regclass, i.indexrelid
            from relations r
            join pg_index i on i.indrelid = r.oid and (i.indexprs is not null or i.indpred is not null)
            union all
            -- Planning a query may evaluate what is known of its tables' rows.
            select format('the constraint %I of %s', k.conname, r.oid::regclass), null::oid, 'pg_constraint'::regclass, k.oid
            from relations r
            join pg_constraint k on k.conrelid = r.oid and k.contype = 'c'
            union all
            select format('the partition key of %s', r.oid::regclass), null::oid, 'pg_class'::regclass, r.oid
            from relations r
            join pg_partitioned_table k on k.partrelid = r.oid and k.partexprs is not null
            union all
            select format('the foreign table %s', c.oid::regclass), c.relowner, null, null
            from relations r
            join pg_class c on c.oid = r.oid and c.relkind = 'f'
        ), authors (what, author) as (
            select c.what, c.author from code c
            union all
            select format('the %s %s in %s', n.kind, n.name, c.what), n.author from code c, aisle._code_named(c.class, c.object) n
            union all
            select format('the type %s in %s', t.oid::regtype, c.what), t.typowner
            from code c
            join pg_depend d on d.classid = c.class and d.objid = c.object and d.refclassid = 'pg_type'::regclass
            join pg_type t on t.oid = d.refobjid
            where c.author is null or t.typtype = 'd'
        )
        select format('%s, of %s', a.what, a.author::regrole)
        from authors a
        where not pg_has_role(a.author, current_user, 'member')  -- null, and so no row, where there is no author
        order by 1
        limit 1);
end
$function$;
