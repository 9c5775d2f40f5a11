-- Writes a category path with the separator alone between its steps: 'A> B' and 'A > B' are one category. A separator with spaces around a
-- sign that names contain, such as '/', is one only with spaces.
create or replace function aisle._path_label(category text, separator text) returns text
language plpgsql immutable parallel safe
as $function$
declare
    sign constant text := btrim(separator, e' \t');
    space constant text := case when sign <> separator and sign ~ '^[-/,.&+·]$' then '\s+' else '\s*' end;
begin
    if sign = '' then
        return category;
    end if;
    return btrim(regexp_replace(category, space || regexp_replace(sign, '([^[:alnum:]])', '\\\1', 'g') || space,
                                replace(separator, '\', '\\'), 'g'), e' \t\r\n');
end
$function$;
