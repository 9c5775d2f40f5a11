-- Writes the condition that `previous`, what stands in the shop's column, means that an item has no category.
create or replace function aisle._means_none(attached aisle._attachments) returns text
language plpgsql stable
as $function$
declare
    unlabelled constant text[] := array(select jsonb_array_elements_text(attached.declaration -> 'unlabelled'));
begin
    return format('(coalesce(previous, '''') = any (''''::text || %L::text[])', unlabelled) || case
        when attached.declaration ? 'categories' and unlabelled <> '{}' then format(
            ' or previous in (select n.category_id from aisle._category_nodes n where n.name = any (%L::text[]))', unlabelled) else '' end || ')';
end
$function$;
