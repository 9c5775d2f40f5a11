-- Once for each TRUNCATE: all vectors go with the rows. An entry of the log without ids lets a worker look for those that a
-- repeatable read, older than they are, could not see, or that another transaction holds.
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
            null;  -- the worker will
        end;
    end if;
    return null;
end
$trigger$;
