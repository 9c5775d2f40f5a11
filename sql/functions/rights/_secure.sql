-- Runs after each migration. It takes back the EXECUTE that PostgreSQL gives PUBLIC on every new function. It pins the search path of the
-- plpgsql functions to the system catalogue, so that no caller's path decides which function or operator runs; pgvector's are named with
-- their schema. Plain SQL helpers are `begin atomic`: their names were looked up when they were made, and the planner can still inline
-- them. It switches off the row security that an event trigger of the database's may switch on for each new table: our tables are granted
-- only to our roles, and without a policy these would find them empty.
create or replace function aisle._secure() returns void
language plpgsql volatile
as $function$
declare
    signature regprocedure;
    secured regclass;
begin
    revoke all on all functions in schema aisle from public;
    -- PostgreSQL grants PUBLIC none of these; the database's default privileges may.
    revoke all on schema aisle from public;
    revoke all on all tables in schema aisle from public;
    revoke all on all sequences in schema aisle from public;
    for signature in
        select p.oid from pg_catalog.pg_proc p
        join pg_catalog.pg_language l on l.oid = p.prolang
        where p.pronamespace = 'aisle'::pg_catalog.regnamespace and l.lanname = 'plpgsql'
    loop
        execute pg_catalog.format('alter function %s set search_path = pg_catalog, pg_temp', signature);
        -- A body is read when it is first called in a session, and a backslash means what the session says.
        if (select pg_catalog.strpos(p.prosrc, pg_catalog.chr(92)) > 0 from pg_catalog.pg_proc p where p.oid = signature) then
            execute pg_catalog.format('alter function %s set standard_conforming_strings = on', signature);
        end if;
    end loop;
    for secured in
        select c.oid from pg_catalog.pg_class c where c.relnamespace = 'aisle'::pg_catalog.regnamespace and c.relrowsecurity
    loop
        execute pg_catalog.format('alter table %s disable row level security', secured);
    end loop;
end
$function$;
