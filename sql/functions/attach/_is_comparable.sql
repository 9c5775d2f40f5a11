-- Tells whether values of a column may be compared as they are: their type is PostgreSQL's own, and equal values have equal texts.
create or replace function aisle._is_comparable(target regclass, column_name text) returns boolean
language sql stable
begin atomic
    select a.atttypid = any ('{text,varchar,smallint,integer,bigint,uuid,boolean,date,timestamp,timestamptz}'::regtype[])
           and coalesce(l.collisdeterministic, true)
    from pg_catalog.pg_attribute a
    left join pg_catalog.pg_collation l on l.oid = a.attcollation
    where a.attrelid = target and a.attname = column_name;
end;
