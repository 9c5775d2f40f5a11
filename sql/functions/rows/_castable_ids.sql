-- Returns those ids, still as text, that a type can hold, so that no cast fails. The other ids name no row.
create or replace function aisle._castable_ids(ids text[], id_type text) returns text[]
language plpgsql immutable parallel safe
as $function$
begin
    return case
        when id_type = 'text' then ids
        -- Nearly always all are numbers of a size that fits: one look at all of them is faster than one at each.
        when id_type <> 'uuid' and array_position(ids, null) is null and array_to_string(ids, ',') ~ case id_type
                 when 'bigint' then '^([0-9]{1,18},)*[0-9]{1,18}$'
                 when 'integer' then '^([0-9]{1,9},)*[0-9]{1,9}$'
                 else '^([0-9]{1,4},)*[0-9]{1,4}$' end then ids
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
