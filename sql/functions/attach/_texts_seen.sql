-- Returns the expressions with which a trigger writes name, manufacturer, category and details of a row, as aisle._items does; null where
-- a trigger cannot, so that the worker makes the drafts. These expressions run with our rights on columns of any type. So each value is
-- written by its type's output function, which `concat` calls, and never cast. They leave out what _text_of writes in another way, and
-- virtual columns, which a trigger does not see.
create or replace function aisle._texts_seen(target regclass, columns jsonb, row_name text) returns text[]
language plpgsql stable
as $function$
declare
    details constant text[] := array(select jsonb_array_elements_text(columns -> 'text'));
    attached constant text[] := array_remove(array[columns ->> 'name', columns ->> 'manufacturer', columns ->> 'category'] || details, null);
    texts jsonb := '{}';  -- of each column
    name text;
    operand text;
begin
    foreach name in array attached loop
        operand := format('%s.%I', row_name, name);
        if exists (select from pg_attribute a where a.attrelid = target and a.attname = name and a.attgenerated = 'v')
           or aisle._column_type(target, name) = 'boolean'
           or aisle._text_of(target, name, row_name) not in (operand || '::text', aisle._written(operand)) then
            return null;
        end if;
        texts := texts || jsonb_build_object(name, case when aisle._is_padded(target, name)
            then format('rtrim(concat(%s), '' '')', operand) else format('concat(%s)', operand) end);
    end loop;
    return array[
        texts ->> (columns ->> 'name'),
        coalesce(texts ->> (columns ->> 'manufacturer'), 'null::text'),
        coalesce(aisle._counting_label(texts ->> (columns ->> 'category')), 'null::text'),
        coalesce('concat_ws('' '', ' || (
            select string_agg(format('case when num_nonnulls(%s.%I) = 1 then %s end', row_name, d.name, texts ->> d.name), ', ' order by d.place)
            from unnest(details) with ordinality d (name, place)) || ')', 'null::text')];
end
$function$;
