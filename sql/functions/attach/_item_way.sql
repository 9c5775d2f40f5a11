-- Reads 'TABLE(id → item)', the way from what a line names to its item: the table, its id, and the item's id in it; null without one.
create or replace function aisle._item_way(item_via text) returns text[]
language plpgsql immutable
as $function$
declare
    way constant text[] := regexp_match(item_via, '^\s*(.+?)\s*\(\s*(.+?)\s*(?:→|->)\s*(.+?)\s*\)\s*$');
begin
    if way is null and item_via is not null then
        raise exception 'item_via % cannot be read.', quote_literal(item_via)
            using errcode = 'AIS05', hint = 'For example: product_variant(id → product_id)';
    end if;
    return way;
end
$function$;
