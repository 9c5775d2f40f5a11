-- The sign that separates several categories in one cell: most of the cells that have it are made of other cells' categories. Null if there
-- is none.
create or replace function aisle._guess_category_list(target regclass, column_name text, separator text) returns text
language plpgsql stable
as $function$
declare
    sign text;
    is_list boolean;
begin
    if column_name is null or aisle._column_type(target, column_name) <> 'text' then
        return null;
    end if;
    foreach sign in array array['|', e'\n'] loop
        continue when btrim(separator) = sign;
        execute format(
            'with cells as materialized (
                 select distinct btrim(c.cell, e'' \t\r'') as cell from (select r.%1$I as cell from %2$s r where r.%1$I <> '''' limit 100000) c
             ), joined as (
                 select not exists (
                     select from unnest(string_to_array(c.cell, %3$L)) p (part)
                     where btrim(p.part, e'' \t\r'') <> '''' and btrim(p.part, e'' \t\r'') not in (select s.cell from cells s where strpos(s.cell, %3$L) = 0)) as is_made_of_others
                 from cells c
                 where strpos(c.cell, %3$L) > 0
             )
             select count(*) filter (where is_made_of_others) * 2 > count(*) from joined', column_name, target, sign)
        into is_list;
        if is_list then
            return sign;
        end if;
    end loop;
    return null;
end
$function$;
