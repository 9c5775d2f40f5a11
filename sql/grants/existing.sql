select aisle._let_use_pgvector('ROLE');

-- The generations and views that exist. Later ones get the same grants from aisle._create_generation and aisle.attach_….
select aisle._copy_grants(i.inhparent, i.inhrelid)
from pg_catalog.pg_inherits i
join pg_catalog.pg_class c on c.oid = i.inhparent
where c.relnamespace = 'aisle'::pg_catalog.regnamespace and c.relkind = 'p';

select aisle._copy_grants(case c.relname when '_customers' then 'aisle._embedding_jobs' else 'aisle._attachments' end, c.oid)
from pg_catalog.pg_class c
where c.relnamespace = 'aisle'::pg_catalog.regnamespace and c.relname in ('_items', '_interactions', '_orders', '_customers', '_items_source', '_interactions_source', '_orders_source', '_category_nodes', '_categories');

select aisle._copy_execute('aisle._nearest_factors'::pg_catalog.regproc, p.oid)
from pg_catalog.pg_proc p
where p.pronamespace = 'aisle'::pg_catalog.regnamespace and p.proname ~ '^_nearest_factors_[0-9]+$';

select aisle._copy_execute('aisle._resolve_watches'::pg_catalog.regproc, p.oid)
from pg_catalog.pg_proc p
where p.pronamespace = 'aisle'::pg_catalog.regnamespace and p.proname ~ '^_touched_by_watch_';

select aisle._copy_execute('aisle._castable_ids'::pg_catalog.regproc, p.oid)
from pg_catalog.pg_proc p
where p.pronamespace = 'aisle'::pg_catalog.regnamespace and p.proname = '_category_paths';

select aisle._copy_execute('aisle.apply_categories'::pg_catalog.regproc, p.oid)
from pg_catalog.pg_proc p
where p.pronamespace = 'aisle'::pg_catalog.regnamespace
  and p.proname in ('_write_category', '_unwrite_category', '_write_statement', '_undo_statement');
