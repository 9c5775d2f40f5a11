-- The names of a query's columns. It is not run, nor planned, before it is known to run no code of others.
create or replace function aisle._columns_of_query(query text, kind text) returns text[]
language plpgsql volatile
as $function$
declare
    columns text[];
begin
    execute format('create view aisle._query as %s', aisle._qualified_query(query, kind));
    columns := array(select a.attname from pg_attribute a where a.attrelid = 'aisle._query'::regclass and a.attnum > 0 order by a.attnum);
    drop view aisle._query;
    return columns;
end
$function$;
