-- What every removal of items from the shop's table does. The vectors go in the shop's own transaction. If that cannot be, because
-- another transaction holds one of them or because this one is serializable or repeatable read, they go as soon as a worker has read the
-- log. A statement waits for a lock once at most.
create or replace function aisle._items_removed(ids text[]) returns void
language plpgsql volatile
set lock_timeout = '50ms'
as $function$
declare
    statement constant text := extract(epoch from statement_timestamp())::text;
begin
    perform aisle._enqueue('items', ids);
    if current_setting('transaction_isolation') = 'read committed'
       and current_setting('aisle.waited', true) is distinct from statement then
        perform aisle._forget_items(ids);
    end if;
exception
    when lock_not_available then
        perform aisle._enqueue('items', ids);
        perform set_config('aisle.waited', statement, true);
    when others then
        perform aisle._enqueue('items', ids);
end
$function$;
