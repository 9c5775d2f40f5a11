-- Creates aisle._items over the table or view with the shop's items: the texts, whatever the columns' types, and whether an item may be
-- answered at this moment. `label` is the expression for the category.
create or replace function aisle._create_items_view(
    target regclass, id_type text, columns jsonb, eligible text, group_column text, label text)
returns void
language plpgsql volatile
as $function$
declare
    -- NaN, infinite and huge numbers become null, so that no cast fails, whatever the columns hold.
    degrees constant text := 'case when $ between -1e-30 and 1e-30 then 0 when $ between -1e9 and 1e9 then $ end';
    details constant text := (
        select string_agg(aisle._text_of(target, c, 'r'), ', ') from jsonb_array_elements_text(columns -> 'text') c);
begin
    execute format(
        'create view aisle._items with (security_invoker = true) as
         select r.%1$I::%2$s as id, r.%1$I::text as item_id, %3$s as name, %4$s as manufacturer, %5$s as category,
                %6$s as details, (%8$s)::float8 as latitude, (%9$s)::float8 as longitude, %10$s as is_eligible, %11$s as group_id
         from %7$s r
         where r.%1$I is not null',
        columns ->> 'id', id_type, aisle._text_of(target, columns ->> 'name', 'r'),
        aisle._text_of(target, columns ->> 'manufacturer', 'r'),
        label,
        case when details is null then 'null::text' else format('nullif(concat_ws(%L, %s), %L)', ' ', details, '') end,
        target,
        coalesce(replace(degrees, '$', 'r.' || quote_ident(columns ->> 'latitude')), 'null'),
        coalesce(replace(degrees, '$', 'r.' || quote_ident(columns ->> 'longitude')), 'null'),
        coalesce(aisle._qualified(target, eligible, 'eligible') || ' is true', 'true'),
        aisle._text_of(target, group_column, 'r'));
    perform aisle._copy_grants('aisle._attachments', 'aisle._items');
end
$function$;
