-- The shop's categories as people know them: the label of each, its path by names and its path by ids. Without rows where labels are no
-- ids of a table of the shop's: there a label is its own name.
create or replace function aisle._category_names() returns table (category text, name text, path text[], ids text[])
language plpgsql stable parallel safe rows 1000
as $function$
#variable_conflict use_column
declare
    separator constant text := (select a.category_separator from aisle._attachments a where a.kind = 'items');
begin
    if aisle._has_tree() then
        return query select c.category_id, array_to_string(c.path, separator), c.path, c.ids from aisle._categories c;
    end if;
end
$function$;
