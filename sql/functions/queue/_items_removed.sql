-- What every removal from the shop's table comes down to. The vectors go in the shop's own transaction, or, if that cannot be (another
-- transaction holds one, or this one is to be serializable), as soon as a worker has seen the log. Only the first wait of a statement
-- is waited for.
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
