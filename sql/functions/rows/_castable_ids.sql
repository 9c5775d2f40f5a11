-- Returns those ids, still as text, that a type can hold, so that no cast fails. The other ids name no row.
create or replace function aisle._castable_ids(ids text[], id_type text) returns text[]
language plpgsql immutable parallel safe
as $function$
begin
    return case
        when id_type = 'text' then ids
        when id_type = 'uuid' then
            array(select id from unnest(ids) id where id ~ '^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$')
        else array(
            select id from unnest(ids) id
            where case when id ~ '^-?[0-9]{1,19}$' then case id_type
                when 'bigint' then id::numeric between -9223372036854775808 and 9223372036854775807
                when 'integer' then id::numeric between -2147483648 and 2147483647
                else id::numeric between -32768 and 32767 end end)
    end;
end
$function$;
