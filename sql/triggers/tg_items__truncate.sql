-- Once for each TRUNCATE: all vectors go with the rows. An entry of the log without ids lets a worker look for those that a
-- repeatable read, older than they are, could not see.
create or replace function aisle.tg_items__truncate() returns trigger
language plpgsql volatile security definer
as $trigger$
begin
    perform aisle._enqueue('items', '{}');
    begin
        perform aisle._forget_all_items();
    exception when others then
        null;  -- the worker will
    end;
    return null;
end
$trigger$;
