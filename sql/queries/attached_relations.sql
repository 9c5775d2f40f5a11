-- Each table or view that is attached or watched, with what is wrong with it: a table that has the declared name now but is not the
-- attached one, triggers that are missing or do not fire as they were created to, columns that triggers name and that are gone, and
-- children whose rows no trigger sees. Views follow a column that is renamed.
with attached as (
    select a.kind, a.relation, a.is_paused, a.relation = any (a.unwatched) as is_unwatched, a.declaration,
           case when a.kind = 'items' then array[a.columns ->> 'id'] else '{}' end as columns, null as topic
    from aisle._attachments a
    union all
    select w.kind, w.relation, false, false, '{}', w.columns, w.topic from aisle._watches w
    union all
    select a.kind, u, false, true, '{}', '{}', null from aisle._attachments a, unnest(a.unwatched) u where u <> a.relation
), created (kind, relkind, name, enabled) as (
    values ('items', 'r'::"char", 'aisle_500_insert', 'O'::"char"), ('items', 'r', 'aisle_500_delete', 'O'),
           ('items', 'r', 'aisle_500_update', 'A'), ('items', 'r', 'aisle_500_truncate', 'A'), ('items', 'r', 'aisle_500_row', 'R'),
           ('items', 'p', 'aisle_500_update', 'A'), ('items', 'p', 'aisle_500_truncate', 'A'), ('items', 'p', 'aisle_500_row', 'A'),
           ('watch', 'r', 'aisle_500_%s_insert', 'O'), ('watch', 'r', 'aisle_500_%s_update', 'O'),
           ('watch', 'r', 'aisle_500_%s_delete', 'O'), ('watch', 'r', 'aisle_500_%s_truncate', 'O'),
           ('watch', 'p', 'aisle_500_%s_insert', 'O'), ('watch', 'p', 'aisle_500_%s_update', 'O'),
           ('watch', 'p', 'aisle_500_%s_delete', 'O'), ('watch', 'p', 'aisle_500_%s_truncate', 'O')
), wanted as (
    select a.relation, a.topic, replace(w.name, '%s', coalesce(a.topic, '')) as name, w.enabled
    from attached a
    join pg_class c on c.oid = a.relation
    join created w on w.relkind = c.relkind and w.kind = case when a.topic is not null then 'watch' else a.kind end
)
select a.kind, case when a.topic is null and a.declaration ? 'query' then 'the query of the ' || a.kind
                    when c.oid is not null then a.relation::text
                    else coalesce((select n.name from aisle._attachments o, unnest(o.reads, o.read_names) n (relation, name)
                                   where o.kind = a.kind and n.relation = a.relation), a.declaration ->> 'relation', a.relation::text)
               end as relation,
       a.is_paused,
       c.oid is not null and to_regclass('aisle._' || a.kind) is not null as is_there,
       c.oid is null and not exists (
           select from aisle._attachments o
           where o.kind = a.kind
             and (o.declaration ? 'query' or aisle._relation_named(o.declaration ->> 'relation') is not null)) as is_gone,
       a.is_unwatched,
       case when a.topic is null and not a.is_paused and a.declaration <> '{}' then (aisle._swapped_tables(a.kind))[1]::text end as other_table,
       (select i.inhparent::regclass::text from pg_inherits i where i.inhrelid = a.relation and c.relispartition) as partition_of,
       array(select w.name from wanted w
             where w.relation = a.relation and w.topic is not distinct from a.topic and not a.is_unwatched
               and not exists (select from pg_trigger t where t.tgrelid = a.relation and t.tgname = w.name)
             order by 1) as missing,
       array(select format('alter table %s enable %s trigger %I;', a.relation,
                           case w.enabled when 'A' then 'always' when 'R' then 'replica' end, w.name)
             from wanted w
             join pg_trigger t on t.tgrelid = a.relation and t.tgname = w.name and t.tgenabled <> w.enabled
             where w.relation = a.relation and w.topic is not distinct from a.topic
             order by 1) as disabled,
       array(select name from unnest(a.columns) name
             where name is not null and not exists (
                 select from pg_attribute t
                 where t.attrelid = a.relation and t.attname = name and t.attnum > 0 and not t.attisdropped)
             order by 1) as unknown_columns,
       -- Views follow a column by its number, triggers by its name.
       array(select n.key
             from aisle._attachments o
             cross join lateral unnest(o.declared) with ordinality d (relation, place)
             cross join lateral jsonb_each_text(o.numbers -> case d.place when 1 then 'relation' else 'lines' end) n
             left join pg_attribute t on t.attrelid = d.relation and t.attname = n.key and not t.attisdropped
             where o.kind = a.kind and a.topic is null and d.relation = a.relation
               and (t.attnum <> n.value::smallint or t.attnum is null and a.kind = 'items')
             order by 1) as renamed,
       array(select i.inhrelid::regclass::text
             from pg_inherits i
             where i.inhparent = a.relation and c.relkind = 'r' and (a.kind = 'items' or a.topic is not null)
             order by 1) as children
from attached a
left join pg_class c on c.oid = a.relation
order by a.kind, a.topic nulls first, a.relation::text
