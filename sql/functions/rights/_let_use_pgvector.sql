-- Lets a role use pgvector's types and operators, which our functions name with their schema. If the caller may not grant that, nothing
-- happens: `aisle grant` looks for what is still missing, and says so.
create or replace function aisle._let_use_pgvector(role regrole) returns void
language plpgsql volatile
as $function$
declare
    vectors constant regnamespace := (select e.extnamespace from pg_extension e where e.extname = 'vector');
begin
    if not has_schema_privilege(role, vectors, 'usage') then
        execute format('grant usage on schema %s to %s', vectors, role);
    end if;
exception when insufficient_privilege then
    null;
end
$function$;
