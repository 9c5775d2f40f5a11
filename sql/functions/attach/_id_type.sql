-- Returns the type of a column of ids; raises an error if ids cannot have that type.
create or replace function aisle._id_type(target regclass, column_name text) returns text
language plpgsql stable
as $function$
declare
    id_type text := aisle._column_type(target, column_name);
begin
    if id_type not in ('smallint', 'integer', 'bigint', 'uuid', 'text') then
        raise exception 'Column % of % is of type %; an id must be a whole number, a uuid or a text.',
            quote_ident(column_name), target, id_type using errcode = 'AIS04', hint = 'Change it, or attach a view that casts it.';
    end if;
    return id_type;
end
$function$;
