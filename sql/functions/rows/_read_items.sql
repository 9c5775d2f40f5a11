-- Reads rows of the attached table by id, through the table's own index: it casts the ids to the column's type, not the column to text.
-- Ids that cannot have that type name no row. The caller's rights and row security hold.
create or replace function aisle._read_items(ids text[])
returns table (item_id text, name text, manufacturer text, category text, details text, content_hash bytea)
language plpgsql stable parallel safe
as $function$
declare
    attachment aisle._attachments;
begin
    select * into attachment from aisle._attachments where kind = 'items';
    if not found then
        return;
    end if;
    perform aisle._check_source(attachment);
    return query execute format(
        'select i.item_id, i.name, i.manufacturer, i.category, i.details,
                aisle._content_hash(i.name, i.manufacturer, i.details)
         from aisle._items i
         where i.id = any ($1::%s[])',
        attachment.id_type)
    using aisle._castable_ids(ids, attachment.id_type);
end
$function$;
