-- The path of a label from the root: its own steps, or, where it is an id of the shop's categories, the ids above it.
create or replace function aisle._path_of(category text, separator text) returns text[]
language plpgsql stable parallel safe
as $function$
begin
    if category is not null and aisle._has_tree() then
        return (select p.ids from aisle._category_paths(array[category]) p);
    end if;
    return string_to_array(category, separator);
end
$function$;
