-- Checks the deferred constraints of a table for the rows that were just written, while an error can still be caught. Afterwards they are
-- deferred again, where they were declared so.
create or replace function aisle._check_constraints_now(target regclass) returns void
language plpgsql volatile
as $function$
declare
    named text;
    later text;
begin
    select string_agg(format('%I.%I', n.nspname, c.conname), ', '),
           string_agg(format('%I.%I', n.nspname, c.conname), ', ') filter (where c.condeferred)
    into named, later
    from pg_constraint c
    join pg_namespace n on n.oid = c.connamespace
    where c.conrelid = target and c.condeferrable and c.conname <> 'aisle_500_write_back';
    if named is not null then
        execute 'set constraints ' || named || ' immediate';
    end if;
    if later is not null then
        execute 'set constraints ' || later || ' deferred';
    end if;
end
$function$;
