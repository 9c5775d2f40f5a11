-- Who holds an advisory lock, in words; null if nobody does.
create or replace function aisle._lock_holder(key bigint) returns text
language sql stable parallel safe
as $function$
    select format('server process %s%s%s', a.pid, ', ' || nullif(a.application_name, ''), ', since ' || to_char(a.backend_start, 'HH24:MI'))
    from pg_catalog.pg_locks l
    join pg_catalog.pg_stat_activity a using (pid)
    where l.locktype = 'advisory' and l.granted and (l.classid::bigint << 32) + l.objid::bigint = key and l.objsubid = 1
          and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
    limit 1
$function$;
