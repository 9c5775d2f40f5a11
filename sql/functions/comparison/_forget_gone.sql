-- Removes what was derived from any row that is gone: an item, or a customer of whom no order is left (kind 'orders').
create or replace function aisle._forget_gone(kind text) returns void
language plpgsql volatile
as $function$
declare
    stored constant text := (
        select string_agg(format('select v.%I as id from aisle.%I v', t.key_column, t.row_vectors), ' union ')
        from aisle._tasks t where t.follows = kind);
    gone text[];
begin
    perform aisle._guard();
    if kind = 'items' then
        execute format(
            'select array(select s.id from (%s union select p.item_id from aisle._item_predictions p) s
                          where not exists (select from aisle._items i where i.item_id = s.id))', stored)
        into gone;
    else
        execute format(
            'select array(select s.id from (%s) s where not exists (select from aisle._orders o where o.user_id::text = s.id))', stored)
        into gone;
    end if;
    perform aisle._forget_rows(kind, gone);
end
$function$;
