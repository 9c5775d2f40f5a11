-- The partitions of live generations that are searched for the nearest vectors: in which column, with which operator, and the HNSW
-- index on it, if there is a valid one.
select p.relation::text as partition, s."column" as column_name, s.operator, i.index
from aisle._live_models l
join aisle._tasks t using (task)
cross join lateral jsonb_to_recordset(t.searched) s ("table" text, "column" text, operator text)
cross join lateral (select to_regclass('aisle.' || s."table" || '_' || l.model_id) as relation) p
left join lateral (
    select c.relname as index
    from pg_index x
    join pg_class c on c.oid = x.indexrelid
    join pg_am a on a.oid = c.relam
    where x.indrelid = p.relation and x.indisvalid and a.amname = 'hnsw'
      and strpos(pg_get_indexdef(x.indexrelid), '((' || s."column" || ')::') > 0
    limit 1
) i on true
where p.relation is not null
order by 1, 2
