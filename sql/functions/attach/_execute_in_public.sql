-- Runs a statement with expressions or a query that the shop's administrator wrote: names without a schema are PostgreSQL's own, else
-- those of the schema public. The path ends with this function.
create or replace function aisle._execute_in_public(statement text) returns void
language plpgsql volatile
as $function$
begin
    perform pg_catalog.set_config('search_path', 'pg_catalog, public, pg_temp', true);
    execute statement;
end
$function$;
