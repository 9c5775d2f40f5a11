-- The conditions after ON and WHERE in the text of a view that are nothing but comparisons joined by AND. What stands within OR, NOT or
-- CASE need not hold for a row, and a select list joins nothing.
create or replace function aisle._conjunctions(query text) returns setof text
language plpgsql immutable
as $function$
declare
    -- Without literals, whose signs mean nothing.
    plain constant text := regexp_replace(query, '''(?:[^'']|'''')*''', '''''', 'g');
    start integer := 1;
    found integer;
    depth integer;
    place integer;
    condition text;
begin
    loop
        found := regexp_instr(plain, '\m(?:ON|WHERE) \(', start, 1, 1);
        exit when found = 0;
        start := found;
        depth := 1;
        place := found;
        while depth > 0 and place <= length(plain) loop
            depth := depth + case substr(plain, place, 1) when '(' then 1 when ')' then -1 else 0 end;
            place := place + 1;
        end loop;
        condition := substr(plain, found - 1, place - found + 1);
        if condition !~ '\m(OR|NOT|CASE|SELECT|EXISTS)\M' then
            return next condition;
        elsif condition !~ '\m(OR|NOT|CASE)\M' then
            -- A query within: its own condition follows.
            return next regexp_replace(condition, '\(\s*SELECT.*', '', '');
        end if;
    end loop;
end
$function$;
