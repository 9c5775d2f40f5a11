-- Names the session that has used one of these tables for the longest time in a transaction that is still open; with a lock mode, the one
-- that holds that lock. Null if there is none.
create or replace function aisle._table_user(tables regclass[], lock_mode text default null) returns text
language plpgsql stable parallel safe
as $function$
begin
    return (
        select format('server process %s%s%s', a.pid, ', ' || nullif(a.application_name, ''),
                      ', since ' || to_char(a.xact_start, 'HH24:MI'))
        from pg_locks l
        join pg_stat_activity a using (pid)
        where l.granted and l.pid <> pg_backend_pid() and l.relation = any (tables::oid[])
              and l.mode = coalesce(lock_mode, l.mode)
              and l.database = (select d.oid from pg_database d where d.datname = current_database())
        order by a.xact_start
        limit 1);
end
$function$;
