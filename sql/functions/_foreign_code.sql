-- What of others' code PostgreSQL would run with the caller's rights where the caller reads a relation, in words; null if nothing. To
-- read a plain table runs none. A view, and a policy of row security, run the functions, operators and domains that they name, and
-- those of the relations that they read. An author whom the caller trusts anyway is no other: a superuser, the caller, or a member of
-- the caller's role. PostgreSQL's own functions run nobody's code; of what a view names, only they leave no trace in pg_depend.
create or replace function aisle._foreign_code(target regclass) returns text
language plpgsql stable
as $function$
begin
    if target is null or (
        select c.relkind in ('r', 'p', 'm') and not row_security_active(c.oid) from pg_class c where c.oid = target)
    then
        return null;
    end if;
    return (
        with recursive relations (oid) as (
            select target::oid
            union
            select d.refobjid
            from relations r
            cross join lateral (
                select 'pg_rewrite'::regclass as class, w.oid
                from pg_rewrite w join pg_class c on c.oid = w.ev_class and c.relkind = 'v'
                where w.ev_class = r.oid
                union all
                select 'pg_policy'::regclass, p.oid from pg_policy p where p.polrelid = r.oid
            ) code
            join pg_depend d on d.classid = code.class and d.objid = code.oid and d.refclassid = 'pg_class'::regclass
        ), code (class, oid, what) as (
            select 'pg_rewrite'::regclass, w.oid, format('the view %s', w.ev_class::regclass)
            from relations r
            join pg_class c on c.oid = r.oid and c.relkind = 'v'
            join pg_rewrite w on w.ev_class = r.oid
            union all
            select 'pg_policy'::regclass, p.oid, format('the policy %I on %s', p.polname, p.polrelid::regclass)
            from relations r
            join pg_class c on c.oid = r.oid and c.relrowsecurity
            join pg_policy p on p.polrelid = r.oid
            where r.oid <> target or row_security_active(r.oid)
        ), named (what, object, author) as (
            select c.what, format('the function %s', f.oid::regprocedure), f.proowner
            from code c
            join pg_depend d on d.classid = c.class and d.objid = c.oid and d.refclassid = 'pg_proc'::regclass
            join pg_proc f on f.oid = d.refobjid
            union all
            select c.what, format('the operator %s', o.oid::regoperator), f.proowner
            from code c
            join pg_depend d on d.classid = c.class and d.objid = c.oid and d.refclassid = 'pg_operator'::regclass
            join pg_operator o on o.oid = d.refobjid
            join pg_proc f on f.oid = o.oprcode
            union all
            select c.what, format('the domain %s', t.oid::regtype), t.typowner
            from code c
            join pg_depend d on d.classid = c.class and d.objid = c.oid and d.refclassid = 'pg_type'::regclass
            join pg_type t on t.oid = d.refobjid and t.typtype = 'd'
            union all
            select format('the foreign table %s', c.oid::regclass), 'its server', c.relowner
            from relations r
            join pg_class c on c.oid = r.oid and c.relkind = 'f'
        )
        select format('%s runs %s of %s', n.what, n.object, n.author::regrole)
        from named n
        where not pg_has_role(n.author, current_user, 'member')
        order by 1
        limit 1);
end
$function$;
