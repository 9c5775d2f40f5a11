-- Lets recommend(category => …) find an item in its new category, and no longer in the old one, from the shop's own transaction on; or as
-- soon as a worker has seen the item, in the cases in which _draft_items writes no drafts.
create or replace function aisle._move_item(id text, category text) returns void
language plpgsql volatile
set lock_timeout = '50ms'
as $function$
declare
    statement constant text := extract(epoch from statement_timestamp())::text;
begin
    if current_setting('transaction_isolation') = 'read committed'
       and current_setting('aisle.waited', true) is distinct from statement
    then
        update aisle.item_factors f
        set category_key = _move_item.category || (m.parameters ->> 'category_separator')
        from aisle._models m
        where f.item_id = id and m.model_id = f.model_id;
    end if;
exception
    when lock_not_available then
        perform set_config('aisle.waited', statement, true);
    when others then
        raise warning 'Aisle left the category of a row to the worker: %', sqlerrm;
end
$function$;
