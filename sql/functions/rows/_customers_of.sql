-- Returns the present customers of some orders.
create or replace function aisle._customers_of(order_ids text[]) returns text[]
language plpgsql volatile
as $function$
declare
    source aisle._attachments := (select a from aisle._attachments a where a.kind = 'orders');
    order_type text;
    customers text[];
begin
    if source.kind is not null and aisle._guard() then
        order_type := aisle._column_type(source.relation, source.columns ->> 'order');
        execute format('select array(select distinct e.%1$I::%2$s::text from %3$s e where e.%4$I = any ($1::%5$s[]) and e.%1$I is not null)',
                       source.columns ->> 'user', source.id_type, source.relation, source.columns ->> 'order', order_type)
        into customers using aisle._castable_ids(order_ids, order_type);
    end if;
    return coalesce(customers, '{}');
end
$function$;
