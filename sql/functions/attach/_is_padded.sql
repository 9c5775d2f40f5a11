-- Tells whether a column is of type char(n), whose padding is no part of a value.
create or replace function aisle._is_padded(target regclass, column_name text) returns boolean
language sql stable
begin atomic
    select 'bpchar'::regtype in (t.oid, t.typbasetype)
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_type t on t.oid = a.atttypid
    where a.attrelid = target and a.attname = column_name;
end;
