-- The category of an item, from a cell in which the shop writes its path: of several in one cell (`list` separates them) the first; without a
-- code in brackets in front; codes of so many digits a level cut into steps; and the steps as aisle._path_label writes them.
create or replace function aisle._flat_label(cell text, separator text, digits integer, list text) returns text
language plpgsql immutable parallel safe
as $function$
declare
    label text := cell;
begin
    if list is not null then
        label := (select p.part from unnest(string_to_array(cell, list)) with ordinality p (part, place)
                  where btrim(p.part, e' \t\r\n') <> '' order by p.place limit 1);
    end if;
    label := regexp_replace(label, '^\s*\[\d+\]\s*', '');
    if digits is not null and label ~ '^\s*\d+\s*$' then
        return nullif(array_to_string(array(
            select m.part[1] from regexp_matches(btrim(label), format('\d{1,%s}', digits), 'g') with ordinality m (part, place)
            order by m.place), separator), '');
    end if;
    return nullif(aisle._path_label(label, separator), '');
end
$function$;
