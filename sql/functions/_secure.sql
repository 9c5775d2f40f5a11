-- Run after each migration. Takes back the EXECUTE that PostgreSQL gives PUBLIC on every new function, and pins the search
-- path of the plpgsql functions to the system catalogue and pgvector's schema, wherever that is, so that no caller's search
-- path decides which operator runs. Plain SQL helpers stay inlinable; they use built-ins only.
create or replace function aisle._secure() returns void
language plpgsql volatile
as $function$
declare
    signature regprocedure;
    vector_schema name := (
        select n.nspname from pg_catalog.pg_extension e
        join pg_catalog.pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector');
begin
    revoke all on all functions in schema aisle from public;
    -- PostgreSQL gives PUBLIC nothing of these; the database's default privileges may.
    revoke all on schema aisle from public;
    revoke all on all tables in schema aisle from public;
    revoke all on all sequences in schema aisle from public;
    for signature in
        select p.oid from pg_catalog.pg_proc p
        join pg_catalog.pg_language l on l.oid = p.prolang
        where p.pronamespace = 'aisle'::pg_catalog.regnamespace and l.lanname = 'plpgsql'
    loop
        execute pg_catalog.format('alter function %s set search_path = pg_catalog, %I, pg_temp', signature, vector_schema);
    end loop;
end
$function$;
