create or replace function aisle.confirm_categories(ids text[]) returns bigint
language plpgsql volatile
as $function$
declare
    confirmed bigint;
begin
    update aisle._applied_categories a
    set confirmed_at = aisle._now(), confirmed_by = session_user
    from aisle._read_items(confirm_categories.ids) i
    where i.item_id = a.item_id and i.category = a.category and a.confirmed_at is null;
    get diagnostics confirmed = row_count;
    return confirmed;
end
$function$;

comment on function aisle.confirm_categories(text[]) is
    'Tells that a person agrees with the categories that Aisle wrote to these items. From then on they are labels like others. Returns '
    'the number of items.';
