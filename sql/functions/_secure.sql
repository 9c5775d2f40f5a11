-- Run after each migration. Takes back the EXECUTE that PostgreSQL gives PUBLIC on every new function, and pins the search
-- path of the plpgsql functions, so that no caller's search path decides which operator runs. It leads to the system catalogue,
-- and to pgvector's schema in those functions only that deal with vectors: whoever may create functions there (in `public`, say)
-- could overload a polymorphic one of the catalogue, such as cardinality(anyarray), and have it run with the rights of the
-- triggers' owner. Those that triggers call name the catalogue in such cases, and let no operand be cast. Plain SQL helpers stay
-- inlinable; they use built-ins only.
create or replace function aisle._secure() returns void
language plpgsql volatile
as $function$
declare
    signature regprocedure;
    has_vectors boolean;
    vector_schema name := (
        select n.nspname from pg_catalog.pg_extension e
        join pg_catalog.pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector');
begin
    revoke all on all functions in schema aisle from public;
    -- PostgreSQL gives PUBLIC nothing of these; the database's default privileges may.
    revoke all on schema aisle from public;
    revoke all on all tables in schema aisle from public;
    revoke all on all sequences in schema aisle from public;
    for signature, has_vectors in
        select p.oid, p.prosrc ~ '\y(vector|halfvec|vector_dims|vector_norm|l2_normalize|avg)\y|<[#=]>' from pg_catalog.pg_proc p
        join pg_catalog.pg_language l on l.oid = p.prolang
        where p.pronamespace = 'aisle'::pg_catalog.regnamespace and l.lanname = 'plpgsql'
    loop
        execute pg_catalog.format(
            'alter function %s set search_path = pg_catalog, %s pg_temp', signature,
            case when has_vectors then pg_catalog.quote_ident(vector_schema) || ',' end);
    end loop;
end
$function$;
