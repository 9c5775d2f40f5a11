-- The functions and operators that an object of the catalogue names, such as a view's rule or a constraint, and their authors.
create or replace function aisle._code_named(class regclass, object oid) returns table (kind text, name text, author oid)
language sql stable
begin atomic
    select 'function', f.oid::regprocedure::text, f.proowner
    from pg_catalog.pg_depend d
    join pg_catalog.pg_proc f on f.oid = d.refobjid
    where d.classid = class and d.objid = object and d.refclassid = 'pg_catalog.pg_proc'::regclass
    union all
    select 'operator', o.oid::regoperator::text, f.proowner
    from pg_catalog.pg_depend d
    join pg_catalog.pg_operator o on o.oid = d.refobjid
    join pg_catalog.pg_proc f on f.oid = o.oprcode
    where d.classid = class and d.objid = object and d.refclassid = 'pg_catalog.pg_operator'::regclass;
end;
