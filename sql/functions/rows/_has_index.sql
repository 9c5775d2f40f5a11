-- Tells whether a table has a B-tree index that begins with these columns, in this order; other kinds of indexes keep no order. True for
-- small tables, and for relations that are no tables: they need none.
create or replace function aisle._has_index(target regclass, columns text[]) returns boolean
language sql stable parallel safe
begin atomic
    select c.relkind not in ('r', 'p', 'm')
        or (select coalesce(sum(pg_relation_size(p.relid)), pg_relation_size(target)) from pg_partition_tree(target) p) < 8000000
        or exists (
            select from pg_catalog.pg_index i
            join pg_catalog.pg_class ic on ic.oid = i.indexrelid
            join pg_catalog.pg_am m on m.oid = ic.relam and m.amname = 'btree'
            where i.indrelid = target and i.indisvalid and i.indpred is null
              and columns = array(
                  select a.attname::text
                  from unnest(i.indkey::smallint[]) with ordinality k (attnum, position)
                  join pg_catalog.pg_attribute a on a.attrelid = target and a.attnum = k.attnum
                  where k.position <= least(cardinality(columns), i.indnkeyatts)
                  order by k.position))
    from pg_catalog.pg_class c where c.oid = target;
end;
