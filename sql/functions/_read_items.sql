-- Rows of the attached table by id, through the table's own index: the ids are cast to the column's type, not the column
-- to text. Ids that cannot be of that type name no row. The caller's rights and row-level security hold.
create or replace function aisle._read_items(ids text[])
returns table (item_id text, name text, manufacturer text, category text, details text, content_hash bytea)
language plpgsql stable parallel safe
as $function$
declare
    attachment aisle._attachments;
    castable text;
begin
    select * into attachment from aisle._attachments where kind = 'items';
    if not found then
        return;
    end if;
    castable := case attachment.id_type
        when 'text' then 'true'
        when 'uuid' then $$id ~ '^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$'$$
        else format(
            $$case when id ~ '^-?[0-9]{1,19}$' then id::numeric between -(2::numeric ^ %1$s) and 2::numeric ^ %1$s - 1 end$$,
            case attachment.id_type when 'bigint' then 63 when 'integer' then 31 else 15 end)
    end;
    return query execute format(
        'select i.item_id, i.name, i.manufacturer, i.category, i.details,
                aisle._content_hash(i.name, i.manufacturer, i.details)
         from aisle._items i
         where i.id = any (array(select id from unnest($1) id where %s)::%s[])',
        castable, attachment.id_type)
    using ids;
end
$function$;
