-- Who has used one of these tables in a transaction that is still open, for the longest time, in words; null if nobody.
create or replace function aisle._table_user(tables regclass[]) returns text
language sql stable parallel safe
as $function$
    select format('server process %s%s%s', a.pid, ', ' || nullif(a.application_name, ''), ', since ' || to_char(a.xact_start, 'HH24:MI'))
    from pg_catalog.pg_locks l
    join pg_catalog.pg_stat_activity a using (pid)
    where l.granted and l.pid <> pg_backend_pid() and l.relation = any (tables)
          and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
    order by a.xact_start
    limit 1
$function$;
