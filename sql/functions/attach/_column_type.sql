-- Returns the type of a column, below its domain if it has one; every kind of string is called text.
create or replace function aisle._column_type(target regclass, column_name text) returns text
language sql stable
begin atomic
    select case when t.typname in ('varchar', 'bpchar', 'name') then 'text' else format_type(t.oid, null) end
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_type d on d.oid = a.atttypid
    join pg_catalog.pg_type t on t.oid = case when d.typtype = 'd' then d.typbasetype else d.oid end
    where a.attrelid = target and a.attname = column_name;
end;
