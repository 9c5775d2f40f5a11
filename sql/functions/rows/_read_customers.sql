-- Reads the customers of some ids who have orders, through the shop's own indexes, each with the hash of all that a model reads of them.
create or replace function aisle._read_customers(ids text[])
returns table (user_id text, content_hash bytea)
language plpgsql stable parallel safe
as $function$
declare
    source aisle._attachments := (select a from aisle._attachments a where a.kind = 'orders');
begin
    if source.kind is not null then
        perform aisle._check_source(source);
        return query execute format(
            'select c.user_id::text, c.content_hash from aisle._customers c where c.user_id = any ($1::%s[])', source.id_type)
        using aisle._castable_ids(ids, source.id_type);
    end if;
end
$function$;
