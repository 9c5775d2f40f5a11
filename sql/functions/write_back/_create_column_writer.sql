-- Creates the functions that write a category into a column of the items' table. They write nothing over a category that the shop has given,
-- were it one that does not count.
create or replace function aisle._create_column_writer(target regclass, id text, column_name text, attached aisle._attachments) returns void
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    -- Codes of so many digits a level are written without what is between the levels.
    value constant text := case when attached.category_digits is null then '$2' else format('replace($2, %L, '''')', attached.category_separator) end;
    type text;
    id_type text;
    category record;
begin
    if attached.columns ->> 'category' is null then
        raise exception 'No column of the items was attached as their category: nothing says which have none.'
            using errcode = 'AIS05', hint = 'Declare it: category = "…" in [items], or category => in aisle.attach_items.';
    end if;
    category := aisle._origin(attached.relation, attached.columns ->> 'category');
    perform aisle._relation_to_attach(target::text, array[column_name], triggers => false);
    if category.relation = target and category.column_name <> column_name
       or exists (select from jsonb_each(attached.columns) c (role, read)
                  cross join lateral jsonb_array_elements_text(case jsonb_typeof(c.read) when 'array' then c.read else jsonb_build_array(c.read) end) n
                  cross join lateral aisle._origin(attached.relation, n.value) o
                  where c.role <> 'category' and o.relation = target and o.column_name = column_name)
    then
        raise exception 'Column % of % is not where the categories of the items stand.', quote_ident(column_name), target
            using errcode = 'AIS05',
                  hint = coalesce(format('They stand in %I.', case when category.relation = target then category.column_name end),
                                  'Name a statement that writes to where they stand.');
    end if;
    select format_type(a.atttypid, a.atttypmod) into type from pg_attribute a where a.attrelid = target and a.attname = column_name;
    select format_type(a.atttypid, a.atttypmod) into id_type from pg_attribute a where a.attrelid = target and a.attname = id;
    execute format($definition$
        create function aisle._write_category(item text, category text, out is_written boolean, out previous text)
        language plpgsql volatile set search_path = pg_catalog, pg_temp
        as $write$
        begin
            select concat(r.%1$I) into previous from %2$s r where r.%3$I = $1::%5$s for update;
            is_written := found and %6$s;
            if is_written then
                update %2$s r set %1$I = (%7$s)::%4$s where r.%3$I = $1::%5$s;
            end if;
        end
        $write$;
        create function aisle._unwrite_category(item text, category text, previous text) returns boolean
        language plpgsql volatile set search_path = pg_catalog, pg_temp
        as $write$
        begin
            update %2$s r set %1$I = nullif($3, '')::%4$s where r.%3$I = $1::%5$s and concat(r.%1$I) = %7$s;
            return found;
        end
        $write$
        $definition$, column_name, target, id, type, id_type, aisle._means_none(attached), value);
end
$function$;
