-- Once for each statement that writes to orders or their lines: logs whose they are, for the workers. So it does while there is no
-- model: one may be published before this transaction ends, which that will not see. Where nothing changed that a model reads, such
-- as an order's state, nothing is logged.
create or replace function aisle.tg_orders__changed() returns trigger
language plpgsql volatile security definer
as $trigger$
declare
    source aisle._attachments;
    columns text;  -- what a model reads of this table
    changed text;
    customers text[];
begin
    if tg_op = 'TRUNCATE' then
        perform aisle._enqueue('basket', '{}');
        return null;
    end if;
    select a.* into source from aisle._attachments a where a.kind = 'orders';
    select string_agg(distinct quote_ident(source.columns ->> role), ', ') into columns
    from unnest(case when source.lines is null then array['order', 'user', 'item', 'at', 'quantity']
                     when tg_relid = source.lines then array['line_order', 'item', 'quantity']
                     else array['order', 'user', 'at'] end) role
    where source.columns ->> role is not null;
    changed := case tg_op
        when 'INSERT' then format('select %s from new_rows', columns)
        when 'DELETE' then format('select %s from old_rows', columns)
        else format('(select %1$s from new_rows except all select %1$s from old_rows) union all
                     (select %1$s from old_rows except all select %1$s from new_rows)', columns) end;
    for customers in execute format(
        'select array_agg(c.id) from (
             select d.id, row_number() over () as n from (select distinct %s.%I::text as id from (%s) r %s) d where d.id is not null) c
         group by c.n / 100000',
        case when tg_relid = source.lines then 'e' else 'r' end, source.columns ->> 'user', changed,
        case when tg_relid = source.lines then
            format('join %s e on e.%I = r.%I', source.relation, source.columns ->> 'order', source.columns ->> 'line_order') end)
    loop
        perform aisle._enqueue('basket', customers);
    end loop;
    return null;
exception when others then
    raise warning 'Aisle cannot tell whose orders changed in %: %. Its vectors lag behind.', tg_relid::regclass, sqlerrm
        using hint = 'Detach the orders and attach them again.';
    return null;
end
$trigger$;
