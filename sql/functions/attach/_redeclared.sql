-- What was declared, with the present names of tables and columns that were renamed since.
create or replace function aisle._redeclared(kind text) returns jsonb
language plpgsql stable
as $function$
#variable_conflict use_variable
declare
    attached constant aisle._attachments := (select a from aisle._attachments a where a.kind = kind);
    declaration jsonb := attached.declaration;
    place text;
    target regclass;
    renamed jsonb;
begin
    foreach place in array array['relation', 'lines'] loop
        continue when not declaration ? place;
        target := aisle._relation_named(declaration ->> place);
        if target is null then
            target := (select c.oid from pg_class c where c.oid = attached.declared[case place when 'relation' then 1 else 2 end]);
            declaration := declaration || jsonb_build_object(place, coalesce(target::text, declaration ->> place));
        end if;
        -- A column whose name is gone, but not its number.
        select jsonb_object_agg(n.key, c.attname) into renamed
        from jsonb_each_text(attached.numbers -> place) n
        join pg_attribute c on c.attrelid = target and c.attnum = n.value::smallint and not c.attisdropped
        where not exists (select from pg_attribute o where o.attrelid = target and o.attname = n.key and not o.attisdropped);
        declaration := (
            select jsonb_object_agg(d.key, case
                when jsonb_typeof(d.value) = 'array' then
                    (select coalesce(jsonb_agg(coalesce(renamed -> (e #>> '{}'), e)), '[]') from jsonb_array_elements(d.value) e)
                when d.key in ('relation', 'lines', 'query') then d.value
                else coalesce(renamed -> (d.value #>> '{}'), d.value) end)
            from jsonb_each(declaration) d);
    end loop;
    return declaration;
end
$function$;
