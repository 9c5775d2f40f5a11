-- What threatens the vectors' freshness. Only superusers and members of pg_monitor see the sessions of other roles.
create or replace view aisle.warnings as
select format('A transaction of %s has been open for %s; until it ends, vacuum cannot remove the queue''s dead rows.',
              coalesce(nullif(a.application_name, ''), a.usename, 'process'), date_trunc('second', aisle._now() - a.xact_start)) as warning,
       format('End it, or: select pg_terminate_backend(%s)', a.pid) as remedy
from pg_stat_activity a
where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_xmin is not null
  and a.xact_start < aisle._now() - interval '10 minutes'
union all
select format('The server''s queue of notifications is %s %% full; once it is full, no transaction that notifies can commit.',
              round((100 * pg_notification_queue_usage())::numeric)),
       'Find the session that listens and never ends its transaction: select * from pg_stat_activity where query ilike ''listen%'''
where pg_notification_queue_usage() > .25
union all
select format('pgvector is %s; before 0.8.3, vacuuming an HNSW index could damage it.', e.extversion),
       'Install a newer package, then: alter extension vector update'
from pg_extension e
where e.extname = 'vector' and string_to_array(regexp_replace(e.extversion, '[^0-9.].*', ''), '.')::integer[] < '{0,8,3}'
union all
select format('%s rows wait, the oldest for %s.', f.pending, date_trunc('second', f.oldest_pending)),
       'Is a worker running? aisle worker'
from aisle.freshness f
where f.oldest_pending > interval '10 minutes'
union all
select format('%s vectors (%s) did not match their rows (last found at %s), and no trigger had told.',
              c.mended, c.task, to_char(c.last_mended_at, 'YYYY-MM-DD HH24:MI')),
       'They are mended. Were triggers switched off, or rows restored? aisle doctor'
from aisle._comparisons c
where c.last_mended_at > aisle._now() - interval '1 day'
union all
select format('No trigger tells of changes in %s, which the %s are made of. They were last compared %s.',
              array_to_string(a.unwatched, ', '), a.kind,
              coalesce('at ' || to_char(min(c.finished_at), 'YYYY-MM-DD HH24:MI:SS'), 'never')),
       format('Declare a watch, or call aisle.changed(%L, ids) after each change, or compare now: aisle embed', a.kind)
from aisle._attachments a
join aisle._tasks t on t.follows = a.kind
join aisle._models m on m.task = t.task and m.state in ('filling', 'ready')
left join aisle._comparisons c on c.task = t.task
where a.unwatched <> '{}'
group by a.kind
union all
select format('The %s are paused: workers leave them alone, and answers that must look at them raise an error.', a.kind),
       format('In SQL: select aisle.resume(%L)', a.kind)
from aisle._attachments a
where a.is_paused
union all
select format('Aisle''s view of the %s is gone.', a.kind), format('After a migration: aisle resume %s', a.kind)
from aisle._attachments a
where not a.is_paused and to_regclass('aisle._' || a.kind) is null
union all
select format('The name %s is another table''s now; the %s are still read from %s.', string_agg(r.name, ', '), a.kind, string_agg(r.relation::text, ', ')),
       format('After a migration: aisle resume %s', a.kind)
from aisle._attachments a
cross join lateral unnest(a.reads, a.read_names) r (relation, name)
cross join lateral parse_ident(r.name) n (parts)
join pg_namespace s on s.nspname = n.parts[1]
join pg_class c on c.relnamespace = s.oid and c.relname = n.parts[2]
where not a.is_paused and c.oid <> r.relation
group by a.kind
union all
select format('%s, which triggers read, is gone: they tell of no change there, and the %s lag behind.',
              string_agg(format('%I of %s', w.name, w.relation), ', '), w.kind),
       format('aisle resume %s; if a query names the column: correct it in the shop file, then aisle attach -f FILE', w.kind)
from aisle._lost_columns w
group by w.kind;

comment on view aisle.warnings is 'What threatens the freshness of vectors, each with its remedy; empty if all is well.';
