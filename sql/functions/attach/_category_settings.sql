-- Reads what was declared of the shop's categories: their table with its columns or expressions, and the table that gives the categories
-- of an item. Columns that were not named are found by their usual names.
create or replace function aisle._category_settings(
    categories jsonb, out target regclass, out roles jsonb, out via regclass, out via_item text, out via_category text)
language plpgsql stable
as $function$
#variable_conflict use_variable
declare
    known constant text[] := '{table,id,parent,path,name,where,of_item,prefer}';
    unknown text;
    parts text[];
begin
    select string_agg(k.name, ', ') into unknown from jsonb_object_keys(categories) k (name) where k.name <> all (known);
    if unknown is not null then
        raise exception 'categories has no setting %.', unknown
            using errcode = 'AIS05', hint = 'Its settings: ' || array_to_string(known, ', ');
    elsif categories ->> 'table' is null then
        raise exception 'categories must name the table of the categories.'
            using errcode = 'AIS05', hint = 'For example: {"table": "category", "parent": "parent_id", "name": "name"}';
    end if;
    target := aisle._relation_to_attach(categories ->> 'table', '{}', triggers => false);
    roles := jsonb_build_object(
        'id', coalesce(categories ->> 'id', 'id'), 'name', coalesce(categories ->> 'name', 'name'), 'path', categories ->> 'path',
        'parent', case when categories ? 'parent' then categories ->> 'parent' when not categories ? 'path' then (
            select a.attname from pg_attribute a
            where a.attrelid = target and a.attnum > 0 and not a.attisdropped
              and a.attname = any ('{parent_id,parent_category_id,parent}') limit 1) end);
    perform aisle._relation_to_attach(categories ->> 'table', aisle._plain_columns(target, jsonb_strip_nulls(roles)), triggers => false);
    if aisle._column_type(target, roles ->> 'name') ~ $lists$json|\[\]$$lists$ then
        raise exception 'The name of a category must be one text; % of % is of type %.',
            quote_ident(roles ->> 'name'), target, aisle._column_type(target, roles ->> 'name')
            using errcode = 'AIS04', hint = 'Name one of its texts, such as: "name": "name->>''en_US''"';
    end if;
    if categories ? 'of_item' then
        parts := regexp_match(categories ->> 'of_item', '^\s*(.+?)\s*\(\s*(.+?)\s*,\s*(.+?)\s*\)\s*$');
        if parts is null then
            raise exception 'of_item % cannot be read.', quote_literal(categories ->> 'of_item')
                using errcode = 'AIS05', hint = 'For example: product_category_product(product_id, category_id)';
        end if;
        via_item := parts[2];
        via_category := parts[3];
        via := aisle._relation_to_attach(
            parts[1], array[via_item, via_category, nullif(categories ->> 'prefer', 'deepest')], triggers => false);
    elsif categories ? 'prefer' then
        raise exception 'prefer says which of an item''s categories counts; without of_item there is one.' using errcode = 'AIS05';
    end if;
end
$function$;
