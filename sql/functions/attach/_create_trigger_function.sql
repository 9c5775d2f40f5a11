-- Creates a trigger function of ours that names columns of the shop's. Its body is passed as a value, so that no column's name can end
-- it.
create or replace function aisle._create_trigger_function(name text, body text, settings text default '') returns void
language plpgsql volatile
as $function$
begin
    execute format('create function aisle.%I() returns trigger language plpgsql volatile security definer
                    set search_path = pg_catalog, pg_temp %s as %L', name, settings, body);
    execute format('revoke all on function aisle.%I() from public', name);
end
$function$;
