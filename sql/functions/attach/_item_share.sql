-- How many of the first 100,000 attached rows of a kind were looked at, how many of these are about an attached item, and whether that is
-- half of them at least.
create or replace function aisle._item_share(kind text, out checked bigint, out known bigint, out is_half boolean)
language plpgsql stable
as $function$
begin
    execute format(
        'with sample as materialized (select e.item_id from aisle.%I e limit 100000)
         select (select count(*) from sample),
                (select count(*) from sample s where exists (select from aisle._items i where i.item_id = s.item_id))',
        '_' || kind)
    into checked, known;
    is_half := 2 * known >= checked;
end
$function$;
