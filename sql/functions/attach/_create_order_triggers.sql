-- Creates triggers on the shop's orders and lines, which fire once a statement, and the functions that they call. A write to the orders
-- logs the ids of the customers before and after it. A write to a table of lines logs the ids of the orders: whose these are is looked up
-- when the log is taken in, because this transaction cannot see what another, still open, changes. A statement that changes nothing that
-- a model reads, such as an order's state, logs nothing. The triggers log even without a basket model: one may be published before this
-- transaction commits, trained without seeing these rows. Views and foreign tables have no triggers.
create or replace function aisle._create_order_triggers(target regclass, lines regclass, columns jsonb) returns void
language plpgsql volatile
as $function$
declare
    relation regclass;
    is_lines boolean;
    key text;
    read text[];
begin
    foreach relation in array array_remove(array[target, lines], null) loop
        is_lines := relation is not distinct from lines;
        continue when (select c.relkind not in ('r', 'p') from pg_class c where c.oid = relation);
        key := columns ->> case when is_lines then 'line_order' else 'user' end;
        -- The columns that a model reads of this table, as texts: some types have no equality, and others may have one that their owner wrote.
        read := array(
            select distinct aisle._written(format('r.%I', columns ->> role)) || ' collate "C"'
            from unnest(case when is_lines then array['line_order', 'item', 'quantity']
                             when lines is not null then array['order', 'user', 'at']
                             else array['order', 'user', 'item', 'at', 'quantity'] end) role
            where columns ->> role is not null);
        perform aisle._create_trigger_function(case when is_lines then 'tg_lines__changed' else 'tg_orders__changed' end, format($body$
        declare
            ids text[];
        begin
            if tg_op = 'TRUNCATE' then
                perform aisle._enqueue('orders', '{}');
            elsif tg_op = 'INSERT' then
                for ids in
                    select array_agg(k.id) from (select d.id, row_number() over () as n from (
                        select distinct %1$s as id from new_rows r) d where d.id is not null) k
                    group by k.n / 100000
                loop
                    perform aisle._enqueue(%3$L, ids);
                end loop;
            elsif tg_op = 'DELETE' then
                for ids in
                    select array_agg(k.id) from (select d.id, row_number() over () as n from (
                        select distinct %1$s as id from old_rows r) d where d.id is not null) k
                    group by k.n / 100000
                loop
                    perform aisle._enqueue(%3$L, ids);
                end loop;
            else
                for ids in
                    select array_agg(k.id) from (select d.id, row_number() over () as n from (
                        select distinct c.id from (
                            (select %1$s as id, %2$s from new_rows r except all select %1$s, %2$s from old_rows r)
                            union all
                            (select %1$s, %2$s from old_rows r except all select %1$s, %2$s from new_rows r)) c) d where d.id is not null) k
                    group by k.n / 100000
                loop
                    perform aisle._enqueue(%3$L, ids);
                end loop;
            end if;
            return null;
        exception when others then
            raise warning 'Aisle cannot tell whose orders changed in %%: %%. Its vectors lag behind.', tg_relid::regclass, sqlerrm
                using hint = 'Detach the orders and attach them again.';
            return null;
        end
        $body$,
            format(case when aisle._is_padded(relation, key) then 'rtrim(%s, '' '') collate "C"' else '%s collate "C"' end, aisle._written(format('r.%I', key))),
            array_to_string(read, ', '), case when is_lines then 'lines' else 'orders' end), 'set extra_float_digits = 1');
        execute format(
            'create trigger aisle_500_orders_insert after insert on %1$s referencing new table as new_rows
             for each statement execute function aisle.%2$I();
             create trigger aisle_500_orders_update after update on %1$s referencing old table as old_rows new table as new_rows
             for each statement execute function aisle.%2$I();
             create trigger aisle_500_orders_delete after delete on %1$s referencing old table as old_rows
             for each statement execute function aisle.%2$I();
             create trigger aisle_500_orders_truncate after truncate on %1$s
             for each statement execute function aisle.%2$I()',
            relation, case when is_lines then 'tg_lines__changed' else 'tg_orders__changed' end);
    end loop;
end
$function$;
