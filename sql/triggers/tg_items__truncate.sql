-- Runs once for each TRUNCATE of the items: all vectors go with the rows. It also logs an entry without ids. So a worker looks for
-- vectors that this could not remove: another transaction holds them, or a repeatable read is older than they are.
create or replace function aisle.tg_items__truncate() returns trigger
language plpgsql volatile security definer
set lock_timeout = '50ms'
as $trigger$
begin
    perform aisle._enqueue('items', '{}');
    if current_setting('transaction_isolation') = 'read committed' then
        begin
            perform aisle._forget_all_items();
        exception when others then
            null;  -- the worker removes them
        end;
    end if;
    return null;
end
$trigger$;
