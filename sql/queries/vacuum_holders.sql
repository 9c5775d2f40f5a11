-- What keeps the server from removing dead rows or old log files, besides open transactions, each with a remedy.
select format('prepared transaction %s has waited for %s', quote_literal(p.gid), date_trunc('second', aisle._now() - p.prepared)),
       format('commit prepared %1$L; or: rollback prepared %1$L;', p.gid)
from pg_prepared_xacts p
where p.database = current_database() and p.prepared < aisle._now() - interval '10 minutes'
union all
select format('replication slot %s is held for somebody who is not connected', s.slot_name),
       format('Let its subscriber or standby connect, or: select pg_drop_replication_slot(%L);', s.slot_name)
from pg_replication_slots s
where not s.active and (s.xmin is not null or s.catalog_xmin is not null or s.restart_lsn is not null)
