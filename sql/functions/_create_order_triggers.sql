-- The triggers that log whose orders changed, once a statement. Views and foreign tables have none.
create or replace function aisle._create_order_triggers() returns void
language plpgsql volatile
as $function$
declare
    source aisle._attachments := (select a from aisle._attachments a where a.kind = 'orders');
    target regclass;
begin
    foreach target in array array_remove(array[source.relation, source.lines]::regclass[], null) loop
        continue when (select c.relkind not in ('r', 'p') from pg_class c where c.oid = target);
        execute format(
            'create trigger aisle_500_orders_insert after insert on %s referencing new table as new_rows
             for each statement execute function aisle.tg_orders__changed()', target);
        execute format(
            'create trigger aisle_500_orders_update after update on %s referencing old table as old_rows new table as new_rows
             for each statement execute function aisle.tg_orders__changed()', target);
        execute format(
            'create trigger aisle_500_orders_delete after delete on %s referencing old table as old_rows
             for each statement execute function aisle.tg_orders__changed()', target);
        execute format(
            'create trigger aisle_500_orders_truncate after truncate on %s
             for each statement execute function aisle.tg_orders__changed()', target);
    end loop;
end
$function$;
