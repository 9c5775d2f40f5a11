-- Tells whether a declared column is an SQL expression over the row, such as name->>'en_US'. The name of a column wins.
create or replace function aisle._is_expression(target regclass, declared text) returns boolean
language sql stable
begin atomic
    select declared ~ $signs$[()':|+*/<>=]|\s-\s$signs$ and not exists (
        select from pg_catalog.pg_attribute a where a.attrelid = target and a.attname = declared and a.attnum > 0);
end;
