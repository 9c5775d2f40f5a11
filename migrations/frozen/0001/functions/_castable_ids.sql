-- Those ids that can be of a type, still as text: casting them fails for none. The others name no row.
create or replace function aisle._castable_ids(ids text[], id_type text) returns text[]
language sql immutable parallel safe
as $function$
    select case
        when id_type = 'text' then ids
        when id_type = 'uuid' then
            array(select id from unnest(ids) id where id ~ '^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$')
        else array(
            select id from unnest(ids) id
            where case when id ~ '^-?[0-9]{1,19}$'
                       then id::numeric between -(2::numeric ^ bits) and 2::numeric ^ bits - 1 end)
    end
    from (select case id_type when 'bigint' then 63 when 'integer' then 31 else 15 end as bits) range
$function$;
