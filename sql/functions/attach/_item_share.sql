-- How many of the first 100,000 attached rows of a kind were looked at, how many of these are about an attached item, and whether that is
-- half of them at least. A line of a variant that leads to no item is about none.
create or replace function aisle._item_share(kind text, out checked bigint, out known bigint, out is_half boolean)
language plpgsql stable
as $function$
#variable_conflict use_variable
declare
    attached constant aisle._attachments := (select a from aisle._attachments a where a.kind = kind);
begin
    execute format(
        'with sample as materialized (select e.%I::text as item_id from %s e limit 100000)
         select (select count(*) from sample),
                (select count(*) from sample s where exists (select from aisle._items i where i.item_id = s.item_id))',
        case when attached.declaration ? 'item_via' then attached.columns ->> 'item' else 'item_id' end,
        case when attached.declaration ? 'item_via' then attached.relation::text else format('aisle.%I', '_' || kind) end)
    into checked, known;
    is_half := 2 * known >= checked;
end
$function$;
