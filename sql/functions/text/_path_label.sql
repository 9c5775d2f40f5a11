-- Writes a category path with the separator alone between its steps: 'A> B' and 'A > B' are one category. A separator with spaces around a
-- sign that names contain, such as '/', is one only with spaces. Which signs \s means is up to the server's locale, so two are named.
create or replace function aisle._path_label(category text, separator text) returns text
language plpgsql immutable parallel safe
as $function$
declare
    sign constant text := btrim(separator, e' \t');
    space constant text := '[\s\u00a0\u3000]' || case when sign <> separator and sign ~ '^[-/,.&+·]$' then '+' else '*' end;
begin
    if sign = '' then
        return category;
    end if;
    return regexp_replace(
        regexp_replace(category, space || regexp_replace(sign, '([^[:alnum:]])', '\\\1', 'g') || space, replace(separator, '\', '\\'), 'g'),
        '^[\s\u00a0\u3000]+|[\s\u00a0\u3000]+$', '', 'g');
end
$function$;
