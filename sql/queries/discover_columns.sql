-- Each column of the shop's tables, with what the catalogue knows of its table. Tables of extensions and partitions are left out.
select n.nspname::text, c.relname::text, a.attname::text, coalesce(b.typname, t.typname)::text, a.attnotnull, t.oid::bigint,
       (select pg_catalog.pg_get_constraintdef(k.oid) from pg_catalog.pg_constraint k
        where k.conrelid = c.oid and k.contype = 'c' and k.conkey = array[a.attnum] limit 1),
       (select array_agg(ka.attname::text order by ka.attnum)
        from pg_catalog.pg_index i
        join pg_catalog.pg_attribute ka on ka.attrelid = i.indrelid and ka.attnum = any (i.indkey)
        where i.indrelid = c.oid and i.indisprimary
              -- The key of a partitioned table has to contain what it is partitioned by, which is no part of its id.
              and not (i.indnkeyatts > 1 and exists (select from pg_catalog.pg_partitioned_table p
                                                     where p.partrelid = c.oid and ka.attnum = any (p.partattrs)))),
       (select array_agg(distinct ka.attname::text)
        from pg_catalog.pg_index i
        join pg_catalog.pg_attribute ka on ka.attrelid = i.indrelid and ka.attnum = i.indkey[0]
        where i.indrelid = c.oid and i.indisunique and i.indnkeyatts = 1 and i.indpred is null),
       s.bytes,
       greatest(s.rows, s.bytes / 200, 0)::bigint
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
join pg_catalog.pg_type t on t.oid = a.atttypid
left join pg_catalog.pg_type b on b.oid = t.typbasetype
cross join lateral (
    select sum(pg_catalog.pg_relation_size(p.relid))::bigint as bytes, sum(pc.reltuples)::bigint as rows
    from pg_catalog.pg_partition_tree(c.oid) p
    join pg_catalog.pg_class pc on pc.oid = p.relid
    union all
    select pg_catalog.pg_relation_size(c.oid), c.reltuples::bigint
    order by 1 desc nulls last
    limit 1) s
where c.relkind in ('r', 'p')
      and not c.relispartition
      and c.relpersistence <> 't'
      and n.nspname not in ('pg_catalog', 'information_schema', 'aisle')
      and n.nspname !~ '^pg_'
      and (%(schema)s::text is null or n.nspname = %(schema)s)
      and pg_catalog.has_schema_privilege(n.oid, 'usage')
      and pg_catalog.has_table_privilege(c.oid, 'select')
      and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid and d.deptype = 'e')
order by n.nspname, c.relname, a.attnum
