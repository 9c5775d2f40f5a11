-- What every removal from the shop's table comes down to. The vectors go in the shop's own transaction, or, if that cannot be
-- (a repeatable read that is older than a vector), as soon as a worker has seen the log.
create or replace function aisle._items_removed(ids text[]) returns void
language plpgsql volatile
as $function$
begin
    perform aisle._enqueue('items', ids);
    perform aisle._forget_items(ids);
exception when others then
    perform aisle._enqueue('items', ids);
end
$function$;
