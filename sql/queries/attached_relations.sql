-- Each attached table or view, with what is wrong with it: triggers that are missing or do not fire as they were created to, columns that
-- triggers name and that are gone, and children whose rows no trigger sees. Views follow a column that is renamed.
with attached as (
    select a.kind, a.relation, a.columns, array_remove(array[a.relation, a.lines]::oid[], null) as relations
    from aisle._attachments a
    union all
    select a.kind, a.lines, '{}', '{}' from aisle._attachments a where a.lines is not null
), created (kind, relkind, name, enabled) as (
    values ('items', 'r'::"char", 'aisle_500_insert', 'O'::"char"), ('items', 'r', 'aisle_500_delete', 'O'),
           ('items', 'r', 'aisle_500_update', 'A'), ('items', 'r', 'aisle_500_truncate', 'A'), ('items', 'r', 'aisle_500_row', 'R'),
           ('items', 'p', 'aisle_500_update', 'A'), ('items', 'p', 'aisle_500_truncate', 'A'), ('items', 'p', 'aisle_500_row', 'A'),
           ('orders', 'r', 'aisle_500_orders_insert', 'O'), ('orders', 'r', 'aisle_500_orders_update', 'O'),
           ('orders', 'r', 'aisle_500_orders_delete', 'O'), ('orders', 'r', 'aisle_500_orders_truncate', 'O'),
           ('orders', 'p', 'aisle_500_orders_insert', 'O'), ('orders', 'p', 'aisle_500_orders_update', 'O'),
           ('orders', 'p', 'aisle_500_orders_delete', 'O'), ('orders', 'p', 'aisle_500_orders_truncate', 'O')
)
select a.kind, a.relation::text as relation,
       c.oid is not null and to_regclass('aisle._' || a.kind) is not null as is_there,
       c.relkind in ('r', 'p') as has_triggers,
       array(select w.name from created w
             where w.kind = a.kind and w.relkind = c.relkind
               and not exists (select from pg_trigger t where t.tgrelid = a.relation and t.tgname = w.name)
             order by 1) as missing,
       array(select format('alter table %s enable %s trigger %I;', a.relation,
                           case w.enabled when 'A' then 'always' when 'R' then 'replica' end, w.name)
             from created w
             join pg_trigger t on t.tgrelid = a.relation and t.tgname = w.name and t.tgenabled <> w.enabled
             where w.kind = a.kind and w.relkind = c.relkind
             order by 1) as disabled,
       array(select name
             from jsonb_each(a.columns) named
             cross join lateral jsonb_array_elements_text(
                 case jsonb_typeof(named.value) when 'array' then named.value else jsonb_build_array(named.value) end) name
             where name is not null and (a.kind = 'orders' or a.kind = 'items' and named.key = 'id') and not exists (
                 select from pg_attribute t
                 where t.attrelid = any (a.relations) and t.attname = name and t.attnum > 0 and not t.attisdropped)
             order by 1) as unknown_columns,
       array(select i.inhrelid::regclass::text
             from pg_inherits i
             where i.inhparent = a.relation and c.relkind = 'r' and a.kind in ('items', 'orders')
             order by 1) as children
from attached a
left join pg_class c on c.oid = a.relation
order by a.kind, a.relations = '{}'
