-- Removes the vectors of customers who have no order any more.
create or replace function aisle._forget_gone_customers() returns void
language plpgsql volatile
as $function$
begin
    perform aisle._guard();
    delete from aisle.customer_vectors v
    where not exists (select from aisle._orders o where o.user_id::text = v.user_id);
end
$function$;
